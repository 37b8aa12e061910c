"""What `kubectl get pods` says of a pod: one word of status from its phase, conditions and containers.

Models: printPod of pkg/printers/internalversion
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Column
from kubelab.units.columns import AGE, NAME, NONE, since


@dataclass(slots=True)
class Summary:
    """The aggregate that the columns show."""

    reason: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count(self, status: Obj) -> None:
        self.restarts += status.get("restartCount", 0)
        ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, ended)


def summary(pod: Obj) -> Summary:
    """Aggregate a pod as kubectl shows it."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    found = Summary(status.get("reason") or status.get("phase", ""))
    found.total = len(spec.get("containers") or ()) + len(sidecars)
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            found.reason = "SchedulingGated"
    of_sidecars = Summary("")
    waits = _initialising(found, of_sidecars, spec, status, sidecars)
    if not waits or _true(status, "Initialized"):
        found.restarts, found.last_restart = of_sidecars.restarts, of_sidecars.last_restart
        _containers(found, status)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            found.reason = "Unknown"
        elif status.get("phase") not in _ENDED:
            found.reason = "Terminating"
    return found


def _true(status: Obj, condition: str) -> bool:
    return any(c["type"] == condition and c["status"] == "True" for c in status.get("conditions") or ())


def _initialising(found: Summary, of_sidecars: Summary, spec: Obj, status: Obj, sidecars: set[str]) -> bool:
    """Look at the init containers in order; the first that is not through gives the word."""
    for i, one in enumerate(status.get("initContainerStatuses") or ()):
        found.count(one)
        state, sidecar = one.get("state") or {}, one["name"] in sidecars
        if sidecar:
            of_sidecars.count(one)
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and ended.get("exitCode") == 0:
            continue
        if sidecar and one.get("started"):
            found.ready += bool(one.get("ready"))
            continue
        if ended is not None:
            found.reason = "Init:" + _ended(ended)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            found.reason = "Init:" + waiting["reason"]
        else:
            found.reason = f"Init:{i}/{len(spec.get('initContainers') or ())}"
        return True
    return False


def _ended(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"


def _containers(found: Summary, status: Obj) -> None:
    running = False
    for one in reversed(status.get("containerStatuses") or ()):
        found.count(one)
        state = one.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            found.reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            found.reason = _ended(state["terminated"])
        elif one.get("ready") and state.get("running") is not None:
            running = True
            found.ready += 1
    if found.reason == "Completed" and running:
        found.reason = "Running" if _true(status, "Ready") else "NotReady"


def _restarts(pod: Obj, now: float) -> str:
    found = summary(pod)
    ago = f" ({since(found.last_restart, now)} ago)" if found.restarts and found.last_restart else ""
    return f"{found.restarts}{ago}"


def _ready(pod: Obj, now: float) -> str:
    found = summary(pod)
    return f"{found.ready}/{found.total}"


def _gates(pod: Obj, now: float) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    true = sum(_true(pod.get("status") or {}, g["conditionType"]) for g in gates)
    return f"{true}/{len(gates)}" if gates else NONE


def _ip(pod: Obj, now: float) -> Any:
    status = pod.get("status") or {}
    return next((p["ip"] for p in status.get("podIPs") or ()), None) or status.get("podIP") or NONE


_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def row_conditions(pod: Obj) -> list[Obj]:
    """Say of an ended pod that its row is Completed, which clients may leave out."""
    phase = (pod.get("status") or {}).get("phase", "")
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}] \
        if phase in _ENDED else []


COLUMNS = (
    NAME,
    Column("Ready", _ready, description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", lambda o, now: summary(o).reason,
           description="The aggregate status of the containers in this pod."),
    Column("Restarts", _restarts, description="The number of times the containers in this pod have been restarted and "
                                              "when the last container in this pod has restarted."),
    AGE,
    Column("IP", _ip, priority=1, path="status.podIP"),
    Column("Node", lambda o, now: (o.get("spec") or {}).get("nodeName") or NONE, priority=1, path="spec.nodeName"),
    Column("Nominated Node", lambda o, now: (o.get("status") or {}).get("nominatedNodeName") or NONE, priority=1,
           path="status.nominatedNodeName"),
    Column("Readiness Gates", _gates, priority=1, path="spec.readinessGates"),
)
