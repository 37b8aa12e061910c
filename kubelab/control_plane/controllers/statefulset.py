"""StatefulSet controller: pods that keep their name, their order and their volumes.

    Pod event ─► its owner's key ─► reconcile ─► revisions ─► the next step (stateful_plan, stateful_pods) ─► status

Invariant: a pod is made only when no other of its name is left, and its claims are there before it.
Models:    kube-controller-manager, statefulset-controller
"""

from __future__ import annotations

from typing import Any

from kubelab.client.informer import Informers
from kubelab.control_plane.controllers import revisions as history
from kubelab.control_plane.controllers.claims import claim
from kubelab.control_plane.controllers.pod_owner import PodOwner, write_status
from kubelab.control_plane.controllers.pods import POD_INDEXERS, available_in
from kubelab.control_plane.controllers.stateful_plan import (
    HASH_LABEL,
    Plan,
    Revisions,
    ordinal_of,
    plan_stateful,
    revision_of,
    status_of,
)
from kubelab.control_plane.controllers.stateful_pods import CLAIMS, StatefulPods
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import is_terminating, key_of
from kubelab.machinery.request import Obj

CLAIMS_LOOKED_AT_S = 1.0  # so long a pod waits at least for claims that have still to go


class StatefulSetController(PodOwner):
    resource = "statefulsets.apps"

    def __init__(self, name: str, client: Any, informers: Informers, **parts: Any) -> None:
        self.history = informers.of(history.RESOURCE, indexers={"controller": POD_INDEXERS["controller"]})
        claims = informers.of(CLAIMS)
        super().__init__(name, client, informers, others=(self.history, claims), **parts)
        self.hands = StatefulPods(client, claims, self.recorder)

    async def reconcile(self, key: str) -> None:
        stateful = self.owners.get(key)
        if stateful is None:
            self.expectations.forget(key)
            return
        may_act = self.expectations.satisfied(key)  # asked before the pods are looked at, not after
        pods = [pod for pod in await self.claimed(stateful) if ordinal_of(stateful, pod) is not None]
        known = await claim(self.client, self.kind, stateful, self.selector_of(stateful), history.RESOURCE,
                            self.history.by_index("controller", stateful["metadata"]["uid"]))
        update = await history.current_revision(self.client, stateful, self.kind, known, HASH_LABEL)
        by_name = {revision["metadata"]["name"]: revision for revision in known}
        current = (stateful.get("status") or {}).get("currentRevision", "")
        revisions = Revisions(current if current in by_name else update["metadata"]["name"],
                              update["metadata"]["name"])
        now, error = self.clock.now(), None
        if may_act and not is_terminating(stateful):
            try:
                await self._act(key, stateful, plan_stateful(stateful, pods, revisions, now), pods, by_name)
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

    async def _act(self, key: str, stateful: Obj, plan: Plan, pods: list[Obj], by_name: dict[str, Obj]) -> None:
        for pod in pods:
            await self.hands.keep(stateful, pod)
        uids = {pod["metadata"]["uid"] for pod in pods}
        create = [(ordinal, revision) for ordinal, revision in plan.create
                  if not self.hands.waits_for_claims(stateful, ordinal, uids)]
        if len(create) < len(plan.create):
            self.queue.add_after(key, CLAIMS_LOOKED_AT_S)
        if create:
            self.expectations.expect_creations(key, len(create))
        for done, (ordinal, revision) in enumerate(create):
            stored = by_name.get(revision)
            template = {k: v for k, v in stored["data"]["spec"]["template"].items() if k != "$patch"} if stored else \
                stateful["spec"]["template"]
            try:
                await self.hands.make(stateful, template, ordinal, revision)
            except BaseException:
                self.expectations.creation_observed(key, len(create) - done)  # those will never be seen
                raise
        if plan.delete and not create:
            self.expectations.expect_deletions(key, [key_of(pod) for pod in plan.delete])
        for pod in plan.delete:
            try:
                gone = not await self.hands.give_up(stateful, pod)
            except ApiError:
                self.expectations.deletion_observed(key, key_of(pod))
                raise
            if gone:
                self.expectations.deletion_observed(key, key_of(pod))
