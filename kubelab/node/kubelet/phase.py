"""The phase of a pod, from its containers' statuses: Pending, Running, Succeeded or Failed.

Invariant: a pod that once was Succeeded or Failed stays so (the caller keeps it).
Models:    kubelet getPhase
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.observed import is_sidecar
from kubelab.node.kubelet.plan import restart_policy


def pod_phase(spec: Obj, init: Sequence[Obj], regular: Sequence[Obj], *, ending: bool = False) -> str:
    """Return the phase; `ending` says that the pod's containers are not going to be started again."""
    pending_init, failed_init = _count_init(spec, init)
    if failed_init and spec.get("restartPolicy") == "Never":
        return "Failed"
    waiting = running = stopped = succeeded = restartable = 0
    for container, status in zip(spec["containers"], regular, strict=False):
        state, last = status["state"], status.get("lastState", {})
        ended = state.get("terminated")
        if "running" in state:
            running += 1
        elif ended is not None:
            stopped += 1
            succeeded += ended.get("exitCode", 0) == 0
        elif "terminated" in last:
            stopped += 1
        else:
            waiting += 1
        policy = restart_policy(spec, container)
        restartable += policy == "Always" or (policy == "OnFailure" and (ended is None or ended["exitCode"] != 0))
    if ending and not running and not waiting:
        return "Succeeded" if stopped == succeeded else "Failed"
    if waiting or (pending_init and not (running or stopped)):
        return "Pending"
    if running:
        return "Running"
    if stopped and not restartable:
        return "Succeeded" if stopped == succeeded else "Failed"
    return "Running" if stopped else "Pending"


def _count_init(spec: Obj, statuses: Sequence[Obj]) -> tuple[int, int]:
    pending = failed = 0
    for container, status in zip(spec.get("initContainers", ()), statuses, strict=False):
        ended = status["state"].get("terminated") or status.get("lastState", {}).get("terminated")
        if is_sidecar(container):
            pending += not status.get("started")
        elif "running" in status["state"] or ended is None:
            pending += 1
        elif ended.get("exitCode", 0) != 0:
            failed += 1
            pending += spec.get("restartPolicy") != "Never"
    return pending, failed
