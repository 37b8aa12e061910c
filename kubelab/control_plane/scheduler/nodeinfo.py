"""What the scheduler knows of a pod and of a node: parsed once, summed incrementally.

    Pod object ─► PodInfo (requests, ports, affinity ... parsed)
                     │ add / remove: a handful of integer additions
    Node object ─► NodeInfo (allocatable, requested, ports in use, pods)

Invariant: a NodeInfo's sums are always those of the pods in its `pods`; `generation` grows with every change.
Models:    pkg/scheduler/framework/types.go
Left out:  image states, volumes in use
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from kubelab.machinery import quantity
from kubelab.machinery.request import Obj

DEFAULT_CPU_M = 100  # what a pod without a request counts as when nodes are scored
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024

millis = lru_cache(maxsize=4096)(quantity.millis)
value = lru_cache(maxsize=4096)(quantity.value)


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """What a pod asks of a node. `scalars` holds extended resources such as example.com/gpu.

    `requests_of` gives pods that ask for the same the same object, so that it is a cheap key.
    """

    cpu_m: int = 0
    memory_bytes: int = 0
    ephemeral_bytes: int = 0
    scalars: tuple[tuple[str, int], ...] = ()
    scored_cpu_m: int = 0
    scored_memory_bytes: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.cpu_m or self.memory_bytes or self.ephemeral_bytes or self.scalars)


def amounts(resources: Mapping[str, Any], assume_minimum: bool = False) -> dict[str, int]:
    """Turn a resource list into integers: cpu in millicores, everything else in whole units."""
    out = {name: millis(str(q)) if name == "cpu" else value(str(q)) for name, q in resources.items()}
    if assume_minimum:
        out.setdefault("cpu", DEFAULT_CPU_M)
        out.setdefault("memory", DEFAULT_MEMORY_BYTES)
    return out


def _add(into: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, 0) + amount


def _raise_to(into: dict[str, int], other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        into[name] = max(into.get(name, 0), amount)


def pod_amounts(spec: Mapping[str, Any], assume_minimum: bool = False) -> dict[str, int]:
    """Sum a pod's requests: containers and sidecars together, or the largest init phase, and the overhead."""
    total: dict[str, int] = {}
    for container in spec.get("containers", ()):
        _add(total, amounts(container.get("resources", {}).get("requests") or {}, assume_minimum))
    sidecars: dict[str, int] = {}
    phases: dict[str, int] = {}
    for container in spec.get("initContainers", ()):
        wants = amounts(container.get("resources", {}).get("requests") or {}, assume_minimum)
        if container.get("restartPolicy") == "Always":
            _add(total, wants)
            _add(sidecars, wants)
            _raise_to(phases, sidecars)
        else:
            phase = dict(sidecars)
            _add(phase, wants)
            _raise_to(phases, phase)
    _raise_to(total, phases)
    pod_level = (spec.get("resources") or {}).get("requests")
    if pod_level:
        total |= amounts(pod_level)
    _add(total, amounts(spec.get("overhead") or {}))
    return total


def requests_of(spec: Mapping[str, Any]) -> Requests:
    exact = pod_amounts(spec)
    scored = pod_amounts(spec, assume_minimum=True)
    scalars = tuple(sorted((n, a) for n, a in exact.items() if n not in ("cpu", "memory", "ephemeral-storage")))
    return _shared(exact.get("cpu", 0), exact.get("memory", 0), exact.get("ephemeral-storage", 0), scalars,
                   scored.get("cpu", 0), scored.get("memory", 0))


_shared = lru_cache(maxsize=4096)(Requests)


def host_ports_of(spec: Mapping[str, Any]) -> tuple[tuple[str, str, int], ...]:
    """Return (host IP, protocol, port) of every port the pod wants on the node itself."""
    found = []
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        for port in container.get("ports", ()):
            if port.get("hostPort"):
                found.append((port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), int(port["hostPort"])))
    return tuple(found)


