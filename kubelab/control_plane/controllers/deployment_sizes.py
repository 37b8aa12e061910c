"""The arithmetic of a rollout: how large each ReplicaSet of a Deployment should be next.

    rolling update:  new grows while all pods <= replicas + maxSurge
                     old shrink while available pods > replicas - maxUnavailable, unhealthy ones first
    scaled midway:   every ReplicaSet grows or shrinks in proportion to its size

Invariant: pure functions over Deployment and ReplicaSets; results are sizes by ReplicaSet name.
Models:    pkg/controller/deployment (rolling.go, sync.go) and its util
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kubelab.machinery import intstr
from kubelab.machinery.request import Obj

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"


def size(rs: Obj) -> int:
    return int(rs["spec"].get("replicas", 0))


def total(sets: Iterable[Obj]) -> int:
    return sum(size(rs) for rs in sets)


def available(rs: Obj) -> int:
    return int((rs.get("status") or {}).get("availableReplicas", 0))


def replicas(deployment: Obj) -> int:
    return int(deployment["spec"].get("replicas", 1))


def rolling(deployment: Obj) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def fenceposts(deployment: Obj) -> tuple[int, int]:
    """Resolve (maxSurge, maxUnavailable): percentages of the surge up, of the unavailable down, never both zero."""
    if not rolling(deployment):
        return 0, 0
    parameters = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    want = replicas(deployment)
    surge = intstr.resolve(parameters.get("maxSurge", "25%"), want, True)
    unavailable = intstr.resolve(parameters.get("maxUnavailable", "25%"), want, False)
    return surge, unavailable if surge or unavailable else 1


def max_surge(deployment: Obj) -> int:
    return fenceposts(deployment)[0]


def max_unavailable(deployment: Obj) -> int:
    return min(fenceposts(deployment)[1], replicas(deployment))


def new_size(deployment: Obj, sets: Iterable[Obj], current: int) -> int:
    """Return how large the new ReplicaSet, now of size `current`, may be; `sets` are all, without or with it."""
    want = replicas(deployment)
    if not rolling(deployment) or current > want:
        return want
    room = want + max_surge(deployment) - total(sets)
    return current if room <= 0 else current + min(room, want - current)


def shrink_old(deployment: Obj, olds: Sequence[Obj], new: Obj | None) -> dict[str, int]:
    """Return the next sizes of the old ReplicaSets that may shrink."""
    olds = sorted(olds, key=created)
    everyone = [*olds, new] if new else list(olds)
    floor = replicas(deployment) - max_unavailable(deployment)
    unavailable_new = size(new) - available(new) if new else 0
    may_go = total(everyone) - floor - unavailable_new
    if not total(olds) or may_go <= 0:
        return {}
    sizes = _without_unhealthy(olds, may_go)
    spare = sum(available(rs) for rs in everyone) - floor
    for rs in olds:
        name = rs["metadata"]["name"]
        now = sizes.get(name, size(rs))
        if spare > 0 and now:
            gone = min(now, spare)
            sizes[name] = now - gone
            spare -= gone
    return sizes


def _without_unhealthy(olds: Sequence[Obj], may_go: int) -> dict[str, int]:
    """Take away first the old replicas that serve nobody."""
    sizes: dict[str, int] = {}
    for rs in olds:
        gone = min(may_go, size(rs) - available(rs))
        if gone > 0:
            sizes[rs["metadata"]["name"]] = size(rs) - gone
            may_go -= gone
    return sizes


def active(sets: Iterable[Obj | None]) -> list[Obj]:
    return [rs for rs in sets if rs is not None and size(rs) > 0]


def created(rs: Obj) -> tuple[str, str]:
    return rs["metadata"].get("creationTimestamp", ""), rs["metadata"]["name"]


def annotated(rs: Obj, name: str) -> int | None:
    """Read a replica count that the controller wrote on the ReplicaSet."""
    text = (rs["metadata"].get("annotations") or {}).get(name, "")
    return int(text) if text.lstrip("-").isdigit() else None


def being_scaled(deployment: Obj, sets: Iterable[Obj | None]) -> bool:
    """Tell whether somebody changed spec.replicas since the ReplicaSets were last sized."""
    return any(annotated(rs, DESIRED) not in (None, replicas(deployment)) for rs in active(sets))


def scaled_sizes(deployment: Obj, new: Obj | None, olds: Sequence[Obj]) -> dict[str, int]:
    """Return the sizes after a change of spec.replicas, or while the Deployment is paused."""
    want = replicas(deployment)
    everyone = active([*olds, new])
    if len(everyone) <= 1:
        only = everyone[0] if everyone else new or max(olds, key=created, default=None)
        return {only["metadata"]["name"]: want} if only else {}
    if new is not None and _saturated(want, new):
        return {rs["metadata"]["name"]: 0 for rs in active(olds)}
    return _in_proportion(deployment, everyone) if rolling(deployment) else {}


def _saturated(want: int, rs: Obj) -> bool:
    return size(rs) == want and annotated(rs, DESIRED) == want and available(rs) == want


def _in_proportion(deployment: Obj, everyone: list[Obj]) -> dict[str, int]:
    want = replicas(deployment)
    to_add = (want + max_surge(deployment) if want > 0 else 0) - total(everyone)
    everyone.sort(key=created, reverse=to_add > 0)  # of equal size: grow the newer, shrink the older
    everyone.sort(key=size, reverse=True)
    sizes, added = {}, 0
    for rs in everyone:
        share = _fraction(deployment, rs)
        left = to_add - added
        part = 0 if to_add == 0 else min(share, left) if to_add > 0 else max(share, left)
        sizes[rs["metadata"]["name"]] = size(rs) + part
        added += part
    largest = everyone[0]["metadata"]["name"]
    sizes[largest] = max(sizes[largest] + to_add - added, 0)  # what rounding left over
    return sizes


def _fraction(deployment: Obj, rs: Obj) -> int:
    """Return by how much this ReplicaSet would change if all kept their shares of the new maximum."""
    want = replicas(deployment)
    if want == 0:
        return -size(rs)
    before = annotated(rs, MAX) or int((deployment.get("status") or {}).get("replicas", 0))
    if not before:
        return 0
    return math.floor(size(rs) * (want + max_surge(deployment)) / before + 0.5) - size(rs)
