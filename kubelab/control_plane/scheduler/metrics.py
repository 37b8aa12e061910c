"""What the scheduler counts: attempts, how long they took, how long pods waited, how many still do.

Models: pkg/scheduler/metrics
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakSet

from kubelab.machinery import metrics
from kubelab.machinery.metrics import Labels

PROFILE_RESULT = ("profile", "result")
ATTEMPTS = metrics.counter(
    "scheduler_schedule_attempts_total", "Number of attempts to schedule pods, by the result. 'unschedulable' means a "
    "pod could not be scheduled, while 'error' means an internal scheduler problem.", PROFILE_RESULT)
ATTEMPT_SECONDS = metrics.histogram(
    "scheduler_scheduling_attempt_duration_seconds", "Scheduling attempt latency in seconds (scheduling algorithm + "
    "binding)", PROFILE_RESULT, metrics.exponential(0.001, 2, 15))
SLI_SECONDS = metrics.histogram(
    "scheduler_pod_scheduling_sli_duration_seconds", "E2e latency for a pod being scheduled, from the time the pod "
    "enters the scheduling queue and might involve multiple scheduling attempts.", ("attempts",),
    metrics.exponential(0.01, 2, 20))
MOST_ATTEMPTS = 16  # pods that took so many are counted together, as "16+"


class Lengths:
    """Knows the lengths of one scheduler's queue."""

    def __init__(self, read: Callable[[], dict[str, int]]) -> None:
        self.read = read
        _lengths.add(self)


_lengths: WeakSet[Lengths] = WeakSet()


def _pending() -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for lengths in _lengths:
        for place, amount in lengths.read().items():
            if place != "cycle":
                found[place,] = found.get((place,), 0) + amount
    return found


PENDING = metrics.gauge(
    "scheduler_pending_pods", "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; "
    "'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the "
    "scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never "
    "attempted to schedule because they are gated.", ("queue",), _pending)


def attempt(profile: str, result: str, seconds: float) -> None:
    """Count one attempt: `result` is scheduled, unschedulable or error."""
    ATTEMPTS.add((profile, result))
    ATTEMPT_SECONDS.observe((profile, result), seconds)


def scheduled(attempts: int, seconds: float) -> None:
    """Count a pod that has its node, `seconds` after it came into the queue."""
    SLI_SECONDS.observe((str(attempts) if attempts < MOST_ATTEMPTS else f"{MOST_ATTEMPTS}+",), seconds)
