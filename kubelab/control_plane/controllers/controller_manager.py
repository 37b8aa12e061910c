"""kube-controller-manager: all controllers in one component, over shared informers.

    Informers (one per kind) ─► handlers ─► each controller's own queue and workers

Invariant: a controller stops and starts without the others noticing; its queue keeps what happens meanwhile.
Models:    cmd/kube-controller-manager
Left out:  leader election, the controllers of kinds that the catalogue does not have
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.pki import Pki
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers import node_lifecycle, pod_gc
from kubelab.control_plane.controllers.certificate_signing import CertificateSigningController
from kubelab.control_plane.controllers.cronjob import CronJobController
from kubelab.control_plane.controllers.daemonset import DaemonSetController
from kubelab.control_plane.controllers.deployment import DeploymentController
from kubelab.control_plane.controllers.disruption import DisruptionController
from kubelab.control_plane.controllers.endpoints import EndpointsController
from kubelab.control_plane.controllers.endpointslice import EndpointSliceController
from kubelab.control_plane.controllers.garbage_collector import GarbageCollector
from kubelab.control_plane.controllers.job import JobController
from kubelab.control_plane.controllers.namespace import NamespaceController
from kubelab.control_plane.controllers.node_lifecycle import NodeLifecycleController
from kubelab.control_plane.controllers.pod_gc import PodGarbageCollector
from kubelab.control_plane.controllers.policy_status import PolicyStatusController
from kubelab.control_plane.controllers.replicaset import ReplicaSetController
from kubelab.control_plane.controllers.replicationcontroller import ReplicationControllerController
from kubelab.control_plane.controllers.resource_quota import ResourceQuotaController
from kubelab.control_plane.controllers.role_aggregation import RoleAggregationController
from kubelab.control_plane.controllers.root_ca import RootCaPublisher
from kubelab.control_plane.controllers.service_cidrs import ServiceCidrController
from kubelab.control_plane.controllers.serviceaccount import ServiceAccountController
from kubelab.control_plane.controllers.slice_mirroring import SliceMirroringController
from kubelab.control_plane.controllers.statefulset import StatefulSetController
from kubelab.control_plane.controllers.taint_eviction import TaintEvictionController
from kubelab.control_plane.controllers.ttl_after_finished import TtlAfterFinishedController
from kubelab.control_plane.controllers.volume_protection import (
    AttributesProtectionController,
    ClaimProtectionController,
    VolumeProtectionController,
)
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal

_SOURCES = {"replicationcontroller-controller": "replication-controller",  # who events say they come from
            "endpointslice-controller": "endpoint-slice-controller", "node-lifecycle-controller": "node-controller",
            "endpointslicemirroring-controller": "endpoint-slice-mirroring-controller",
            "disruption-controller": "controllermanager"}


class ControllerManager(Component):
    """Runs the controllers that `enabled` names: "*" for all, "-name" to leave one out.

    `node_grace_s`: silence after which a node counts as gone. `node_eviction_rate_per_s`: how many such nodes a
    second are emptied. `pod_quarantine_s`: how long a pod outlives its deleted node. `signing_pki`: what signs the
    certificates that are asked for; without it nobody does.
    """

    def __init__(self, client: Client, *, clock: Clock, journal: Journal, enabled: Sequence[str] = ("*",),
                 node_grace_s: float = node_lifecycle.GRACE_S,
                 node_eviction_rate_per_s: float = node_lifecycle.EVICTION_RATE_PER_S,
                 pod_quarantine_s: float = pod_gc.QUARANTINE_S, root_ca_pem: str = "",
                 signing_pki: Pki | None = None) -> None:
        super().__init__("controller-manager")
        self.client, self.clock, self.journal = client, clock, journal
        self.informers = Informers(client, clock)
        self.recorders: list[EventRecorder] = []
        self._enabled = tuple(enabled)
        self.controllers: dict[str, Controller] = {}
        self._add("namespace-controller", self._plain(NamespaceController))
        self._add("serviceaccount-controller", self._plain(ServiceAccountController))
        self._add("root-ca-certificate-publisher-controller", lambda name: RootCaPublisher(
            name, client, self.informers, clock=clock, journal=journal, ca_pem=root_ca_pem))
        if signing_pki is not None:
            self._add("certificatesigningrequest-signing-controller", lambda name: CertificateSigningController(
                name, client, self.informers, clock=clock, journal=journal, pki=signing_pki))
        self._add("garbage-collector-controller", self._telling(GarbageCollector))
        self._add("replicationcontroller-controller", self._telling(ReplicationControllerController))
        self._add("replicaset-controller", self._telling(ReplicaSetController))
        self._add("deployment-controller", self._telling(DeploymentController))
        self._add("daemonset-controller", self._telling(DaemonSetController))
        self._add("statefulset-controller", self._telling(StatefulSetController))
        self._add("job-controller", self._telling(JobController))
        self._add("ttl-after-finished-controller", self._plain(TtlAfterFinishedController))
        self._add("cronjob-controller", self._telling(CronJobController))
        self._add("persistentvolumeclaim-protection-controller", self._plain(ClaimProtectionController))
        self._add("persistentvolume-protection-controller", self._plain(VolumeProtectionController))
        self._add("volumeattributesclass-protection-controller", self._plain(AttributesProtectionController))
        self._add("disruption-controller", self._telling(DisruptionController))
        self._add("resourcequota-controller", self._plain(ResourceQuotaController))
        self._add("clusterrole-aggregation-controller", self._plain(RoleAggregationController))
        self._add("validatingadmissionpolicy-status-controller", self._plain(PolicyStatusController))
        self._add("endpoints-controller", self._plain(EndpointsController))
        self._add("endpointslice-controller", self._telling(EndpointSliceController))
        self._add("endpointslicemirroring-controller", self._telling(SliceMirroringController))
        self._add("service-cidr-controller", self._plain(ServiceCidrController))
        self._add("node-lifecycle-controller", lambda name: NodeLifecycleController(
            name, client, self.informers, clock=clock, journal=journal, recorder=self._recorder(name),
            grace_s=node_grace_s, eviction_rate_per_s=node_eviction_rate_per_s))
        self._add("taint-eviction-controller", self._telling(TaintEvictionController))
        self._add("pod-garbage-collector-controller", lambda name: PodGarbageCollector(
            name, client, self.informers, clock=clock, journal=journal, quarantine_s=pod_quarantine_s))

    def _add(self, name: str, make: Callable[[str], Controller]) -> None:
        if name in self._enabled or ("*" in self._enabled and f"-{name}" not in self._enabled):
            self.controllers[name] = make(name)

    def _plain(self, of: Callable[..., Controller]) -> Callable[[str], Controller]:
        return lambda name: of(name, self.client, self.informers, clock=self.clock, journal=self.journal)

    def _telling(self, of: Callable[..., Controller]) -> Callable[[str], Controller]:
        """Make a controller that writes Events."""
        return lambda name: of(name, self.client, self.informers, clock=self.clock, journal=self.journal,
                               recorder=self._recorder(name))

    def _recorder(self, name: str) -> EventRecorder:
        recorder = EventRecorder(self.client, _SOURCES.get(name, name), self.clock)
        self.recorders.append(recorder)
        return recorder

    async def setup(self) -> None:
        """Start everything; each controller itself waits until its informers have listed."""
        for part in (*self.recorders, *self.informers, *self.controllers.values()):
            await part.start()

    async def teardown(self) -> None:
        await asyncio.gather(*(controller.stop() for controller in self.controllers.values()))
        await asyncio.gather(*(recorder.stop() for recorder in self.recorders))
        await self.informers.stop_all()
