"""Job controller: run pods that end until enough of them have succeeded, and count each of them exactly once.

    Pod event ─► its job's key ─► reconcile ─┬─► make or give up pods (job_plan)
                                             └─► count: uid into status.uncountedTerminatedPods
                                                        ─► finalizer off the pod ─► number up, uid out

Invariant: a pod keeps the finalizer batch.kubernetes.io/job-tracking until the status knows how it ended.
Models:    kube-controller-manager, job-controller
Left out:  nothing a user can see
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from kubelab.control_plane.controllers import job_indexes, job_status
from kubelab.control_plane.controllers.job_plan import (
    TRACKING,
    Outcome,
    Plan,
    Sorted,
    deadline_in,
    decided,
    is_over,
    is_tracked,
    outcome,
    plan_job,
    sort_pods,
)
from kubelab.control_plane.controllers.pod_owner import PodOwner, slow_start, write_status
from kubelab.control_plane.controllers.replica_plan import pod_from
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import controller_of, is_terminating, key_of, owner_reference
from kubelab.machinery.request import Obj

LEFT = "orphan:"  # keys of pods whose job has gone


class JobController(PodOwner):
    resource = "jobs.batch"

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        super()._on_pod(type_, pod, old)
        owner = controller_of(pod)
        if type_ != "DELETED" and is_tracked(pod) and owner is not None and self._is_gone(pod, owner):
            self.queue.add(LEFT + key_of(pod))  # looked at again when all jobs are known

    def _on_owner(self, type_: str, obj: Obj, old: Obj | None) -> None:
        super()._on_owner(type_, obj, old)
        if type_ == "DELETED":
            for pod in self.pods.by_index("controller", obj["metadata"]["uid"]):
                self.queue.add(LEFT + key_of(pod))

    def _is_gone(self, pod: Obj, owner: Obj) -> bool:
        if owner["kind"] != self.kind.kind:
            return False
        job = self.owners.get(f"{pod['metadata']['namespace']}/{owner['name']}")
        return job is None or job["metadata"]["uid"] != owner["uid"]

    async def reconcile(self, key: str) -> None:
        if key.startswith(LEFT):
            await self._let_go_of_left(key.removeprefix(LEFT))
            return
        job = self.owners.get(key)
        if job is None:
            self.expectations.forget(key)
            return
        if job["spec"].get("managedBy") not in (None, "kubernetes.io/job-controller"):
            return
        may_act = self.expectations.satisfied(key)  # asked before the pods are looked at, not after
        pods = await self.claimed(job)
        if is_over(job):
            await self._release(pods)
            return
        now = self.clock.now()
        found = sort_pods(job, pods)
        end = decided(job) or outcome(job, found, now)
        error: ApiError | None = None
        change = 0
        if may_act and not is_terminating(job):
            try:
                change = await self._act(key, job, found, end)
            except ApiError as caught:
                error = caught
        await self._count(job, found, pods, end, change)
        left_s = deadline_in(job, now)
        if left_s is not None and end is None:
            self.queue.add_after(key, max(left_s, 0.0))
        if error is not None:
            raise error

    # acting
    async def _act(self, key: str, job: Obj, found: Sorted, end: Outcome | None) -> int:
        """Make or give up pods; return by how many there are more now."""
        if end is not None:
            if found.active:
                await self.delete_all(key, job, found.active)
            return -len(found.active)
        plan = plan_job(job, found, self.clock.now())
        if plan.wait_s:
            self.queue.add_after(key, plan.wait_s)
        if plan.delete:
            await self._release(plan.delete)  # given up by us: these neither succeeded nor failed
            await self.delete_all(key, job, plan.delete)
            return -len(plan.delete)
        return await self._make(key, job, found, plan) if plan.create else 0

    async def _make(self, key: str, job: Obj, found: Sorted, plan: Plan) -> int:
        self.expectations.expect_creations(key, len(plan.create))
        base = pod_from(job, job["spec"]["template"], owner_reference(job, self.kind.kind, self.kind.api_version))
        base["metadata"]["finalizers"] = [*(base["metadata"].get("finalizers") or ()), TRACKING]
        last, wanted = job_indexes.last_failures(found.failed), iter(plan.create)

        async def make() -> None:
            index = next(wanted)
            await self._create(key, job, base if index is None else job_indexes.indexed(
                base, job, index, self._failures(job, found, last.get(index))))

        tried, error = await slow_start(len(plan.create), make)
        if error is not None:
            self.expectations.creation_observed(key, len(plan.create) - tried)  # those will never be seen
            raise error
        return tried

    def _failures(self, job: Obj, found: Sorted, last: Obj | None) -> dict[str, str]:
        if job["spec"].get("backoffLimitPerIndex") is None:
            return {}
        return job_indexes.failure_notes(last, last is not None and last["metadata"]["uid"] in found.verdict.ignored)

    # counting
    async def _count(self, job: Obj, found: Sorted, pods: Sequence[Obj], end: Outcome | None, change: int) -> None:
        """Write down who ended, let them go, then write the numbers: after each step a crash loses nothing."""
        now = self.clock.now()
        status = job_status.noted(job, found, end, now, change)
        told: Obj | None = job
        if status["uncountedTerminatedPods"] or (end is not None and decided(job) is None):
            told = await self._write(job, status)
        if told is None:
            return
        await self._release(pod for pod in (*found.succeeded, *found.failed))
        over = end is not None and not found.active and not found.terminating and change == 0
        final = job_status.counted(status, end if over else None, now)
        if await self._write(told, final) is not None:
            self._tell(job, final, end if over else None)

    async def _write(self, job: Obj, status: dict[str, Any]) -> Obj | None:
        return job if status == job.get("status") else await write_status(self.client, self.kind.qualified, job, status)

    def _tell(self, job: Obj, status: dict[str, Any], end: Outcome | None) -> None:
        if end is not None and end.condition == "Complete":
            self.recorder.event(job, "Normal", "Completed", "Job completed")
        elif end is not None:
            self.recorder.event(job, "Warning", end.reason, end.message)
        before, after = (job_status.suspended(s) for s in (job.get("status") or {}, status))
        if before != after:
            self.recorder.event(job, "Normal", *(("Suspended", "Job suspended") if after else
                                                 ("Resumed", "Job resumed")))

    async def _release(self, pods: Iterable[Obj]) -> None:
        """Take our finalizer off; of many, the first error is raised when all have been tried."""
        results = await asyncio.gather(*(self._untrack(pod) for pod in pods if is_tracked(pod)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _untrack(self, pod: Obj) -> None:
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"], "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
        try:
            await self.client.patch("pods", meta["name"], patch, meta["namespace"], type="strategic")
        except ApiError as error:
            if error.code not in (404, 409, 422):  # gone, or another one of the same name
                raise

    async def _let_go_of_left(self, key: str) -> None:
        pod = self.pods.get(key)
        owner = controller_of(pod) if pod is not None else None
        if pod is not None and owner is not None and is_tracked(pod) and self._is_gone(pod, owner):
            await self._untrack(pod)
