"""The Node as its kubelet describes it: labels, addresses, capacity, conditions, system info. Pure functions.

Invariant: fields that others own (taints, unschedulable, pod CIDR, further labels) are never touched here.
Models:    pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go
Left out:  images on the node, volumes in use
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

from kubelab.machinery.request import Obj

KUBELET_VERSION = "v1.36.2"
_ARCH = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What one kubelet knows about its node."""

    name: str
    ip: str
    runtime: str  # "process://0.1.0"
    pod_cidr: str = ""
    kubelet_port: int = 10250
    capacity: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def node_object(facts: NodeFacts, now: str) -> Obj:
    """Build the Node that the kubelet registers."""
    os, arch = platform.system().lower(), _ARCH.get(platform.machine(), platform.machine())
    labels = {f"{prefix}kubernetes.io/{key}": value for prefix in ("beta.", "")
              for key, value in (("arch", arch), ("os", os))}
    labels |= {"kubernetes.io/hostname": facts.name} | dict(facts.labels)
    spec: Obj = {"podCIDR": facts.pod_cidr, "podCIDRs": [facts.pod_cidr]} if facts.pod_cidr else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": facts.name, "labels": labels},
            "spec": spec, "status": node_status(facts, {}, now)}


def node_status(facts: NodeFacts, old: Obj, now: str) -> Obj:
    """Build the node's status; conditions keep their transition time while their status stays.

    Extended resources are what somebody patched into the capacity: they stay there and are given out.
    """
    extended = {name: amount for name, amount in (old.get("capacity") or {}).items() if "/" in name}
    capacity = {"ephemeral-storage": "20Gi"} | dict(facts.capacity) | extended
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": facts.ip}, {"type": "Hostname", "address": facts.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": facts.kubelet_port}},
        "conditions": node_conditions(old, now),
        "nodeInfo": _node_info(facts),
    }


_FINE = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def node_conditions(old: Obj, now: str) -> list[Obj]:
    before = {c["type"]: c for c in old.get("conditions") or ()}
    out = []
    for kind, status, reason, message in _FINE:
        known = before.get(kind)
        kept = known is not None and known["status"] == status
        since = known["lastTransitionTime"] if kept and known is not None else now
        out.append({"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": since,
                    "reason": reason, "message": message})
    return out


def _node_info(facts: NodeFacts) -> Obj:
    os, arch = platform.system().lower(), _ARCH.get(platform.machine(), platform.machine())
    return {"machineID": facts.name, "systemUUID": facts.name, "bootID": facts.name,
            "kernelVersion": platform.release(), "osImage": f"kubelab on {platform.system()}",
            "containerRuntimeVersion": facts.runtime, "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "", "operatingSystem": os, "architecture": arch}


def lease_object(facts: NodeFacts, node: Obj, now_micro: str) -> Obj:
    """Build the node's heartbeat Lease; it goes when its Node goes."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": facts.name, "uid": node["metadata"]["uid"]}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": facts.name, "namespace": "kube-node-lease", "ownerReferences": [owner]},
            "spec": {"holderIdentity": facts.name, "leaseDurationSeconds": LEASE_DURATION_S, "renewTime": now_micro}}


LEASE_DURATION_S = 40
LEASE_RENEW_S = 10.0
STATUS_REPORT_S = 300.0  # an unchanged status is written this often all the same
