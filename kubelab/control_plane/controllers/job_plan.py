"""The decisions of a Job: which of its pods count as what, whether it is over and why, which pods to make or give up.

    pods ─► sort_pods ─► outcome? ─┬─ yes ─► give up what still runs
                                   └─ no ──► make or give up pods until `parallelism` of them run

Invariant: pure functions; the same job and pods give the same plan.
Models:    the inner half of pkg/controller/job
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.control_plane.controllers import job_indexes
from kubelab.control_plane.controllers.job_failures import Verdict, judge
from kubelab.control_plane.controllers.pods import deletion_order, is_active, is_ready
from kubelab.machinery.clock import parse_timestamp
from kubelab.machinery.meta import get_condition, is_terminating
from kubelab.machinery.request import Obj

TRACKING = "batch.kubernetes.io/job-tracking"
BURST = 500  # at most so many creations or deletions in one reconcile
BACKOFF_S, MAX_BACKOFF_S = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Sorted:
    """A job's pods by what they count as. `fresh_*`: ended, and not yet in any number of the status."""

    active: tuple[Obj, ...]
    ready: int
    terminating: int
    succeeded: tuple[Obj, ...]
    failed: tuple[Obj, ...]
    fresh_succeeded: tuple[Obj, ...]
    fresh_failed: tuple[Obj, ...]
    verdict: Verdict

    @property
    def counting(self) -> list[Obj]:
        """The failed pods that the job's policy does not ignore."""
        return [pod for pod in self.failed if pod["metadata"]["uid"] not in self.verdict.ignored]


def is_tracked(pod: Obj) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def sort_pods(job: Obj, pods: Sequence[Obj]) -> Sorted:
    unc = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
    counted = {*(unc.get("succeeded") or ()), *(unc.get("failed") or ())}
    only_failed = job["spec"].get("podReplacementPolicy") == "Failed"
    active = tuple(pod for pod in pods if is_active(pod))
    succeeded = tuple(pod for pod in pods if _phase(pod) == "Succeeded")
    failed = tuple(pod for pod in pods if _phase(pod) == "Failed" or (
        not only_failed and is_terminating(pod) and _phase(pod) != "Succeeded"))
    going = sum(is_terminating(pod) and _phase(pod) not in ("Succeeded", "Failed") for pod in pods)

    def fresh(pod: Obj) -> bool:
        return is_tracked(pod) and pod["metadata"]["uid"] not in counted

    new = tuple(pod for pod in failed if fresh(pod))
    verdict = judge(job, failed)
    return Sorted(active, sum(map(is_ready, active)), going, succeeded, failed,
                  tuple(pod for pod in succeeded if fresh(pod)),
                  tuple(pod for pod in new if pod["metadata"]["uid"] not in verdict.ignored), verdict)


