"""Draw-ready facts of single objects: pure functions from an API object to a small item of the view model.

    Pod ─► pod_item ─► {"t": "pod", "phase": "unready", "containers": ["running"], "reason": "", ...}

Invariant: the words and colours of the picture follow from these items alone, in the browser as in the static drawing.
Left out:  positions and sentences; where a tile stands and what it says is the drawing's affair
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubelab.machinery import quantity
from kubelab.machinery.clock import parse_timestamp
from kubelab.machinery.request import Obj

Item = dict[str, Any]

BROKEN = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
                    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
"""Waiting reasons that do not pass by themselves."""


def condition(obj: Obj, kind: str) -> Obj:
    return next((c for c in (obj.get("status") or {}).get("conditions") or () if c.get("type") == kind), {})


def controller(obj: Obj) -> Obj:
    return next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), {})


def short_name(pod: Obj) -> str:
    """Name a tile after its owner (`web-7c` for a pod of ReplicaSet web-7c9f6d8b5), or itself where that says more."""
    meta, owner = pod["metadata"], controller(pod)
    if not owner or owner.get("kind") == "StatefulSet":
        return str(meta["name"])
    name, hash_ = str(owner["name"]), (meta.get("labels") or {}).get("pod-template-hash", "")
    if hash_ and name.endswith("-" + hash_):
        return f"{name[:-len(hash_) - 1]}-{hash_[:2]}"
    return name


def container_states(pod: Obj) -> list[str]:
    """Return one of ready, running, waiting, failed, done for each container of the spec."""
    statuses = {s["name"]: s for s in (pod.get("status") or {}).get("containerStatuses") or ()}
    return [_container_state(statuses.get(c["name"]) or {}) for c in pod["spec"].get("containers") or ()]


def _container_state(status: Obj) -> str:
    state = status.get("state") or {}
    if "running" in state:
        return "ready" if status.get("ready") else "running"
    if "terminated" in state:
        return "failed" if state["terminated"].get("exitCode") else "done"
    return "failed" if (state.get("waiting") or {}).get("reason") in BROKEN else "waiting"


def pod_phase(pod: Obj, states: Iterable[str]) -> str:
    """Return the palette class: ready, unready, pending, failed or succeeded."""
    phase = (pod.get("status") or {}).get("phase", "Pending")
    if phase in ("Failed", "Succeeded"):
        return str(phase).lower()
    if "failed" in states or any(_container_state(s) == "failed" for s in _init_statuses(pod)):
        return "failed"
    if phase == "Running":
        return "ready" if condition(pod, "Ready").get("status") == "True" else "unready"
    return "pending"


def _init_statuses(pod: Obj) -> list[Obj]:
    return list((pod.get("status") or {}).get("initContainerStatuses") or ())


def pod_reason(pod: Obj) -> tuple[str, str]:
    """Return reason and message of what stands in the pod's way, ("", "") where nothing does."""
    status = pod.get("status") or {}
    if status.get("reason"):
        return status["reason"], status.get("message", "")
    for entry in [*_init_statuses(pod), *(status.get("containerStatuses") or ())]:
        state = entry.get("state") or {}
        if "waiting" in state and state["waiting"].get("reason"):
            return state["waiting"]["reason"], state["waiting"].get("message", "")
        if (state.get("terminated") or {}).get("exitCode"):
            ended = state["terminated"]
            return ended.get("reason") or "Error", ended.get("message") or f"exit code {ended['exitCode']}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return scheduled.get("reason", ""), scheduled.get("message", "")
    return "", ""


def pod_item(pod: Obj, order: int) -> Item:
    """Draw-ready facts of one pod; `order` is its place in the order of arrival."""
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    states = container_states(pod)
    reason, message = pod_reason(pod)
    return {
        "t": "pod", "uid": meta["uid"], "ns": meta.get("namespace", ""), "name": meta["name"], "order": order,
        "short": short_name(pod), "node": spec.get("nodeName") or "", "phase": pod_phase(pod, states),
        "gone": "deletionTimestamp" in meta, "containers": states, "names": [c["name"] for c in spec["containers"]],
        "restarts": sum(s.get("restartCount", 0) for s in status.get("containerStatuses") or ()),
        "reason": reason, "message": message[:300], "ip": status.get("podIP", ""), "labels": meta.get("labels") or {},
    }


def requests(pod: Obj) -> tuple[int, int]:
    """Return what the pod asks for, as the scheduler counts it: (millicpu, bytes); nothing once it has ended."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0, 0
    cpu = memory = 0
    for container in pod["spec"].get("containers") or ():
        asked = (container.get("resources") or {}).get("requests") or {}
        cpu += quantity.millis(asked.get("cpu", "0"))
        memory += quantity.value(asked.get("memory", "0"))
    return cpu, memory


def node_item(node: Obj, used: tuple[int, int], lease_at: float | None = None) -> Item:
    """Draw-ready facts of one node; `used` is what its pods ask for, `lease_at` its last sign of life once lost."""
    meta, status = node["metadata"], node.get("status") or {}
    room, ready = status.get("allocatable") or status.get("capacity") or {}, condition(node, "Ready")
    cpu, memory = quantity.millis(room.get("cpu", "0")), quantity.value(room.get("memory", "0"))
    since = ready.get("lastTransitionTime")
    return {
        "t": "node", "uid": meta.get("uid", ""), "name": meta["name"], "ready": ready.get("status") == "True",
        "reason": ready.get("reason", ""), "message": ready.get("message", ""),
        "since": parse_timestamp(since) if since else 0.0, "lease": lease_at or 0.0,
        "cordoned": bool((node.get("spec") or {}).get("unschedulable")),
        "taints": [f"{t['key']}:{t['effect']}" for t in (node.get("spec") or {}).get("taints") or ()],
        "cpu": round(used[0] / cpu, 3) if cpu else 0.0, "mem": round(used[1] / memory, 3) if memory else 0.0,
        "cpu_text": f"{used[0] / 1000:g} of {cpu / 1000:g}", "mem_text": f"{_gib(used[1])} of {_gib(memory)} GiB",
        "runtime": ((status.get("nodeInfo") or {}).get("containerRuntimeVersion") or "").split(":")[0],
    }


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f}".rstrip("0").rstrip(".")


def service_item(service: Obj, slices: Iterable[Obj]) -> Item:
    """Draw-ready facts of one Service; `slices` are its EndpointSlices."""
    meta, spec = service["metadata"], service["spec"]
    ready: set[str] = set()
    waiting: set[str] = set()
    for endpoint in (e for s in slices for e in s.get("endpoints") or ()):
        uid = (endpoint.get("targetRef") or {}).get("uid") or ",".join(endpoint.get("addresses") or ())
        (ready if (endpoint.get("conditions") or {}).get("ready", True) else waiting).add(uid)
    return {
        "t": "svc", "uid": meta["uid"], "ns": meta.get("namespace", ""), "name": meta["name"],
        "ip": spec.get("clusterIP") or spec.get("externalName") or "", "type": spec.get("type", "ClusterIP"),
        "ports": [str(p["port"]) for p in spec.get("ports") or ()],
        "selector": spec.get("selector") or {}, "pods": sorted(ready), "waiting": sorted(waiting - ready),
    }
