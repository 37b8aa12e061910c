"""What may be reported of a Job: numbers that only grow, ends that stay ends, indexes that can be read.

    old status ─┬─► what changed ─► the rules about it
    new status ─┘

Invariant: a rule looks only at what changed, so that an odd status, once there, does not keep the rest from being told.
Models:    ValidateJobUpdateStatus of pkg/apis/batch/validation, getStatusValidationOptions of pkg/registry/batch/job
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.machinery import clock
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.job_policies import interval, intervals

COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
CONDITIONS = "status.conditions"
EXCLUSIVE = ("Failed", "FailureTarget")  # of Complete when one of them turns, of SuccessCriteriaMet always
TERMINAL = ("Failed", "Complete", "FailureTarget")


def errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    """Return what is wrong with a write to a job's status."""
    change = _Change(new["spec"], new.get("status") or {}, old.get("status") or {})
    return [*_count_errors(change.now), *_uid_errors(change.now.get("uncountedTerminatedPods") or {}),
            *_exclusive_errors(change), *_time_errors(change), *_order_errors(change), *_finished_errors(change),
            *_index_errors(change), *_late_errors(change), *_transition_errors(change)]


@dataclass(frozen=True, slots=True)
class _Change:
    """The status of a job as it is to be, and as it was."""

    spec: Obj
    now: Obj
    was: Obj

    def holds(self, *conditions: str) -> bool:
        return any(_holds(self.now, condition) for condition in conditions)

    def held(self, *conditions: str) -> bool:
        return any(_holds(self.was, condition) for condition in conditions)

    def turned(self, *conditions: str) -> bool:
        """Say whether one of these conditions has become true, or is no longer."""
        return self.holds(*conditions) != self.held(*conditions)

    def differs(self, *keys: str, absent: Any = None) -> bool:
        return any(self.now.get(key, absent) != self.was.get(key, absent) for key in keys)

    @property
    def indexed(self) -> bool:
        return bool(self.spec.get("completionMode") == "Indexed")


def _holds(status: Obj, condition: str, value: str = "True") -> bool:
    return any(c.get("type") == condition and c.get("status") == value for c in status.get("conditions") or ())


def _count_errors(status: Obj) -> rules.Errors:
    for key in COUNTS:
        yield from rules.not_negative(f"status.{key}", status.get(key))