def _phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ends: `condition` is Complete or Failed."""

    condition: str
    reason: str
    message: str

    @property
    def interim(self) -> str:
        """The condition that says that the end is decided, while pods are still going."""
        return "SuccessCriteriaMet" if self.condition == "Complete" else "FailureTarget"


REACHED = Outcome("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
TOO_OFTEN = Outcome("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
TOO_LONG = Outcome("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
INDEXES = Outcome("Failed", "FailedIndexes", "Job has failed indexes")
TOO_MANY_INDEXES = Outcome("Failed", "MaxFailedIndexesExceeded",
                           "Job has exceeded the specified maximal number of failed indexes")


def decided(job: Obj) -> Outcome | None:
    """Return the outcome that an earlier reconcile wrote down."""
    for condition, interim in (("Complete", "SuccessCriteriaMet"), ("Failed", "FailureTarget")):
        found = get_condition(job, interim)
        if found is not None and found["status"] == "True":
            return Outcome(condition, found.get("reason", ""), found.get("message", ""))
    return None


def is_over(job: Obj) -> bool:
    return any((get_condition(job, c) or {}).get("status") == "True" for c in ("Complete", "Failed"))


def totals(job: Obj, pods: Sorted) -> tuple[int, int]:
    """Return how many pods have succeeded and how many have failed, ever."""
    status = job.get("status") or {}
    unc = status.get("uncountedTerminatedPods") or {}
    failed = status.get("failed", 0) + len(unc.get("failed") or ()) + len(pods.fresh_failed)
    if job["spec"].get("completionMode") == "Indexed":
        return len(job_indexes.succeeded_indexes(job, pods.succeeded)), failed
    return status.get("succeeded", 0) + len(unc.get("succeeded") or ()) + len(pods.fresh_succeeded), failed


def outcome(job: Obj, pods: Sorted, now: float) -> Outcome | None:
    """Say whether the job is over, and why."""
    spec, (succeeded, failed) = job["spec"], totals(job, pods)
    if pods.verdict.fail_job:
        return Outcome("Failed", "PodFailurePolicy", pods.verdict.fail_job)
    if failed > spec.get("backoffLimit", 6) or _restarted_too_often(spec, pods):
        return TOO_OFTEN
    left_s = deadline_in(job, now)
    if left_s is not None and left_s <= 0:
        return TOO_LONG
    completions = spec.get("completions")
    if spec.get("completionMode") == "Indexed":
        broken = job_indexes.failed_indexes(job, pods.counting, pods.verdict.fail_indexes)
        if broken is not None:
            most = spec.get("maxFailedIndexes")
            if most is not None and len(broken) > most:
                return TOO_MANY_INDEXES
            if broken and len(broken) + succeeded >= completions:
                return INDEXES
        met = job_indexes.enough(spec.get("successPolicy") or {}, job_indexes.succeeded_indexes(job, pods.succeeded))
        if met is not None:
            return Outcome("Complete", "SuccessPolicy", f"Matched rules at index {met}")
    if completions is None:
        return REACHED if succeeded and not pods.active else None
    return REACHED if succeeded >= completions and not pods.active else None


def _restarted_too_often(spec: Obj, pods: Sorted) -> bool:
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    count, limit = sum(map(_restarts, pods.active)), spec.get("backoffLimit", 6)
    return count > 0 if limit == 0 else count >= limit


def _restarts(pod: Obj) -> int:
    status = pod.get("status") or {}
    return sum(c.get("restartCount", 0) for key in ("initContainerStatuses", "containerStatuses")
               for c in status.get(key) or ())


def deadline_in(job: Obj, now: float) -> float | None:
    """Return how long the job may still run, None when nobody set a limit."""
    limit_s, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if limit_s is None or not start or job["spec"].get("suspend"):
        return None
    return float(parse_timestamp(start) + limit_s - now)


@dataclass(frozen=True, slots=True)
class Plan:
    """`create` has one entry a pod: its index, or None. `wait_s`: creations are held back for so long."""

    create: tuple[int | None, ...] = ()
    delete: tuple[Obj, ...] = ()
    wait_s: float = 0.0


def plan_job(job: Obj, pods: Sorted, now: float) -> Plan:
    """Compare the pods that run with how many should."""
    spec, (succeeded, _) = job["spec"], totals(job, pods)
    active, indexed = list(pods.active), spec.get("completionMode") == "Indexed"
    if spec.get("suspend"):
        return Plan(delete=tuple(active))
    surplus = job_indexes.duplicates(active, spec["completions"]) if indexed else []
    active = [pod for pod in active if pod not in surplus]
    completions, parallelism = spec.get("completions"), spec.get("parallelism", 1)
    if completions is None:
        want = len(active) if succeeded else parallelism
    else:
        want = max(0, min(parallelism, completions - succeeded))
    if surplus or len(active) > want:
        over = deletion_order(active, now, active)[:max(0, len(active) - want)]
        return Plan(delete=tuple([*surplus, *over][:BURST]))
    missing = min(want - len(active), BURST)
    if spec.get("podReplacementPolicy") == "Failed":
        missing -= pods.terminating
    if missing <= 0:
        return Plan()
    each = spec.get("backoffLimitPerIndex") is not None
    wait_s = 0.0 if each else backoff_s(pods, now)
    if wait_s > 0:
        return Plan(wait_s=wait_s)
    if not indexed:
        return Plan(create=(None,) * missing)
    taken = job_indexes.succeeded_indexes(job, pods.succeeded)
    taken |= job_indexes.failed_indexes(job, pods.counting, pods.verdict.fail_indexes) or set()
    taken |= {i for pod in active if (i := job_indexes.index_of(pod)) is not None}
    free = job_indexes.first_without_pod(missing, completions or 0, taken)
    return _not_too_soon(free, pods, now) if each else Plan(create=tuple(free))


def _not_too_soon(indexes: Sequence[int], pods: Sorted, now: float) -> Plan:
    """Hold back each index for as long as its own failures ask for."""
    last = job_indexes.last_failures(pods.failed)
    waits = {index: _retry_in_s(finished_at(last[index], now), job_indexes.attempts_of(last[index]) + 1, now)
             if index in last else 0.0 for index in indexes}
    ready = tuple(index for index, wait_s in waits.items() if wait_s <= 0)
    return Plan(create=ready) if ready else Plan(wait_s=min(waits.values(), default=0.0))


def _retry_in_s(last: float, failures: int, now: float) -> float:
    return float(last + min(BACKOFF_S * 2 ** (failures - 1), MAX_BACKOFF_S) - now)


def backoff_s(pods: Sorted, now: float) -> float:
    """Return how long to wait before the next attempt: 10 s, 20 s, 40 s ... after failures in a row."""
    last_success = max((finished_at(pod, now) for pod in pods.succeeded), default=0.0)
    times = sorted(t for pod in pods.failed if (t := finished_at(pod, now)) > last_success)
    if not times:
        return 0.0
    return _retry_in_s(times[-1], len(times), now)


def finished_at(pod: Obj, now: float) -> float:
    """Return when a pod ended: with its last container, or when it was deleted, or when that was noticed."""
    states = ((s.get("state") or {}).get("terminated") or {}
              for s in (pod.get("status") or {}).get("containerStatuses") or ())
    ends = [parse_timestamp(state["finishedAt"]) for state in states if state.get("finishedAt")]
    if ends:
        return max(ends)
    stamp = pod["metadata"].get("deletionTimestamp")
    ready = get_condition(pod, "Ready") or {}
    stamp = stamp or ready.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
    return parse_timestamp(stamp) if stamp else now
