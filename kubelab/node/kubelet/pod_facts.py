"""Small questions to a pod as the API shows it. Pure functions."""

from __future__ import annotations

from kubelab.machinery.clock import parse_timestamp
from kubelab.machinery.request import Obj

SORTS = ("containers", "initContainers", "ephemeralContainers")
_METADATA = ("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations")


def container_named(pod: Obj, name: str) -> Obj | None:
    """Return a container of the spec, of whichever sort."""
    every = (c for field in SORTS for c in pod["spec"].get(field) or ())
    return next((c for c in every if c["name"] == name), None)


def grace_s(pod: Obj) -> float:
    """Return how long the pod's containers have between SIGTERM and SIGKILL."""
    granted = pod["metadata"].get("deletionGracePeriodSeconds")
    return float(pod["spec"].get("terminationGracePeriodSeconds", 30) if granted is None else granted)


def deadline_left_s(pod: Obj, status: Obj, now: float) -> float | None:
    """Return how long the pod may still be active, None when nothing limits it."""
    limit_s = pod["spec"].get("activeDeadlineSeconds")
    if limit_s is None:
        return None
    started = status.get("startTime")
    return float(limit_s) if not started else parse_timestamp(started) + limit_s - now


def differs(old: Obj, new: Obj) -> bool:
    """Tell whether the pod has changed in anything but the status that the kubelet writes itself."""
    if any(old["metadata"].get(k) != new["metadata"].get(k) for k in _METADATA) or old["spec"] != new["spec"]:
        return True
    return bool(new["spec"].get("readinessGates")) and old.get("status") != new.get("status")


def with_gates(pod: Obj, status: Obj) -> Obj:
    """Return our status with the conditions that others wrote, when the pod has readiness gates that ask for them."""
    if not pod["spec"].get("readinessGates"):
        return status
    known = {c["type"]: c for c in pod.get("status", {}).get("conditions") or ()}
    known |= {c["type"]: c for c in status.get("conditions") or ()}
    return {**status, "conditions": list(known.values())}
