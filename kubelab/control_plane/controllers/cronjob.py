"""CronJob controller: make a Job when its time has come, and no more of them than the policy allows.

    CronJob or Job event ─► key ─► reconcile ─► tidy up status.active ─► due? ─► make the Job ─► status
                                ▲                                      └─ not yet ─┐
                                └──────────────── when the next one is due ────────┘

Invariant: a Job's name follows from the minute it is for, so one minute never has two.
Models:    kube-controller-manager, cronjob-controller
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.pod_owner import write_status
from kubelab.control_plane.controllers.pods import POD_INDEXERS
from kubelab.machinery.clock import Clock, parse_timestamp, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import controller_of, get_condition, is_terminating, key_of, owner_reference
from kubelab.machinery.request import Obj
from kubelab.units import find, schedule

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY = 100  # so many missed times are a sign of something wrong
LATE_S = 0.1  # look again a little after the time, not a little before


@dataclass(frozen=True, slots=True)
class Due:
    """`at`: the last time that has come and was not served, Unix seconds. `next`: the first that is to come."""

    at: float | None
    missed: int
    next: float | None


def due(cron: Obj, plan: schedule.Schedule, now: float) -> Due:
    """Work out which run is due; of several missed ones only the last counts."""
    spec, zone = cron["spec"], cron["spec"].get("timeZone")
    last = (cron.get("status") or {}).get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
    since, deadline_s = parse_timestamp(last), spec.get("startingDeadlineSeconds")
    if deadline_s is not None:
        since = max(since, now - deadline_s)
    coming = plan.after(now, zone)
    first = plan.after(since, zone)
    if first is None or first > now:
        return Due(None, 0, coming)
    second = plan.after(first, zone)
    if second is None or second > now:
        return Due(first, 1, coming)
    step_s = second - first
    missed, back_s = int((now - first) / step_s) + 1, step_s
    at: float | None = None
    while at is None:  # the steps need not be equal: look back further and further until one is found
        at = _last_between(plan, max(since, now - back_s), now, zone)
        back_s *= 2
    return Due(at, missed, coming)


def _last_between(plan: schedule.Schedule, since: float, now: float, zone: str | None) -> float | None:
    found, moment = None, plan.after(since, zone)
    while moment is not None and moment <= now:
        found, moment = moment, plan.after(moment, zone)
    return found


def job_for(cron: Obj, at: float) -> Obj:
    """Make the Job of one time."""
    template, meta = cron["spec"]["jobTemplate"], cron["metadata"]
    theirs = template.get("metadata") or {}
    zone = schedule.zone_of(cron["spec"].get("timeZone") or "UTC")
    stamp = datetime.fromtimestamp(at, zone).isoformat().replace("+00:00", "Z")
    metadata: Obj = {"name": f"{meta['name']}-{int(at) // 60}", "namespace": meta["namespace"],
                     "annotations": {**(theirs.get("annotations") or {}), SCHEDULED: stamp},
                     "ownerReferences": [owner_reference(cron, "CronJob", "batch/v1")]}
    if theirs.get("labels"):
        metadata["labels"] = dict(theirs["labels"])
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def ended(job: Obj) -> str:
    """Return Complete, Failed, or "" while a job is under way."""
    return next((c for c in ("Complete", "Failed") if (get_condition(job, c) or {}).get("status") == "True"), "")


def _lists(cron: Obj, job: Obj) -> bool:
    return any(ref["uid"] == job["metadata"]["uid"] for ref in (cron.get("status") or {}).get("active") or ())


def to_forget(cron: Obj, jobs: Sequence[Obj]) -> list[Obj]:
    """Return ended jobs beyond the history limits, the oldest first."""
    found: list[Obj] = []
    for condition, key in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        limit = cron["spec"].get(key)
        over = sorted((job for job in jobs if ended(job) == condition), key=lambda j: (
            (j.get("status") or {}).get("startTime") or "", j["metadata"]["name"]))
        if limit is not None:
            found += over[:max(0, len(over) - limit)]
    return found


class CronJobController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder, self.kind = client, recorder, find("cronjobs.batch")
        self.crons = informers.of(self.kind)
        self.jobs = informers.of("jobs.batch", indexers={"controller": POD_INDEXERS["controller"],
                                                         "namespace": POD_INDEXERS["namespace"]})
        super().__init__(name, clock=clock, journal=journal, informers=(self.crons, self.jobs), workers=5)
        self.crons.on_event(lambda type_, cron, old: self.queue.add(key_of(cron)))
        self.jobs.on_event(self._on_job)

    def _on_job(self, type_: str, job: Obj, old: Obj | None) -> None:
        owner = controller_of(job)
        if owner is not None and owner["kind"] == "CronJob":
            self.queue.add(f"{job['metadata']['namespace']}/{owner['name']}")

    async def reconcile(self, key: str) -> None:
        cron = self.crons.get(key)
        if cron is None or is_terminating(cron):
            return
        jobs = self.jobs.by_index("controller", cron["metadata"]["uid"])
        status = await self._tidied(cron, jobs)
        try:
            if not cron["spec"].get("suspend"):
                await self._run_due({**cron, "status": status}, status)
        finally:
            if status != (cron.get("status") or {}):
                await write_status(self.client, self.kind.qualified, cron, status)
        for job in to_forget(cron, jobs):
            await self._delete(cron, job["metadata"]["name"])

    async def _tidied(self, cron: Obj, jobs: Sequence[Obj]) -> dict[str, Any]:
        """Return the status without the jobs that ended or went missing."""
        status = dict(cron.get("status") or {})
        by_uid = {job["metadata"]["uid"]: job for job in jobs}
        await self._tell_unexpected(cron, jobs)
        active = []
        for ref in status.pop("active", None) or ():
            job = by_uid.get(ref["uid"]) or await self._found(ref)
            how = ended(job) if job is not None else ""
            if job is None:
                self.recorder.event(cron, "Normal", "MissingJob", f"Active job went missing: {ref['name']}")
            elif how:
                self.recorder.event(cron, "Normal", "SawCompletedJob",
                                    f"Saw completed job: {ref['name']}, condition: {how}")
            else:
                active.append(ref)
        times = [job["status"]["completionTime"] for job in jobs if ended(job) == "Complete"
                 and job["status"].get("completionTime")]
        if times:
            status["lastSuccessfulTime"] = max([*times, status.get("lastSuccessfulTime", "")])
        if active:
            status["active"] = active
        return status

    async def _tell_unexpected(self, cron: Obj, jobs: Sequence[Obj]) -> None:
        """Tell of jobs under way that bear our name and are in no list of ours; the newest list is asked for."""
        strange = [job for job in jobs if not ended(job) and not _lists(cron, job)]
        if not strange:
            return
        meta = cron["metadata"]
        fresh = await self.client.get(self.kind, meta["name"], meta["namespace"])
        for job in strange:
            if not _lists(fresh, job):
                self.recorder.event(cron, "Warning", "UnexpectedJob", "Saw a job that the controller did not create or "
                                    f"forgot: {job['metadata']['name']}")

    async def _found(self, ref: Obj) -> Obj | None:
        """Ask the API server itself for a job that the informer does not show."""
        try:
            job = await self.client.get("jobs.batch", ref["name"], ref["namespace"])
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return job if job["metadata"]["uid"] == ref["uid"] else None

    async def _run_due(self, cron: Obj, status: dict[str, Any]) -> None:
        spec, now, key = cron["spec"], self.clock.now(), key_of(cron)
        try:
            plan = schedule.parse(spec["schedule"])
        except ValueError as error:
            self.recorder.event(cron, "Warning", "UnparseableSchedule",
                                f'unparseable schedule: "{spec["schedule"]}" : {error}')
            return
        found = due(cron, plan, now)
        if found.next is not None:
            self.queue.add_after(key, found.next - now + LATE_S)
        if found.missed > MANY:
            self.recorder.event(cron, "Warning", "TooManyMissedTimes", f"too many missed start times: {found.missed}. "
                                "Set or decrease .spec.startingDeadlineSeconds or check clock skew")
        if found.at is None or status.get("lastScheduleTime") == timestamp(found.at):
            return
        active, policy = status.get("active") or [], spec.get("concurrencyPolicy")
        if policy == "Forbid" and active:
            self.recorder.event(cron, "Normal", "JobAlreadyActive", "Not starting job because prior execution is "
                                "running and concurrency policy is Forbid")
            return
        if policy == "Replace":
            for ref in active:
                await self._delete(cron, ref["name"])
            status.pop("active", None)
        await self._make(cron, found.at, status)

    async def _make(self, cron: Obj, at: float, status: dict[str, Any]) -> None:
        wanted = job_for(cron, at)
        meta = wanted["metadata"]
        try:
            made = await self.client.create("jobs.batch", wanted, meta["namespace"])
        except ApiError as error:
            if "being terminated" in error.message:
                return
            if error.code != 409:
                self.recorder.event(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
            made = await self.client.get("jobs.batch", meta["name"], meta["namespace"])
            if (controller_of(made) or {}).get("uid") != cron["metadata"]["uid"]:
                raise
        else:
            self.recorder.event(cron, "Normal", "SuccessfulCreate", f"Created job {meta['name']}")
        found = made["metadata"]
        if not ended(made):
            ref = {"kind": "Job", "namespace": found["namespace"], "name": found["name"], "uid": found["uid"],
                   "apiVersion": "batch/v1", "resourceVersion": found["resourceVersion"]}
            others = [r for r in status.get("active") or () if r["uid"] != found["uid"]]
            status["active"] = [*others, ref]
        status["lastScheduleTime"] = timestamp(at)

    async def _delete(self, cron: Obj, name: str) -> None:
        try:
            await self.client.delete("jobs.batch", name, cron["metadata"]["namespace"], propagation="Background")
        except ApiError as error:
            if error.code != 404:
                self.recorder.event(cron, "Warning", "FailedDelete", f"Deleted job: {error}")
                raise
            return
        self.recorder.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name}")
