"""The decisions of a ReplicaSet: how many pods to make, which to give up, what to report.

Invariant: pure functions; the same pods give the same plan.
Models:    the inner half of pkg/controller/replicaset
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.control_plane.controllers.pods import available_in, deletion_order, is_active, is_finished
from kubelab.machinery.clock import timestamp
from kubelab.machinery.request import Obj

BURST = 500  # at most so many creations or deletions in one reconcile


@dataclass(frozen=True, slots=True)
class Plan:
    create: int = 0
    delete: tuple[Obj, ...] = ()


def plan_replicas(want: int, pods: Sequence[Obj], now: float, related: Sequence[Obj] = ()) -> Plan:
    """Compare the active pods with the wish."""
    active = [pod for pod in pods if is_active(pod)]
    missing = want - len(active)
    if missing > 0:
        return Plan(create=min(missing, BURST))
    if missing < 0:
        surplus = min(-missing, BURST)
        return Plan(delete=tuple(deletion_order(active, now, related or active)[:surplus]))
    return Plan()


@dataclass(frozen=True, slots=True)
class Tally:
    """What the status reports. `next_s`: in how many seconds a ready pod becomes available, None: none is waiting."""

    replicas: int
    fully_labeled: int
    ready: int
    available: int
    terminating: int
    next_s: float | None = None


def tally(pods: Sequence[Obj], template_labels: dict[str, str], min_ready_s: int, now: float) -> Tally:
    replicas = fully = ready = available = terminating = 0
    next_s: float | None = None
    wanted = template_labels.items()
    for pod in pods:
        meta = pod["metadata"]
        if is_finished(pod):
            continue
        if "deletionTimestamp" in meta:
            terminating += 1
            continue
        replicas += 1
        fully += wanted <= (meta.get("labels") or {}).items()
        wait_s = available_in(pod, min_ready_s, now)
        if wait_s is not None:
            ready += 1
            if wait_s == 0.0:
                available += 1
            else:
                next_s = wait_s if next_s is None else min(next_s, wait_s)
    return Tally(replicas, fully, ready, available, terminating, next_s)


def status_of(owner: Obj, counts: Tally, failure: tuple[str, str] | None, now: float, *,
              terminating: bool = True) -> dict[str, Any]:
    """Build the status. `failure` is the reason and message of what went wrong in this reconcile."""
    old = owner.get("status") or {}
    conditions = list(old.get("conditions") or ())
    known = [c for c in conditions if c["type"] == "ReplicaFailure"]
    if failure is None:
        conditions = [c for c in conditions if c["type"] != "ReplicaFailure"]
    elif not known:
        reason, message = failure
        conditions.append({"type": "ReplicaFailure", "status": "True", "lastTransitionTime": timestamp(now),
                           "reason": reason, "message": message})
    status: dict[str, Any] = {"replicas": counts.replicas}
    for name, count in (("fullyLabeledReplicas", counts.fully_labeled), ("readyReplicas", counts.ready),
                        ("availableReplicas", counts.available)):
        if count:
            status[name] = count
    if terminating:
        status["terminatingReplicas"] = counts.terminating
    status["observedGeneration"] = owner["metadata"].get("generation", 0)
    if conditions:
        status["conditions"] = conditions
    return status


def pod_from(owner: Obj, template: Obj, reference: Obj) -> Obj:
    """Make the pod a template describes; parts of the template are shared with it, never changed."""
    theirs = template.get("metadata") or {}
    meta: dict[str, Any] = {key: theirs[key] for key in ("labels", "annotations", "finalizers") if theirs.get(key)}
    meta |= {"generateName": f"{owner['metadata']['name']}-", "namespace": owner["metadata"]["namespace"],
             "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