class PodInfo:
    """A pod as the plugins read it."""

    __slots__ = ("affinity", "host_ports", "key", "labels", "labels_key", "name", "namespace", "node_name", "obj",
                 "priority", "requests", "spec", "terminating", "uid")

    def __init__(self, obj: Obj) -> None:
        meta, spec = obj["metadata"], obj["spec"]
        self.obj, self.spec = obj, spec
        self.namespace: str = meta.get("namespace", "")
        self.name: str = meta["name"]
        self.uid: str = meta.get("uid", "")
        self.key = f"{self.namespace}/{self.name}"
        self.labels: dict[str, str] = meta.get("labels") or {}
        self.terminating = bool(meta.get("deletionTimestamp"))
        self.labels_key = (self.namespace, frozenset(self.labels.items()), self.terminating)
        self.node_name: str = spec.get("nodeName", "")
        self.priority: int = spec.get("priority") or 0
        self.requests = requests_of(spec)
        self.host_ports = host_ports_of(spec)
        self.affinity: dict[str, Any] = spec.get("affinity") or {}

    def terms(self, which: str, when: str) -> list[dict[str, Any]]:
        """Return the terms of e.g. ("podAntiAffinity", "required")."""
        return (self.affinity.get(which) or {}).get(f"{when}DuringSchedulingIgnoredDuringExecution") or []


@dataclass(slots=True)
class NodeInfo:
    """A node, what it has, and what the pods on it take."""

    obj: Obj
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, Any]] = field(default_factory=list)
    unschedulable: bool = False
    cpu_m: int = 0
    memory_bytes: int = 0
    ephemeral_bytes: int = 0
    max_pods: int = 0
    scalars: dict[str, int] = field(default_factory=dict)
    used_cpu_m: int = 0
    used_memory_bytes: int = 0
    used_ephemeral_bytes: int = 0
    used_scalars: dict[str, int] = field(default_factory=dict)
    scored_cpu_m: int = 0
    scored_memory_bytes: int = 0
    used_ports: dict[tuple[str, str, int], int] = field(default_factory=dict)
    pods: dict[str, PodInfo] = field(default_factory=dict)
    generation: int = 0
    scores: dict[tuple[str, Requests], int] = field(default_factory=dict)  # valid for this generation only

    def __post_init__(self) -> None:
        self.set_node(self.obj)

    def set_node(self, obj: Obj) -> None:
        """Take over a new version of the Node object."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        self.obj, self.name = obj, obj["metadata"]["name"]
        self.labels = obj["metadata"].get("labels") or {}
        self.taints = spec.get("taints") or []
        self.unschedulable = bool(spec.get("unschedulable"))
        have = amounts(status.get("allocatable") or status.get("capacity") or {})
        self.cpu_m = have.pop("cpu", 0)
        self.memory_bytes = have.pop("memory", 0)
        self.ephemeral_bytes = have.pop("ephemeral-storage", 0)
        self.max_pods = have.pop("pods", 0)
        self.scalars = have
        self._changed()

    def add(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self._sum(pod, 1)

    def remove(self, pod: PodInfo) -> None:
        if self.pods.pop(pod.uid, None) is not None:
            self._sum(pod, -1)

    def _sum(self, pod: PodInfo, sign: int) -> None:
        wants = pod.requests
        self.used_cpu_m += sign * wants.cpu_m
        self.used_memory_bytes += sign * wants.memory_bytes
        self.used_ephemeral_bytes += sign * wants.ephemeral_bytes
        self.scored_cpu_m += sign * wants.scored_cpu_m
        self.scored_memory_bytes += sign * wants.scored_memory_bytes
        for name, amount in wants.scalars:
            self.used_scalars[name] = self.used_scalars.get(name, 0) + sign * amount
        for port in pod.host_ports:
            self.used_ports[port] = self.used_ports.get(port, 0) + sign
            if not self.used_ports[port]:
                del self.used_ports[port]
        self._changed()

    def _changed(self) -> None:
        self.generation += 1
        self.scores.clear()
