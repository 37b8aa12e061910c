"""What a Job reports: the numbers of its pods, and the conditions that say how it stands.

Invariant: pure functions; what they get is never changed.
Models:    the status half of pkg/controller/job
"""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers import job_indexes
from kubelab.control_plane.controllers.job_plan import Outcome, Sorted
from kubelab.machinery.clock import timestamp
from kubelab.machinery.request import Obj

Status = dict[str, Any]


def suspended(status: Obj) -> bool:
    return any(c["type"] == "Suspended" and c["status"] == "True" for c in status.get("conditions") or ())


def noted(job: Obj, pods: Sorted, end: Outcome | None, now: float, change: int) -> Status:
    """Return the status with the uids of those who ended, but not yet their number.

    `change`: how many pods were made (or, negative, given up) in this reconcile.
    """
    spec, old = job["spec"], job.get("status") or {}
    status: Status = {key: value for key, value in old.items() if key != "active"}
    active = max(0, len(pods.active) + change)
    if active:
        status["active"] = active
    status["ready"], status["terminating"] = pods.ready, pods.terminating + (-change if change < 0 else 0)
    status["uncountedTerminatedPods"] = _uncounted(job, pods)
    if spec.get("completionMode") == "Indexed":
        _note_indexes(status, job, pods)
    conditions = [dict(c) for c in old.get("conditions") or ()]
    if not spec.get("suspend") and not status.get("startTime"):
        status["startTime"] = timestamp(now)
    if end is not None:
        _set(conditions, end.interim, "True", end.reason, end.message, now)
    elif spec.get("suspend"):
        _set(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now)
        status.pop("startTime", None)
    elif suspended(old):
        _set(conditions, "Suspended", "False", "JobResumed", "Job resumed", now)
        status["startTime"] = timestamp(now)
    if conditions:
        status["conditions"] = conditions
    return status


def _uncounted(job: Obj, pods: Sorted) -> Status:
    old = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
    out: Status = {}
    by_index = job["spec"].get("completionMode") == "Indexed"
    for key, fresh in (("succeeded", () if by_index else pods.fresh_succeeded), ("failed", pods.fresh_failed)):
        uids = [*(old.get(key) or ()), *(pod["metadata"]["uid"] for pod in fresh)]
        if uids:
            out[key] = uids
    return out


def _note_indexes(status: Status, job: Obj, pods: Sorted) -> None:
    """An index is done once, however many pods did it, so its number needs no uids."""
    done = job_indexes.succeeded_indexes(job, pods.succeeded)
    status.pop("completedIndexes", None)
    status.pop("succeeded", None)
    if done:
        status["completedIndexes"], status["succeeded"] = job_indexes.text_of(done), len(done)
    broken = job_indexes.failed_indexes(job, pods.counting, pods.verdict.fail_indexes)
    if broken is not None:
        status["failedIndexes"] = job_indexes.text_of(broken)


def counted(status: Status, end: Outcome | None, now: float) -> Status:
    """Return the status with the numbers raised by those who were noted, and with the end if it has come."""
    out = {**status, "uncountedTerminatedPods": {}}
    for key in ("succeeded", "failed"):
        more = len(status["uncountedTerminatedPods"].get(key) or ())
        if more:
            out[key] = out.get(key, 0) + more
    if end is not None:
        conditions = [dict(c) for c in out.get("conditions") or ()]
        _set(conditions, end.condition, "True", end.reason, end.message, now)
        out["conditions"] = conditions
        if end.condition == "Complete":
            out["completionTime"] = timestamp(now)
    return out


def _set(conditions: list[Obj], type_: str, value: str, reason: str, message: str, now: float) -> None:
    known = next((c for c in conditions if c["type"] == type_), None)
    if known is not None and known["status"] == value:
        return
    stamp = timestamp(now)
    fresh = {"type": type_, "status": value, "lastProbeTime": stamp, "lastTransitionTime": stamp, "reason": reason,
             "message": message}
    if known is None:
        conditions.append(fresh)
    else:
        known.update(fresh)
