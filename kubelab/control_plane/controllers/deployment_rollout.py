"""One reconcile's rollout: a Deployment and its ReplicaSets as they are now, and the writes that move them on.

    Rollout(deployment, sets) ─► scale, ensure_new, sync_revision, clean_up, report
                                   └─ each answer of the API server replaces its piece of the picture

Invariant: every write starts from the newest version this reconcile has seen, so a stale picture ends in Conflict.
Models:    pkg/controller/deployment/sync.go
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.client.client import Client
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers import deployment_status as progress
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
from kubelab.control_plane.controllers.deployment_sizes import new_size, size
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import controller_of, get_condition
from kubelab.machinery.request import Obj

DEPLOYMENTS, SETS = "deployments.apps", "replicasets.apps"


class Rollout:
    def __init__(self, deployment: Obj, sets: list[Obj], client: Client, recorder: EventRecorder, clock: Clock) -> None:
        self.deployment = deployment
        self.new, self.olds = split(deployment, sets)
        self.client, self.recorder, self.clock = client, recorder, clock

    @property
    def sets(self) -> list[Obj]:
        return [*self.olds, self.new] if self.new else list(self.olds)

    def replace(self, rs: Obj) -> None:
        uid = rs["metadata"]["uid"]
        if self.new and self.new["metadata"]["uid"] == uid:
            self.new = rs
        self.olds = [rs if old["metadata"]["uid"] == uid else old for old in self.olds]

    # acts
    async def scale(self, sizes: Mapping[str, int]) -> bool:
        """Give ReplicaSets their sizes; return whether any changed."""
        moved = False
        for rs in self.sets:
            meta, before = rs["metadata"], size(rs)
            after = sizes.get(meta["name"])
            if after is None:
                continue
            notes = {**(meta.get("annotations") or {}), **replica_annotations(self.deployment)}
            if after == before and notes == meta.get("annotations"):
                continue
            wanted = {**rs, "metadata": {**meta, "annotations": notes}, "spec": {**rs["spec"], "replicas": after}}
            self.replace(await self.client.update(SETS, wanted))
            if after != before:
                moved = True
                way = "up" if after > before else "down"
                self.recorder.event(self.deployment, "Normal", "ScalingReplicaSet",
                                    f"Scaled {way} replica set {meta['name']} from {before} to {after}")
        return moved

    async def clean_up(self) -> None:
        for rs in forgotten(self.deployment, self.olds):
            try:
                await self.client.delete(SETS, rs["metadata"]["name"], rs["metadata"]["namespace"],
                                         uid=rs["metadata"]["uid"])
            except ApiError as error:
                if error.code != 404:
                    raise

    async def sync_revision(self) -> None:
        """Keep the new ReplicaSet's annotations, and the Deployment's revision, as they should be."""
        new = self.new
        if new is None:
            return
        meta, wait_s = new["metadata"], self.deployment["spec"].get("minReadySeconds", 0)
        notes = new_set_annotations(self.deployment, new, next_revision(self.olds))
        if notes != (meta.get("annotations") or {}) or new["spec"].get("minReadySeconds", 0) != wait_s:
            spec = {**new["spec"], "minReadySeconds": wait_s}
            wanted = {**new, "metadata": {**meta, "annotations": notes}, "spec": spec}
            self.replace(await self.client.update(SETS, wanted))
        await self._note(notes[REVISION], "FoundNewReplicaSet", f'Found new replica set "{meta["name"]}"')

    async def ensure_new(self) -> Obj:
        """Return the ReplicaSet of the current template; make it when there is none."""
        if self.new is not None:
            return self.new
        deployment = self.deployment
        revision, count = next_revision(self.olds), new_size(deployment, self.olds, 0)
        wanted = new_set(deployment, count, revision)
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        try:
            made = await self.client.create(SETS, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                await self._creation_failed(name, error)
                raise
            made = await self._collided(await self.client.get(SETS, name, namespace), error)
            count = 0
        if count:
            self.recorder.event(deployment, "Normal", "ScalingReplicaSet",
                                f"Scaled up replica set {name} from 0 to {count}")
        self.new = made
        message = f'Created new replica set "{name}"'
        await self._note(str(revision), "NewReplicaSetCreated", message, fresh=True)
        return made

    async def _collided(self, found: Obj, error: ApiError) -> Obj:
        """The name is taken: by ourselves, seen late, or by another template with the same hash: count that."""
        deployment, owner = self.deployment, controller_of(found)
        if owner and owner["uid"] == deployment["metadata"]["uid"] and \
                template_of(found) == template_of({"spec": deployment["spec"]}):
            return found
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        await self._write(status)
        raise error

    async def _creation_failed(self, name: str, error: ApiError) -> None:
        if "being terminated" in error.message:
            return
        message = f'Failed to create new replica set "{name}": {error}'
        if progress.deadline_s(self.deployment) is not None:
            await self._set_progressing("False", "ReplicaSetCreateError", message)
        self.recorder.event(self.deployment, "Warning", "ReplicaSetCreateError", message)

    # report
    async def note_pause(self) -> None:
        current = get_condition(self.deployment, "Progressing")
        if progress.deadline_s(self.deployment) is None or (current and current["reason"] == progress.TIMED_OUT):
            return
        paused = bool(self.deployment["spec"].get("paused"))
        noted = current is not None and current["reason"] == progress.PAUSED
        if paused and not noted:
            await self._set_progressing("Unknown", progress.PAUSED, "Deployment is paused")
        elif noted and not paused:
            await self._set_progressing("Unknown", progress.RESUMED, "Deployment is resumed")

    async def _set_progressing(self, status: str, reason: str, message: str) -> None:
        old = self.deployment.get("status") or {}
        new = progress.condition("Progressing", status, reason, message, self.clock.now())
        conditions = progress.with_condition(old.get("conditions") or [], new)
        await self._write({**old, "conditions": conditions})

    async def _note(self, revision: str, reason: str, message: str, *, fresh: bool = False) -> None:
        """Write the revision and, with a new ReplicaSet or none told of yet, the Progressing condition."""
        deployment = self.deployment
        meta, status = deployment["metadata"], deployment.get("status") or {}
        notes = {**(meta.get("annotations") or {}), REVISION: revision}
        conditions = status.get("conditions") or []
        if progress.deadline_s(deployment) is not None and (fresh or get_condition(deployment, "Progressing") is None):
            told = progress.condition("Progressing", "True", reason, message, self.clock.now())
            conditions = progress.with_condition(conditions, told)
        if notes == meta.get("annotations") and conditions == (status.get("conditions") or []):
            return
        self.deployment = {**deployment, "metadata": {**meta, "annotations": notes}}
        await self._write({**status, "conditions": conditions})

    async def report(self, status: progress.Status) -> float | None:
        """Write the status if it is news; return in how many seconds its deadline has to be looked at."""
        stuck_s = progress.stuck_in_s(self.deployment, status, self.clock.now())
        if status != self.deployment.get("status"):
            await self._write(status)
        return stuck_s

    async def _write(self, status: progress.Status) -> None:
        wanted = {**self.deployment, "status": status}
        self.deployment = await self.client.update(DEPLOYMENTS, wanted, subresource="status")