def _uid_errors(uncounted: Obj) -> rules.Errors:
    seen: set[str] = set()
    for key in ("succeeded", "failed"):
        for i, uid in enumerate(uncounted.get(key) or ()):
            field = f"status.uncountedTerminatedPods.{key}[{i}]"
            if not uid:
                yield invalid_value(field, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(field, uid)
            seen.add(uid)


def _exclusive_errors(change: _Change) -> rules.Errors:
    for other in EXCLUSIVE:
        if change.turned("Complete") or change.turned(other):
            yield from _both(change, "Complete", other)


def _both(change: _Change, one: str, other: str) -> rules.Errors:
    if change.holds(one) and change.holds(other):
        yield rules.invalid_somehow(CONDITIONS, f"cannot set {one}=True and {other}=true conditions")


def _time_errors(change: _Change) -> rules.Errors:
    complete, ended, began = change.holds("Complete"), change.now.get("completionTime"), change.now.get("startTime")
    field = "status.completionTime"
    if change.turned("Complete") or change.differs("completionTime"):
        if ended and not complete:
            yield invalid_value(field, ended, "cannot set completionTime when there is no Complete=True condition")
        if complete and not ended:
            yield required(field, "completionTime is required for Complete jobs")
    if change.differs("startTime", "completionTime") and began and ended \
            and clock.parse_timestamp(ended) < clock.parse_timestamp(began):
        yield invalid_value(field, ended, "must be equal to or after `startTime`")


def _order_errors(change: _Change) -> rules.Errors:
    """An end is told before it is reached."""
    if (change.turned("Failed") or change.differs("failedIndexes")) \
            and change.holds("Failed") and not change.holds("FailureTarget"):
        yield rules.invalid_somehow(CONDITIONS,
                                    "cannot set Failed=True condition without the FailureTarget=true condition")
    if (change.turned("Complete") or change.turned("SuccessCriteriaMet")) \
            and change.holds("Complete") and not change.holds("SuccessCriteriaMet"):
        yield rules.invalid_somehow(CONDITIONS,
                                    "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")


def _finished_errors(change: _Change) -> rules.Errors:
    if not change.holds("Complete", "Failed"):
        return
    finished, now = change.turned("Complete", "Failed"), change.now
    if (finished or change.differs("active", absent=0)) and (now.get("active") or 0) > 0:
        yield invalid_value("status.active", now["active"], "active>0 is invalid for finished job")
    never_ran = change.spec.get("suspend") and change.spec.get("completions") == 0
    if (finished or change.differs("startTime")) and not now.get("startTime") and not never_ran:
        yield required("status.startTime", "startTime is required for finished job")
    uncounted = now.get("uncountedTerminatedPods") or {}
    if (finished or change.differs("uncountedTerminatedPods")) and any(uncounted.values()):
        shown = {"Succeeded": uncounted.get("succeeded"), "Failed": uncounted.get("failed")}
        yield rules.invalid_struct("status.uncountedTerminatedPods", shown,
                                   "must be empty for finished job")


def _index_errors(change: _Change) -> rules.Errors:
    completions, now, limited = change.spec.get("completions"), change.now, "backoffLimitPerIndex" in change.spec
    done, failed = now.get("completedIndexes") or "", now.get("failedIndexes")
    new_done, new_failed = change.differs("completedIndexes", absent=""), change.differs("failedIndexes")
    if new_done and completions is not None:
        yield from _unreadable("completedIndexes", done, completions)
    if new_failed and completions is not None and limited and failed is not None:
        yield from _unreadable("failedIndexes", failed, completions)
    if new_done and done and not change.indexed:
        yield invalid_value("status.completedIndexes", done,
                            "cannot set non-empty completedIndexes when non-indexed completion mode")
    if new_failed and failed is not None and not limited:
        yield invalid_value("status.failedIndexes", failed,
                            "cannot set non-null failedIndexes when backoffLimitPerIndex is null")
    if (new_done or new_failed) and completions is not None and failed:
        common = _first_common(done, failed, completions)
        if common is not None:
            yield invalid_value("status.failedIndexes", failed,
                                f"failedIndexes and completedIndexes overlap at index: {common}")


def _unreadable(key: str, text: str, completions: int) -> rules.Errors:
    try:
        list(intervals(text, completions))
    except ValueError as error:
        yield invalid_value(f"status.{key}", text, f"error parsing {key}: {error}")


def _first_common(done: str, failed: str, completions: int) -> int | None:
    """Return an index that is said to be done and to have failed; what cannot be read is told elsewhere."""
    spans = list(_readable(done, completions))
    for first, last in _readable(failed, completions):
        for start, end in spans:
            if start <= last and first <= end:
                return max(start, first)
    return None


def _readable(text: str, completions: int) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        try:
            yield interval(part, completions)
        except ValueError:
            continue


def _late_errors(change: _Change) -> rules.Errors:
    now = change.now
    if (change.turned("Complete", "Failed") or change.differs("terminating")) and (now.get("terminating") or 0) > 0 \
            and change.holds("Complete", "Failed"):
        yield invalid_value("status.terminating", now["terminating"], "terminating>0 is invalid for finished job")
    if (change.differs("ready") or change.differs("active", absent=0)) \
            and now.get("ready") is not None and now["ready"] > (now.get("active") or 0):
        yield invalid_value("status.ready", now["ready"], "cannot set more ready pods than active")
    for other in EXCLUSIVE:
        yield from _both(change, "SuccessCriteriaMet", other)
    if change.spec.get("successPolicy") is not None and change.holds("Complete") \
            and not change.holds("SuccessCriteriaMet"):
        yield rules.invalid_somehow(CONDITIONS, "cannot set Complete=True for Job with SuccessPolicy unless "
                                                "SuccessCriteriaMet=True")


def _transition_errors(change: _Change) -> rules.Errors:
    now, was, spec = change.now, change.was, change.spec
    for condition in TERMINAL:
        if change.held(condition) and not change.holds(condition):
            yield rules.invalid_somehow(CONDITIONS, f"cannot disable the terminal {condition}=True condition")
    elastic = change.indexed and spec.get("completions") == spec.get("parallelism")
    for key in ("failed", *(() if elastic else ("succeeded",))):
        if (now.get(key) or 0) < (was.get(key) or 0):
            yield invalid_value(f"status.{key}", now.get(key) or 0, f"cannot decrease the {key} counter")
    if now.get("completionTime") and was.get("completionTime") and change.differs("completionTime"):
        yield invalid_value("status.completionTime", now["completionTime"], rules.IMMUTABLE)
    resumes = change.held("Suspended") and _holds(now, "Suspended", "False")
    if was.get("startTime") and change.differs("startTime") and not spec.get("suspend") and not resumes:
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")
    if change.held("SuccessCriteriaMet") and not change.holds("SuccessCriteriaMet"):
        yield rules.invalid_somehow(CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if change.held("Complete") and not change.held("SuccessCriteriaMet") and change.holds("SuccessCriteriaMet"):
        yield rules.invalid_somehow(CONDITIONS, "cannot set SuccessCriteriaMet=True for Job already has Complete=true "
                                                "conditions")
