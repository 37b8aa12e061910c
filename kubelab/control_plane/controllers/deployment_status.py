"""What a Deployment reports: counts, and the conditions Available, Progressing and ReplicaFailure.

    Progressing: NewReplicaSetCreated ─► ReplicaSetUpdated ─► NewReplicaSetAvailable
                                              └─ no progress for progressDeadlineSeconds ─► ProgressDeadlineExceeded

Invariant: pure functions; the old status is never changed, only replaced.
Models:    pkg/controller/deployment/progress.go and sync.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kubelab.control_plane.controllers.deployment_sizes import max_unavailable, replicas, total
from kubelab.machinery.clock import parse_timestamp, timestamp
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj

AVAILABLE_REASON = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
NO_DEADLINE = 2**31 - 1
Status = dict[str, Any]


def deadline_s(deployment: Obj) -> int | None:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == NO_DEADLINE else int(seconds)


def condition(type_: str, status: str, reason: str, message: str, now: float) -> Obj:
    stamp = timestamp(now)
    return {"type": type_, "status": status, "lastUpdateTime": stamp, "lastTransitionTime": stamp, "reason": reason,
            "message": message}


def with_condition(conditions: Sequence[Obj], new: Obj) -> list[Obj]:
    """Put a condition in; one of the same status and reason stays as it is, a transition moves the time."""
    old = next((c for c in conditions if c["type"] == new["type"]), None)
    if old and (old["status"], old["reason"]) == (new["status"], new["reason"]):
        return list(conditions)
    if old and old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [*without(conditions, new["type"]), new]


def without(conditions: Iterable[Obj], type_: str) -> list[Obj]:
    return [c for c in conditions if c["type"] != type_]


def _sum(sets: Iterable[Obj], field: str) -> int:
    return sum((rs.get("status") or {}).get(field, 0) for rs in sets)


def counts(deployment: Obj, sets: Sequence[Obj], new: Obj | None, now: float) -> Status:
    """Return the status without Progressing: sums over the ReplicaSets, and Available."""
    old = deployment.get("status") or {}
    status: Status = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    available = _sum(sets, "availableReplicas")
    fields = {"replicas": _sum(sets, "replicas"), "updatedReplicas": _sum([new] if new else [], "replicas"),
              "readyReplicas": _sum(sets, "readyReplicas"), "availableReplicas": available,
              "unavailableReplicas": max(total(sets) - available, 0)}
    status |= {name: count for name, count in fields.items() if count}
    if all("terminatingReplicas" in (rs.get("status") or {}) for rs in sets):
        status["terminatingReplicas"] = _sum(sets, "terminatingReplicas")
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    enough = available >= replicas(deployment) - max_unavailable(deployment)
    words = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.") if enough else (
        "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = with_condition(old.get("conditions") or [], condition("Available", *words, now))
    return status


def complete(deployment: Obj, status: Status) -> bool:
    want = replicas(deployment)
    return (all(status.get(name, 0) == want for name in ("updatedReplicas", "replicas", "availableReplicas"))
            and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0))


def progressing(old: Status, new: Status) -> bool:
    def olds(status: Status) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    return olds(new) < olds(old) or any(new.get(name, 0) > old.get(name, 0)
                                        for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))


def timed_out(deployment: Obj, status: Status, now: float) -> bool:
    seconds = deadline_s(deployment)
    current = get_condition({"status": status}, "Progressing")
    if seconds is None or current is None or current["reason"] == AVAILABLE_REASON:
        return False
    return current["reason"] == TIMED_OUT or parse_timestamp(current["lastUpdateTime"]) + seconds < now


def rollout(deployment: Obj, sets: Sequence[Obj], new: Obj | None, now: float) -> Status:
    """Return the whole status of a Deployment that rolls out."""
    old = deployment.get("status") or {}
    status = counts(deployment, sets, new, now)
    if deadline_s(deployment) is None:
        status["conditions"] = without(status["conditions"], "Progressing")
    current = get_condition(deployment, "Progressing")
    done = (status.get("replicas", 0) == status.get("updatedReplicas", 0) and current is not None
            and current["reason"] == AVAILABLE_REASON)
    subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    if deadline_s(deployment) is not None and not done:
        status["conditions"] = _progress(deployment, old, status, current, subject, now)
    failure = _failure(sets, new)
    status["conditions"] = (with_condition(status["conditions"], failure) if failure
                            else without(status["conditions"], "ReplicaFailure"))
    return status


def _progress(deployment: Obj, old: Status, status: Status, current: Obj | None, subject: str, now: float) -> list[Obj]:
    conditions: list[Obj] = status["conditions"]
    if complete(deployment, status):
        message = f"{subject} has successfully progressed."
        return with_condition(conditions, condition("Progressing", "True", AVAILABLE_REASON, message, now))
    if progressing(old, status):
        moved = condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current and current["status"] == "True":
            moved["lastTransitionTime"] = current["lastTransitionTime"]
        return [*without(conditions, "Progressing"), moved]  # lastUpdateTime moves with every step: it is the deadline
    if timed_out(deployment, status, now):
        message = f"{subject} has timed out progressing."
        return with_condition(conditions, condition("Progressing", "False", TIMED_OUT, message, now))
    return conditions


def _failure(sets: Sequence[Obj], new: Obj | None) -> Obj | None:
    """Return the ReplicaFailure of the new ReplicaSet, or of any, as the Deployment's own."""
    for rs in ([new] if new else []) + list(sets):
        found = get_condition(rs, "ReplicaFailure")
        if found is not None:
            return {**found, "lastUpdateTime": found["lastTransitionTime"]}
    return None


def stuck_in_s(deployment: Obj, status: Status, now: float) -> float | None:
    """Return in how many seconds the progress deadline has to be looked at, None for never."""
    current = get_condition({"status": status}, "Progressing")
    seconds = deadline_s(deployment)
    if current is None or seconds is None or complete(deployment, status) or current["reason"] == TIMED_OUT:
        return None
    return max(parse_timestamp(current["lastUpdateTime"]) + seconds - now, 0.0) + 1.0
