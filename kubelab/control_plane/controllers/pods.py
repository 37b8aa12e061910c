"""What controllers ask of a pod: is it active, ready, available; which one is given up first.

Invariant: pure functions over pods; nothing here is remembered.
Models:    pkg/controller/controller_utils.go, k8s.io/kubernetes/pkg/api/v1/pod
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kubelab.machinery.clock import parse_timestamp
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj

FINISHED = ("Succeeded", "Failed")
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def owner_uids(obj: Obj) -> list[str]:
    """Index objects by the uid of their controller, those without one as `orphan:<namespace>`."""
    meta = obj["metadata"]
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller"):
            return [owner["uid"]]
    return [f"orphan:{meta.get('namespace', '')}"]


def namespaces(obj: Obj) -> list[str]:
    """Index objects by namespace."""
    return [obj["metadata"].get("namespace", "")]


def node_names(pod: Obj) -> list[str]:
    """Index pods by the node they run on."""
    name = pod["spec"].get("nodeName")
    return [name] if name else []


POD_INDEXERS = {"controller": owner_uids, "namespace": namespaces, "node": node_names}


def is_finished(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in FINISHED


def is_active(pod: Obj) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and not is_finished(pod)


def is_ready(pod: Obj) -> bool:
    condition = get_condition(pod, "Ready")
    return condition is not None and condition["status"] == "True"


def ready_since(pod: Obj) -> float | None:
    """Return when the pod became ready, Unix seconds; None while it is not."""
    condition = get_condition(pod, "Ready")
    if condition is None or condition["status"] != "True" or not condition.get("lastTransitionTime"):
        return None
    return parse_timestamp(condition["lastTransitionTime"])


def available_in(pod: Obj, min_ready_s: int, now: float) -> float | None:
    """Return in how many seconds a pod that stays ready is available: 0 is now, None when it is not ready."""
    if not min_ready_s:
        return 0.0 if is_ready(pod) else None
    since = ready_since(pod)
    return None if since is None else max(0.0, since + min_ready_s - now)


def deletion_cost(pod: Obj) -> int:
    """Read the annotation controller.kubernetes.io/pod-deletion-cost, 0 when it is none."""
    text = (pod["metadata"].get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost", "0")
    try:
        return int(text)
    except ValueError:
        return 0


def restarts(pod: Obj) -> int:
    return max((s.get("restartCount", 0) for s in (pod.get("status") or {}).get("containerStatuses") or ()), default=0)


def _age_rank(since: float | None, now: float) -> int:
    """Rank by the power of two of the age, so that among pods of about one age the lot decides; youngest first."""
    if since is None:
        return -1
    return int(max(now - since, 0)).bit_length()


def deletion_order(pods: Iterable[Obj], now: float, related: Sequence[Obj] = ()) -> list[Obj]:
    """Sort pods so that those to give up first come first. `related` counts who shares a node with its siblings.

    Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-down-a-replicaset
    """
    neighbours = Counter(pod["spec"].get("nodeName", "") for pod in related if is_active(pod))

    def preference(pod: Obj) -> tuple[Any, ...]:
        meta = pod["metadata"]
        node = pod["spec"].get("nodeName", "")
        created = meta.get("creationTimestamp")
        return (bool(node), _PHASES.get((pod.get("status") or {}).get("phase", "Pending"), 0), is_ready(pod),
                deletion_cost(pod), -neighbours[node], _age_rank(ready_since(pod), now), -restarts(pod),
                _age_rank(parse_timestamp(created) if created else None, now), meta.get("uid", ""))

    return sorted(pods, key=preference)
