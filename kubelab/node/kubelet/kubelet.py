"""The kubelet: one node's agent. It registers the node and runs the pods that are bound to it.

    watch pods (spec.nodeName=me) ─┐
    runtime.events() ──────────────┼─► PodWorker(uid).poke ─► runtime, status
    probes, timers ────────────────┘
    every 10 s ─► Lease

Invariant: a pod has exactly one worker from the first sight of it until its containers are gone;
           containers of pods that nobody knows are removed at the start, those of known pods are adopted.
Models:    cmd/kubelet, pkg/kubelet
Left out:  static pods, eviction by node pressure, device and volume plug-ins
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.informer import Informer
from kubelab.client.recorder import EventRecorder
from kubelab.machinery.clock import Clock, RealClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.admission import admit, host_ports
from kubelab.node.kubelet.containers import Containers
from kubelab.node.kubelet.context import Context
from kubelab.node.kubelet.environment import Environment
from kubelab.node.kubelet.node_agent import NodeAgent
from kubelab.node.kubelet.node_events import NodeEvents
from kubelab.node.kubelet.node_object import NodeFacts
from kubelab.node.kubelet.observed import Observed
from kubelab.node.kubelet.pod_status import Verdict
from kubelab.node.kubelet.pod_worker import TERMINAL, PodWorker
from kubelab.node.kubelet.prober import Prober
from kubelab.node.kubelet.resources import Amounts, pod_requests
from kubelab.node.kubelet.sources import ObjectSources
from kubelab.node.kubelet.status_writer import StatusWriter
from kubelab.node.kubelet.volumes import Volumes
from kubelab.node.runtime.protocol import Runtime

if TYPE_CHECKING:
    from kubelab.node.kubelet.server import KubeletServer

log = logging.getLogger("kubelab.kubelet")
CAPACITY = {"cpu": "4", "memory": "8Gi", "pods": "110"}


class Kubelet(Component):
    """One node. `stop` leaves the containers running, as stopping a real kubelet does; `close` ends them too."""

    def __init__(self, client: Client, node_name: str, runtime: Runtime, *, clock: Clock | None = None,
                 journal: Journal | None = None, node_ip: str = "127.0.0.1", root_dir: Path = Path("/var/lib/kubelet"),
                 pod_cidr: str = "", dns_server: str = "", cluster_domain: str = "cluster.local",
                 capacity: Mapping[str, str] = CAPACITY, labels: Mapping[str, str] | None = None,
                 lowest_port: int = 0, server: KubeletServer | None = None) -> None:
        super().__init__(f"kubelet/{node_name}")
        clock = clock or RealClock()
        self.client, self.runtime, self.server, self.clock = client, runtime, server, clock
        self.node_name, self.pod_cidr = node_name, pod_cidr
        self.capacity, self.labels = dict(capacity), dict(labels or {})
        recorder = EventRecorder(client, "kubelet", clock, host=node_name)
        self.context = Context(client, runtime, clock, recorder, journal, node_name, node_ip, Path(root_dir),
                               dns_server, cluster_domain, lowest_port)
        self.workers: dict[str, PodWorker] = {}
        self._requests: dict[str, Amounts] = {}
        self._gone: set[str] = set()  # uids whose final delete is on its way
        self._runtime_started = False
        self._make_parts()

    def _make_parts(self) -> None:
        context, client = self.context, self.client
        self.agent = NodeAgent(client, self.clock, self.facts, NodeEvents(context.recorder, self.node_name))
        self.writer = StatusWriter(client, self.clock)
        self.prober = Prober(context)
        self.sources = ObjectSources(client, self._on_source)
        self.services = Informer(client, "services", clock=self.clock, indexers={"namespace": _service_scope})
        environment = Environment(context, self.sources, self._services_for, lambda: self.capacity)
        self.volumes = Volumes(context, self.sources, environment)
        self.containers = Containers(context, environment, self.volumes)
        self.pods = Informer(client, "pods", field_selector=f"spec.nodeName={self.node_name}", clock=self.clock)
        self.pods.on_event(self._on_pod)

    def facts(self) -> NodeFacts:
        port = self.server.port if self.server is not None else 10250
        return NodeFacts(self.node_name, self.server.host if self.server is not None else self.context.node_ip,
                         f"{self.runtime.name}://{self.runtime.version}", self.pod_cidr, port, self.capacity,
                         self.labels)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def setup(self) -> None:
        await self.context.recorder.start()
        if not self._runtime_started:
            await self.runtime.start()
            self._runtime_started = True
        if self.server is not None:
            await self.server.add(self)
        await self.agent.register()
        if self.context.needs_files:  # hollow nodes come by the thousand, and have nothing to tell of themselves
            self.agent.events.started()
            await self.services.start()
            await self.services.wait_synced()
        self._observed = await self._take_stock()
        await self.pods.start()
        await self.pods.wait_synced()
        await self._remove_orphans()
        self.spawn(self._follow_runtime, name="runtime events")
        self.spawn(self.writer.run, name="status")
        self.spawn(self.agent.run, name="heartbeat")

    async def teardown(self) -> None:
        await self.pods.stop()
        await self.services.stop()
        await asyncio.gather(*(w.stop() for w in self.workers.values()))
        await self.prober.stop()
        await self.sources.stop()
        await self.context.recorder.stop()
        self.workers.clear()
        if self.server is not None:
            await self.server.remove(self)
        self._make_parts()  # a kubelet that starts again knows nothing but the API and the runtime

    async def close(self) -> None:
        """Stop the kubelet and everything that it ran; nothing stays behind."""
        await self.stop()
        if self._runtime_started:
            self._runtime_started = False
            await self.runtime.stop()

    async def _take_stock(self) -> dict[str, Observed]:
        """Find what an earlier life of this kubelet left in the runtime, by pod uid."""
        found: dict[str, Observed] = {}
        for sandbox in await self.runtime.list_sandboxes():
            known = found.setdefault(sandbox.pod.uid, Observed())
            if known.sandbox is None or sandbox.ready:
                known.sandbox = sandbox
        for status in await self.runtime.list_containers():
            found.setdefault(status.pod.uid, Observed()).put(status)
        return found

    async def _remove_orphans(self) -> None:
        """End the containers of pods that the API no longer knows."""
        for uid, observed in self._observed.items():
            if uid in self.workers:
                continue
            for status in observed.all():
                await self.runtime.stop_container(status.id, 2.0)
                await self.runtime.remove_container(status.id)
            if observed.sandbox is not None:
                await self.runtime.remove_pod_sandbox(observed.sandbox.id)
            if self.context.needs_files:
                await self.volumes.remove(uid)
        self._observed = {}

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if type_ == "DELETED":
            self._gone.discard(uid)
            if worker is not None:
                worker.offer(pod, removed=True)
            return
        if uid in self._gone:
            return
        if worker is not None:
            if old is not None and _labels(old) != _labels(pod):
                self.volumes.outdated(uid)  # downward API files show labels and annotations
            worker.offer(pod)
            return
        observed = self._observed.pop(uid, None) or Observed()
        worker = PodWorker(self.context, self.containers, self.prober, self.writer, pod, observed, self._admit,
                           self._on_gone)
        self.workers[uid] = worker
        self._requests[uid] = pod_requests(pod["spec"])
        worker.poke()

    def _on_gone(self, worker: PodWorker) -> None:
        """A pod's containers are gone and its last status is on its way."""
        uid = worker.uid
        self.workers.pop(uid, None)
        self._requests.pop(uid, None)
        if not worker.removed:
            self._gone.add(uid)
        self.sources.release(uid)
        self.containers.images.forget(uid)
        self.context.backoff.forget(uid)

    async def _follow_runtime(self) -> None:
        async for event in self.runtime.events():
            worker = self.workers.get(event.pod.uid)
            if worker is not None:
                worker.note(event.container_id)

    def _on_source(self, uid: str) -> None:
        """A ConfigMap or Secret that this pod uses has changed."""
        worker = self.workers.get(uid)
        if worker is not None:
            self.volumes.outdated(uid)
            worker.wake()

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _admit(self, pod: Obj) -> Verdict | None:
        """Ask with the node as it is known, and before a refusal as it is now: others label, taint and enlarge it."""
        if self._judge(pod) is None:
            return None
        await self.agent.look()
        return self._judge(pod)

    def _judge(self, pod: Obj) -> Verdict | None:
        uid = pod["metadata"]["uid"]
        others = [w for w in self.workers.values() if w.uid != uid and w.admitted
                  and w.status.get("phase") not in TERMINAL]
        used: Amounts = {}
        for worker in others:
            for resource, n in self._requests[worker.uid].items():
                used[resource] = used.get(resource, 0) + n
        ports = [p for w in others for p in host_ports(w.pod["spec"])]
        return admit(pod, self._requests[uid], self.agent.node, used, len(others), ports)

    def _services_for(self, namespace: str) -> Sequence[Obj]:
        own = self.services.by_index("namespace", namespace)
        return own if namespace == "default" else [*own, *self.services.by_index("namespace", "default")]

    def worker(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """Return the worker of a pod by name, as requests for streams ask for it."""
        pod = self.pods.get(f"{namespace}/{name}")
        if pod is None or (uid and pod["metadata"]["uid"] != uid):
            return None
        return self.workers.get(pod["metadata"]["uid"])


def _labels(pod: Obj) -> tuple[object, object]:
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")


def _service_scope(service: Obj) -> list[str]:
    return [service["metadata"]["namespace"]]
