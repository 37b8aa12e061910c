"""What ReplicaSet and ReplicationController share: keep `spec.replicas` live pods for each owner.

    key ─► its pods ─► plan_replicas ─► create or delete ─► status

Invariant: pods are created or deleted here, never edited; with unmet expectations nothing is created or deleted.
Models:    pkg/controller/replicaset (which serves replication controllers too)
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.controllers.pod_owner import PodOwner, slow_start, write_status
from kubelab.control_plane.controllers.replica_plan import Plan, plan_replicas, pod_from, status_of, tally
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import controller_of, is_terminating, owner_reference
from kubelab.machinery.request import Obj


class ReplicaController(PodOwner):
    """Base of both."""

    counts_terminating = True

    async def reconcile(self, key: str) -> None:
        owner = self.owners.get(key)
        if owner is None:
            self.expectations.forget(key)
            return
        may_act = self.expectations.satisfied(key)  # asked before the pods are looked at, not after
        pods = await self.claimed(owner)
        failure: tuple[str, str] | None = None
        error: Exception | None = None
        if may_act and not is_terminating(owner):
            plan = plan_replicas(owner["spec"].get("replicas", 1), pods, self.clock.now(), self._related(owner, pods))
            try:
                await self._act(key, owner, plan)
            except ApiError as caught:
                error = caught
                failure = ("FailedCreate" if plan.create else "FailedDelete", str(caught))
        await self._report(key, owner, pods, failure)
        if error is not None:
            raise error

    def _related(self, owner: Obj, pods: Sequence[Obj]) -> Sequence[Obj]:
        """Find the pods of all sets with the same controller, such as the revisions of one Deployment."""
        above = controller_of(owner)
        if above is None or len(pods) <= owner["spec"].get("replicas", 1):
            return pods
        return [pod for sibling in self.owners.by_index("controller", above["uid"])
                for pod in self.pods.by_index("controller", sibling["metadata"]["uid"])]

    async def _act(self, key: str, owner: Obj, plan: Plan) -> None:
        if plan.create:
            self.expectations.expect_creations(key, plan.create)
            reference = owner_reference(owner, self.kind.kind, self.kind.api_version)
            pod = pod_from(owner, owner["spec"]["template"], reference)
            tried, error = await slow_start(plan.create, lambda: self._create(key, owner, pod))
            if error is not None:
                self.expectations.creation_observed(key, plan.create - tried)  # those will never be seen
                raise error
        elif plan.delete:
            await self.delete_all(key, owner, plan.delete)

    async def _report(self, key: str, owner: Obj, pods: Sequence[Obj], failure: tuple[str, str] | None) -> None:
        now = self.clock.now()
        labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
        counts = tally(pods, labels, owner["spec"].get("minReadySeconds", 0), now)
        status = status_of(owner, counts, failure, now, terminating=self.counts_terminating)
        if counts.next_s is not None:
            self.queue.add_after(key, counts.next_s)
        if status == owner.get("status"):
            return
        await write_status(self.client, self.kind.qualified, owner, status)
