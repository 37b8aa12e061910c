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

from collections.abc import Mapping

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers import deployment_status as report
from kubelab.control_plane.controllers.claims import claim
from kubelab.control_plane.controllers.deployment_revisions import (
    REVISION,
    forgotten,
    new_set,
    new_set_annotations,
    next_revision,
    replica_annotations,
    split,
    template_of,
)
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
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import controller_of, get_condition, is_terminating, key_of
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector
from kubelab.units import find

SETS = "replicasets.apps"


class Rollout:
    """One reconcile's picture of a Deployment; replaced piece by piece as writes are answered."""

    def __init__(self, deployment: Obj, sets: list[Obj]) -> None:
        self.deployment = deployment
        self.new, self.olds = split(deployment, sets)

    @property
    def sets(self) -> list[Obj]:
        return [*self.olds, self.new] if self.new else list(self.olds)

    def replace(self, rs: Obj) -> None:
        uid = rs["metadata"]["uid"]
        if self.new and self.new["metadata"]["uid"] == uid:
            self.new = rs
        self.olds = [rs if old["metadata"]["uid"] == uid else old for old in self.olds]


class DeploymentController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder = client, recorder
        self.kind = find("deployments.apps")
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
        rollout = Rollout(deployment, sets)
        if is_terminating(deployment):
            await self._report(rollout, report.counts(deployment, rollout.sets, rollout.new, self.clock.now()))
            return
        await self._note_pause(rollout)
        await self._sync_revision(rollout)
        await self._step(rollout)

    async def _step(self, rollout: Rollout) -> None:
        deployment = rollout.deployment
        paused = bool(deployment["spec"].get("paused"))
        if paused or being_scaled(deployment, rollout.sets):
            await self._scale(rollout, scaled_sizes(deployment, rollout.new, rollout.olds))
            if paused:
                await self._clean_up(rollout)
            await self._report(rollout, report.counts(rollout.deployment, rollout.sets, rollout.new, self.clock.now()))
            return
        moved = await (self._roll(rollout) if rolling(deployment) else self._recreate(rollout))
        if not moved and report.complete(rollout.deployment, rollout.deployment.get("status") or {}):
            await self._clean_up(rollout)
        await self._report(rollout, report.rollout(rollout.deployment, rollout.sets, rollout.new, self.clock.now()))

    async def _roll(self, rollout: Rollout) -> bool:
        """Take the next step of a rolling update; return whether there was one."""
        new = await self._ensure_new(rollout)
        grown = new_size(rollout.deployment, rollout.sets, size(new))
        if await self._scale(rollout, {new["metadata"]["name"]: grown} if grown != size(new) else {}):
            return True
        return await self._scale(rollout, shrink_old(rollout.deployment, active(rollout.olds), rollout.new))

    async def _recreate(self, rollout: Rollout) -> bool:
        if await self._scale(rollout, {rs["metadata"]["name"]: 0 for rs in active(rollout.olds)}):
            return True
        if self._old_pods_run(rollout):
            return True
        new = await self._ensure_new(rollout)
        want = replicas(rollout.deployment)
        return await self._scale(rollout, {new["metadata"]["name"]: want} if size(new) != want else {})

    def _old_pods_run(self, rollout: Rollout) -> bool:
        return any((rs.get("status") or {}).get("replicas") or any(
            not is_finished(pod) for pod in self.pods.by_index("controller", rs["metadata"]["uid"]))
            for rs in rollout.olds)

    # acts
    async def _scale(self, rollout: Rollout, sizes: Mapping[str, int]) -> bool:
        """Give ReplicaSets their sizes; return whether any changed."""
        moved = False
        for rs in rollout.sets:
            meta, before = rs["metadata"], size(rs)
            after = sizes.get(meta["name"])
            if after is None:
                continue
            notes = {**(meta.get("annotations") or {}), **replica_annotations(rollout.deployment)}
            if after == before and notes == meta.get("annotations"):
                continue
            wanted = {**rs, "metadata": {**meta, "annotations": notes}, "spec": {**rs["spec"], "replicas": after}}
            rollout.replace(await self.client.update(SETS, wanted))
            if after != before:
                moved = True
                way = "up" if after > before else "down"
                self.recorder.event(rollout.deployment, "Normal", "ScalingReplicaSet",
                                    f"Scaled {way} replica set {meta['name']} from {before} to {after}")
        return moved

    async def _clean_up(self, rollout: Rollout) -> None:
        for rs in forgotten(rollout.deployment, rollout.olds):
            try:
                await self.client.delete(SETS, rs["metadata"]["name"], rs["metadata"]["namespace"],
                                         uid=rs["metadata"]["uid"])
            except ApiError as error:
                if error.code != 404:
                    raise

    async def _sync_revision(self, rollout: Rollout) -> None:
        """Keep the new ReplicaSet's annotations, and the Deployment's revision, as they should be."""
        new = rollout.new
        if new is None:
            return
        meta, wait_s = new["metadata"], rollout.deployment["spec"].get("minReadySeconds", 0)
        notes = new_set_annotations(rollout.deployment, new, next_revision(rollout.olds))
        if notes != (meta.get("annotations") or {}) or new["spec"].get("minReadySeconds", 0) != wait_s:
            spec = {**new["spec"], "minReadySeconds": wait_s}
            wanted = {**new, "metadata": {**meta, "annotations": notes}, "spec": spec}
            rollout.replace(await self.client.update(SETS, wanted))
        await self._note(rollout, notes[REVISION], "FoundNewReplicaSet", f'Found new replica set "{meta["name"]}"')

    async def _ensure_new(self, rollout: Rollout) -> Obj:
        """Return the ReplicaSet of the current template; make it when there is none."""
        if rollout.new is not None:
            return rollout.new
        deployment = rollout.deployment
        revision, count = next_revision(rollout.olds), new_size(deployment, rollout.olds, 0)
        wanted = new_set(deployment, count, revision)
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        try:
            made = await self.client.create(SETS, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                await self._creation_failed(rollout, name, error)
                raise
            made = await self._collided(rollout, await self.client.get(SETS, name, namespace), error)
            count = 0
        if count:
            self.recorder.event(deployment, "Normal", "ScalingReplicaSet",
                                f"Scaled up replica set {name} from 0 to {count}")
        rollout.new = made
        message = f'Created new replica set "{name}"'
        await self._note(rollout, str(revision), "NewReplicaSetCreated", message, fresh=True)
        return made

    async def _collided(self, rollout: Rollout, found: Obj, error: ApiError) -> Obj:
        """The name is taken: by ourselves, seen late, or by another template with the same hash: count that."""
        deployment, owner = rollout.deployment, controller_of(found)
        if owner and owner["uid"] == deployment["metadata"]["uid"] and \
                template_of(found) == template_of({"spec": deployment["spec"]}):
            return found
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        await self._write(rollout, status)
        raise error

    async def _creation_failed(self, rollout: Rollout, name: str, error: ApiError) -> None:
        if "being terminated" in error.message:
            return
        message = f'Failed to create new replica set "{name}": {error}'
        if report.deadline_s(rollout.deployment) is not None:
            await self._set_progressing(rollout, "False", "ReplicaSetCreateError", message)
        self.recorder.event(rollout.deployment, "Warning", "ReplicaSetCreateError", message)

    # report
    async def _note_pause(self, rollout: Rollout) -> None:
        current = get_condition(rollout.deployment, "Progressing")
        if report.deadline_s(rollout.deployment) is None or (current and current["reason"] == report.TIMED_OUT):
            return
        paused = bool(rollout.deployment["spec"].get("paused"))
        noted = current is not None and current["reason"] == report.PAUSED
        if paused and not noted:
            await self._set_progressing(rollout, "Unknown", report.PAUSED, "Deployment is paused")
        elif noted and not paused:
            await self._set_progressing(rollout, "Unknown", report.RESUMED, "Deployment is resumed")

    async def _set_progressing(self, rollout: Rollout, status: str, reason: str, message: str) -> None:
        old = rollout.deployment.get("status") or {}
        new = report.condition("Progressing", status, reason, message, self.clock.now())
        conditions = report.with_condition(old.get("conditions") or [], new)
        await self._write(rollout, {**old, "conditions": conditions})

    async def _note(self, rollout: Rollout, revision: str, reason: str, message: str, *, fresh: bool = False) -> None:
        """Write the revision and, with a new ReplicaSet or none told of yet, the Progressing condition."""
        deployment = rollout.deployment
        meta, status = deployment["metadata"], deployment.get("status") or {}
        notes = {**(meta.get("annotations") or {}), REVISION: revision}
        conditions = status.get("conditions") or []
        if report.deadline_s(deployment) is not None and (fresh or get_condition(deployment, "Progressing") is None):
            told = report.condition("Progressing", "True", reason, message, self.clock.now())
            conditions = report.with_condition(conditions, told)
        if notes == meta.get("annotations") and conditions == (status.get("conditions") or []):
            return
        rollout.deployment = {**deployment, "metadata": {**meta, "annotations": notes}}
        await self._write(rollout, {**status, "conditions": conditions})

    async def _report(self, rollout: Rollout, status: report.Status) -> None:
        stuck_s = report.stuck_in_s(rollout.deployment, status, self.clock.now())
        if stuck_s is not None:
            self.queue.add_after(key_of(rollout.deployment), stuck_s)
        if status != rollout.deployment.get("status"):
            await self._write(rollout, status)

    async def _write(self, rollout: Rollout, status: report.Status) -> None:
        wanted = {**rollout.deployment, "status": status}
        rollout.deployment = await self.client.update(self.kind, wanted, subresource="status")
