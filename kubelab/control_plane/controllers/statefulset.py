"""StatefulSet controller: pods that keep their name, their order and their volumes.

    Pod event ─► its owner's key ─► reconcile ─► revisions ─► the next step (stateful_plan) ─► status

Invariant: a pod is made only when no other of its name is left, and its claims are there before it.
Models:    kube-controller-manager, statefulset-controller
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.client.informer import Informers
from kubelab.control_plane.controllers import revisions as history
from kubelab.control_plane.controllers.claims import claim
from kubelab.control_plane.controllers.pod_owner import PodOwner, write_status
from kubelab.control_plane.controllers.pods import POD_INDEXERS, available_in
from kubelab.control_plane.controllers.replica_plan import pod_from
from kubelab.control_plane.controllers.stateful_plan import (
    HASH_LABEL,
    Plan,
    Revisions,
    claims_of,
    ordinal_of,
    ordinals,
    plan_stateful,
    pod_of,
    revision_of,
    status_of,
)
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import is_terminating, key_of, owner_reference
from kubelab.machinery.request import Obj

CLAIMS = "persistentvolumeclaims"


class StatefulSetController(PodOwner):
    resource = "statefulsets.apps"

    def __init__(self, name: str, client: Any, informers: Informers, **parts: Any) -> None:
        self.history = informers.of(history.RESOURCE, indexers={"controller": POD_INDEXERS["controller"]})
        self.claims = informers.of(CLAIMS)
        super().__init__(name, client, informers, others=(self.history, self.claims), **parts)

    async def reconcile(self, key: str) -> None:
        stateful = self.owners.get(key)
        if stateful is None:
            self.expectations.forget(key)
            return
        may_act = self.expectations.satisfied(key)  # asked before the pods are looked at, not after
        pods = [pod for pod in await self.claimed(stateful) if ordinal_of(stateful, pod) is not None]
        if is_terminating(stateful):
            return
        known = await claim(self.client, self.kind, stateful, self.selector_of(stateful), history.RESOURCE,
                            self.history.by_index("controller", stateful["metadata"]["uid"]))
        update = await history.current_revision(self.client, stateful, self.kind, known, HASH_LABEL)
        by_name = {revision["metadata"]["name"]: revision for revision in known}
        current = (stateful.get("status") or {}).get("currentRevision", "")
        revisions = Revisions(current if current in by_name else update["metadata"]["name"],
                              update["metadata"]["name"])
        now, error, plan = self.clock.now(), None, Plan()
        if may_act:
            plan = plan_stateful(stateful, pods, revisions, now)
            try:
                await self._act(key, stateful, plan, by_name)
            except ApiError as caught:
                error = caught
        waits = [s for pod in pods if (s := available_in(pod, stateful["spec"].get("minReadySeconds", 0), now))]
        if waits:
            self.queue.add_after(key, min(waits))
        status = status_of(stateful, pods, revisions, now)
        if status != stateful.get("status"):
            await write_status(self.client, self.kind.qualified, stateful, status)
        live = {revisions.current, revisions.update, status["currentRevision"], *map(revision_of, pods)}
        await history.forget(self.client, known, live, stateful["spec"].get("revisionHistoryLimit", 10))
        if error is not None:
            raise error

    async def _act(self, key: str, stateful: Obj, plan: Plan, by_name: dict[str, Obj]) -> None:
        if plan.create:
            self.expectations.expect_creations(key, len(plan.create))
        for done, (ordinal, revision) in enumerate(plan.create):
            try:
                await self._make(stateful, ordinal, revision, by_name)
            except BaseException:
                self.expectations.creation_observed(key, len(plan.create) - done)  # those will never be seen
                raise
        if plan.delete:
            if not plan.create:
                self.expectations.expect_deletions(key, [key_of(pod) for pod in plan.delete])
            for pod in plan.delete:
                await self._give_up(key, stateful, pod)

    async def _make(self, stateful: Obj, ordinal: int, revision: str, by_name: dict[str, Obj]) -> None:
        """Make a pod, its claims first."""
        meta = stateful["metadata"]
        for wanted in claims_of(stateful, ordinal):
            await self._claim(stateful, wanted, f"{meta['name']}-{ordinal}")
        stored = by_name.get(revision)
        template = {k: v for k, v in stored["data"]["spec"]["template"].items() if k != "$patch"} if stored else \
            stateful["spec"]["template"]
        base = pod_from(stateful, template, owner_reference(stateful, self.kind.kind, self.kind.api_version))
        pod = pod_of(stateful, base, ordinal, revision)
        try:
            await self.client.create("pods", pod, meta["namespace"])
        except ApiError as error:
            self._tell(stateful, "Create", f"Pod {pod['metadata']['name']}", error)
            raise
        self._tell(stateful, "Create", f"Pod {pod['metadata']['name']}")

    async def _claim(self, stateful: Obj, wanted: Obj, pod: str) -> None:
        if self.claims.get(key_of(wanted)) is not None:
            return
        what = f"Claim {wanted['metadata']['name']} Pod {pod}"
        retention = stateful["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if retention.get("whenDeleted") == "Delete":
            owner = owner_reference(stateful, self.kind.kind, self.kind.api_version, controller=False, block=False)
            wanted = {**wanted, "metadata": {**wanted["metadata"], "ownerReferences": [owner]}}
        try:
            await self.client.create(CLAIMS, wanted, stateful["metadata"]["namespace"])
        except ApiError as error:
            if error.code != 409:
                self._tell(stateful, "Create", what, error)
                raise
        else:
            self._tell(stateful, "Create", what)

    async def _give_up(self, key: str, stateful: Obj, pod: Obj) -> None:
        meta, ordinal = pod["metadata"], ordinal_of(stateful, pod)
        try:
            await self.client.delete("pods", meta["name"], meta["namespace"], uid=meta["uid"])
        except ApiError as error:
            self.expectations.deletion_observed(key, key_of(pod))
            if error.code != 404:
                self._tell(stateful, "Delete", f"Pod {meta['name']}", error)
                raise
            return
        self._tell(stateful, "Delete", f"Pod {meta['name']}")
        retention = stateful["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if ordinal is not None and ordinal not in ordinals(stateful) and retention.get("whenScaled") == "Delete":
            await self._drop_claims(stateful, [c["metadata"]["name"] for c in claims_of(stateful, ordinal)])

    async def _drop_claims(self, stateful: Obj, names: Sequence[str]) -> None:
        """Give up the claims of a pod that was scaled away; they go when nobody uses them any more."""
        for name in names:
            try:
                await self.client.delete(CLAIMS, name, stateful["metadata"]["namespace"])
            except ApiError as error:
                if error.code != 404:
                    raise

    def _tell(self, stateful: Obj, verb: str, what: str, error: ApiError | None = None) -> None:
        where = f"in StatefulSet {stateful['metadata']['name']}"
        if error is None:
            self.recorder.event(stateful, "Normal", f"Successful{verb}", f"{verb} {what} {where} successful"
                                if what.startswith("Pod") else f"{verb} {what} {where} success")
        else:
            self.recorder.event(stateful, "Warning", f"Failed{verb}", f"{verb} {what} {where} failed error: {error}")
