"""Deployment controller: carry a Deployment from one pod template to the next, through its ReplicaSets.

    observe: ReplicaSets of the Deployment ─► which has the current template (new), which do not (olds)
    decide:  paused or being scaled ─► sizes in proportion
             Recreate ─► olds to 0, wait until their pods are gone, new to all
             RollingUpdate ─► new up within maxSurge, else olds down within maxUnavailable
    report:  counts, Available, Progressing

Invariant: pods are never touched here; each reconcile takes one step, the next event brings the next.
Models:    kube-controller-manager, deployment-controller
Left out:  the rollbackTo of extensions/v1beta1 (kubectl rollout undo patches the template)
"""

from __future__ import annotations

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers import deployment_status as progress
from kubelab.control_plane.controllers.claims import claim
from kubelab.control_plane.controllers.deployment_rollout import DEPLOYMENTS, SETS, Rollout
from kubelab.control_plane.controllers.deployment_sizes import (
    active,
    being_scaled,
    new_size,
    replicas,
    rolling,
    scaled_sizes,
    shrink_old,
    size,
)
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_finished
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import controller_of, is_terminating, key_of
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector
from kubelab.units import find


class DeploymentController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder = client, recorder
        self.kind = find(DEPLOYMENTS)
        namespaces = {"namespace": POD_INDEXERS["namespace"]}
        self.deployments = informers.of(self.kind, indexers=namespaces)
        self.sets = informers.of(SETS, indexers={"controller": POD_INDEXERS["controller"], **namespaces})
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, workers=5,
                         informers=(self.deployments, self.sets, self.pods))
        self.deployments.on_event(lambda type_, obj, old: self.queue.add(key_of(obj)))
        self.sets.on_event(self._on_set)
        self.pods.on_event(self._on_pod)

    # events
    def _on_set(self, type_: str, rs: Obj, old: Obj | None) -> None:
        for reference in filter(None, (controller_of(rs), controller_of(old) if old else None)):
            self._enqueue(rs, reference)
        if controller_of(rs) is None and type_ != "DELETED":
            labels = rs["metadata"].get("labels") or {}
            for deployment in self.deployments.by_index("namespace", rs["metadata"]["namespace"]):
                if from_label_selector(deployment["spec"]["selector"]).matches(labels):
                    self.queue.add(key_of(deployment))

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        """A Recreate waits for the last old pod to go."""
        reference = controller_of(pod) if type_ == "DELETED" else None
        if reference is not None and reference["kind"] == "ReplicaSet":
            rs = self.sets.get(f"{pod['metadata']['namespace']}/{reference['name']}")
            above = controller_of(rs) if rs else None
            if rs and above:
                deployment = self.deployments.get(f"{pod['metadata']['namespace']}/{above['name']}")
                if deployment and not rolling(deployment):
                    self._enqueue(rs, above)

    def _enqueue(self, rs: Obj, reference: Obj) -> None:
        key = f"{rs['metadata']['namespace']}/{reference['name']}"
        deployment = self.deployments.get(key)
        if deployment is not None and deployment["metadata"]["uid"] == reference["uid"]:
            self.queue.add(key)

    # the verb
    async def reconcile(self, key: str) -> None:
        deployment = self.deployments.get(key)
        if deployment is None:
            return
        selector = deployment["spec"]["selector"]
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            self.recorder.event(deployment, "Warning", "SelectingAll",
                                "This deployment is selecting all pods. A non-empty selector is required.")
            return
        uid, namespace = deployment["metadata"]["uid"], deployment["metadata"]["namespace"]
        candidates = [*self.sets.by_index("controller", uid), *self.sets.by_index("controller", f"orphan:{namespace}")]
        sets = await claim(self.client, self.kind, deployment, from_label_selector(selector), SETS, candidates)
        rollout = Rollout(deployment, sets, self.client, self.recorder, self.clock)
        if is_terminating(deployment):
            await rollout.report(progress.counts(deployment, rollout.sets, rollout.new, self.clock.now()))
            return
        await rollout.note_pause()
        await rollout.sync_revision()
        stuck_s = await rollout.report(await self._step(rollout))
        if stuck_s is not None:
            self.queue.add_after(key, stuck_s)

    async def _step(self, rollout: Rollout) -> progress.Status:
        """Move one step on; return the status to report."""
        paused = bool(rollout.deployment["spec"].get("paused"))
        if paused or being_scaled(rollout.deployment, rollout.sets):
            await rollout.scale(scaled_sizes(rollout.deployment, rollout.new, rollout.olds))
            if paused:
                await rollout.clean_up()
            return progress.counts(rollout.deployment, rollout.sets, rollout.new, self.clock.now())
        moved = await (self._roll(rollout) if rolling(rollout.deployment) else self._recreate(rollout))
        if not moved and progress.complete(rollout.deployment, rollout.deployment.get("status") or {}):
            await rollout.clean_up()
        return progress.rollout(rollout.deployment, rollout.sets, rollout.new, self.clock.now())

    async def _roll(self, rollout: Rollout) -> bool:
        """Take the next step of a rolling update; return whether there was one."""
        new = await rollout.ensure_new()
        grown = new_size(rollout.deployment, rollout.sets, size(new))
        if await rollout.scale({new["metadata"]["name"]: grown} if grown != size(new) else {}):
            return True
        return await rollout.scale(shrink_old(rollout.deployment, active(rollout.olds), rollout.new))

    async def _recreate(self, rollout: Rollout) -> bool:
        if await rollout.scale({rs["metadata"]["name"]: 0 for rs in active(rollout.olds)}):
            return True
        if self._old_pods_run(rollout):
            return True
        new = await rollout.ensure_new()
        want = replicas(rollout.deployment)
        return await rollout.scale({new["metadata"]["name"]: want} if size(new) != want else {})

    def _old_pods_run(self, rollout: Rollout) -> bool:
        return any((rs.get("status") or {}).get("replicas") or any(
            not is_finished(pod) for pod in self.pods.by_index("controller", rs["metadata"]["uid"]))
            for rs in rollout.olds)
