"""The status of a pod as the kubelet reports it: phase, conditions, addresses, container statuses.

    Scene ─► container statuses ─► phase ─► conditions ─► pod_status() ─► status_patch() ─► API

Invariant: lastTransitionTime moves only when a condition's status does; nothing here reads a clock.
Models:    kubelet generateAPIPodStatus, pkg/kubelet/status/generate.go
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.container_status import Scene, container_statuses, ephemeral_statuses
from kubelab.node.kubelet.observed import is_sidecar
from kubelab.node.kubelet.phase import pod_phase


@dataclass(frozen=True, slots=True)
class Verdict:
    """A phase that was decided for the pod as a whole: rejected, evicted, past its deadline."""

    phase: str
    reason: str
    message: str


def pod_status(scene: Scene, *, host_ip: str, now: str, verdict: Verdict | None = None) -> Obj:
    """Build the whole status; `now` is a timestamp for conditions that change."""
    pod, old = scene.pod, scene.pod.get("status", {})
    spec = pod["spec"]
    init = container_statuses(scene, "initContainers") if verdict is None or scene.observed.attempts else []
    regular = container_statuses(scene, "containers") if verdict is None or scene.observed.attempts else []
    phase = old.get("phase", "Pending")
    if verdict is not None:
        phase = verdict.phase
    elif phase not in ("Succeeded", "Failed"):
        phase = pod_phase(spec, init, regular, ending=scene.ending)
    generation = pod["metadata"].get("generation", 1)
    out: Obj = {"observedGeneration": generation, "phase": phase}
    if verdict is not None:
        out |= {"reason": verdict.reason, "message": verdict.message}
    else:
        out |= {k: old[k] for k in ("reason", "message") if k in old}
    out["conditions"] = _conditions(scene, phase, init, regular, generation, now)
    out |= _addresses(scene, host_ip)
    out["startTime"] = old.get("startTime") or now
    if init:
        out["initContainerStatuses"] = init
    if regular:
        out["containerStatuses"] = regular
    if spec.get("ephemeralContainers"):
        out["ephemeralContainerStatuses"] = ephemeral_statuses(scene)
    if "qosClass" in old:
        out["qosClass"] = old["qosClass"]
    return out


def _addresses(scene: Scene, host_ip: str) -> Obj:
    out: Obj = {"hostIP": host_ip, "hostIPs": [{"ip": host_ip}]}
    sandbox = scene.observed.sandbox
    ip = sandbox.ip if sandbox is not None else scene.pod.get("status", {}).get("podIP", "")
    if scene.pod["spec"].get("hostNetwork"):
        ip = host_ip
    return out | {"podIP": ip, "podIPs": [{"ip": ip}]} if ip else out


def _conditions(scene: Scene, phase: str, init: Sequence[Obj], regular: Sequence[Obj], generation: int,
                now: str) -> list[Obj]:
    spec = scene.pod["spec"]
    old = {c["type"]: c for c in scene.pod.get("status", {}).get("conditions") or ()}
    sandbox = scene.observed.sandbox is not None and scene.observed.sandbox.ready
    ready = containers_ready(spec, phase, init, regular)
    fresh = [
        {"type": "PodReadyToStartContainers", "status": "True" if sandbox else "False"},
        {"type": "Initialized"} | initialized(spec, phase, init, regular),
        {"type": "Ready"} | _gated(spec, old, ready),
        {"type": "ContainersReady"} | ready,
        {"type": "PodScheduled", "status": "True"},
    ]
    out = []
    for condition in fresh:
        before = old.get(condition["type"])
        kept = before is not None and before["status"] == condition["status"]
        since = before.get("lastTransitionTime", now) if kept and before is not None else now
        out.append(condition | {"lastTransitionTime": since, "observedGeneration": generation})
    return out


def containers_ready(spec: Obj, phase: str, init: Sequence[Obj], regular: Sequence[Obj]) -> Obj:
    """Return status, reason and message of ContainersReady."""
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    sidecars = [s for c, s in zip(spec.get("initContainers", ()), init, strict=False) if is_sidecar(c)]
    unready = [s["name"] for s in [*sidecars, *regular] if not s["ready"]]
    if unready:
        return {"status": "False", "reason": "ContainersNotReady",
                "message": f"containers with unready status: [{' '.join(unready)}]"}
    return {"status": "True"}


def initialized(spec: Obj, phase: str, init: Sequence[Obj], regular: Sequence[Obj]) -> Obj:
    """Return status, reason and message of Initialized."""
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if any("running" in s["state"] or s["restartCount"] or "terminated" in s["state"] for s in regular):
        return {"status": "True"}
    waiting = [s["name"] for c, s in zip(spec.get("initContainers", ()), init, strict=False)
               if not (s.get("started") if is_sidecar(c) else s["ready"])]
    if waiting:
        return {"status": "False", "reason": "ContainersNotInitialized",
                "message": f"containers with incomplete status: [{' '.join(waiting)}]"}
    return {"status": "True"}


def _gated(spec: Obj, conditions: dict[str, Obj], ready: Obj) -> Obj:
    """Return Ready: as ContainersReady, and every readiness gate open."""
    if ready["status"] != "True":
        return ready
    shut = []
    for gate in spec.get("readinessGates", ()):
        kind = gate["conditionType"]
        condition = conditions.get(kind)
        if condition is None:
            shut.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif condition["status"] != "True":
            shut.append(f'the status of pod readiness gate "{kind}" is not "True", but {condition["status"]}')
    if shut:
        return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(shut)}
    return ready


def status_patch(old: Obj, new: Obj) -> Obj:
    """Return the strategic merge patch from one status to the next; {} when nothing changed.

    Lists of conditions merge by type, so a field that went away is set to null.
    """
    patch: dict[str, Any] = {k: v for k, v in new.items() if old.get(k) != v}
    for gone in ("reason", "message", "podIP"):
        if gone in old and gone not in new:
            patch[gone] = None
    if "conditions" in patch:
        before = {c["type"]: c for c in old.get("conditions") or ()}
        patch["conditions"] = [
            {k: None for k in before.get(c["type"], {}) if k not in c and k != "lastProbeTime"} | c
            for c in new["conditions"] if before.get(c["type"]) != c
        ]
    return patch
