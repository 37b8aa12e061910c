"""The decisions of the node lifecycle controller: is a node heard of, and which taints say so.

    last sign of life older than the grace ─► conditions Unknown ─► taints ─► (taint eviction) pods go

Invariant: pure functions; only taints of the controller's own keys are ever changed.
Models:    pkg/controller/nodelifecycle
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery.clock import timestamp
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
CORDONED = "node.kubernetes.io/unschedulable"
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
PRESSURES = {"MemoryPressure": "node.kubernetes.io/memory-pressure", "DiskPressure": "node.kubernetes.io/disk-pressure",
             "PIDPressure": "node.kubernetes.io/pid-pressure",
             "NetworkUnavailable": "node.kubernetes.io/network-unavailable"}
UNHEALTHY_SHARE, SMALL_CLUSTER = 0.55, 50
STOPPED = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
NEVER = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
Taint = dict[str, Any]


def ready_status(node: Obj) -> str:
    """Return "True", "False" or "Unknown"."""
    condition = get_condition(node, "Ready")
    return condition["status"] if condition else "Unknown"


def silent_conditions(node: Obj, now: float) -> list[Obj] | None:
    """Return the conditions of a node that is no longer heard of; None when they say so already."""
    stamp = timestamp(now)
    conditions: list[Obj] = list((node.get("status") or {}).get("conditions") or ())
    known = {c["type"]: i for i, c in enumerate(conditions)}
    changed = False
    for type_ in WATCHED:
        if type_ not in known:
            reason, message = NEVER
            conditions.append({"type": type_, "status": "Unknown", "lastHeartbeatTime": stamp,
                               "lastTransitionTime": stamp, "reason": reason, "message": message})
            changed = True
        elif conditions[known[type_]]["status"] != "Unknown":
            reason, message = STOPPED
            conditions[known[type_]] = {**conditions[known[type_]], "status": "Unknown", "reason": reason,
                                        "message": message, "lastTransitionTime": stamp}
            changed = True
    return conditions if changed else None


def eviction_rate(nodes: int, not_ready: int, rate_per_s: float) -> float:
    """Return how many nodes a second may be tainted NoExecute: a cluster that is mostly gone is left in peace.

    Source: https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
    """
    if not_ready >= nodes:
        return 0.0
    if not_ready > 2 and not_ready / nodes >= UNHEALTHY_SHARE:
        return 0.0 if nodes <= SMALL_CLUSTER else rate_per_s / 10
    return rate_per_s


def wanted_taints(node: Obj) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return the NoSchedule and the NoExecute taints, as (key, effect), that the node's state calls for."""
    key = {"True": "", "False": NOT_READY}.get(ready_status(node), UNREACHABLE)
    soft = {(PRESSURES[c["type"]], "NoSchedule") for c in (node.get("status") or {}).get("conditions") or ()
            if c["type"] in PRESSURES and c["status"] == "True"}
    if (node.get("spec") or {}).get("unschedulable"):
        soft.add((CORDONED, "NoSchedule"))
    if not key:
        return soft, set()
    return soft | {(key, "NoSchedule")}, {(key, "NoExecute")}


def next_taints(node: Obj, wanted: set[tuple[str, str]], now: float) -> list[Taint] | None:
    """Return the node's taints with ours brought up to date; None when nothing changes."""
    ours = {(key, effect) for key in (NOT_READY, UNREACHABLE) for effect in ("NoSchedule", "NoExecute")}
    ours |= {(key, "NoSchedule") for key in (*PRESSURES.values(), CORDONED)}
    current: Sequence[Taint] = (node.get("spec") or {}).get("taints") or ()
    have = {(t["key"], t["effect"]) for t in current} & ours
    if have == wanted:
        return None
    kept = [t for t in current if (t["key"], t["effect"]) not in ours - wanted]
    return kept + [{"key": key, "effect": effect, "timeAdded": timestamp(now)}
                   for key, effect in sorted(wanted - have)]
