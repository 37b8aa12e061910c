"""May this pod run on this node? The kubelet's own last word, after the scheduler's.

    pod bound ─► admit() ─► None: run it │ Rejection: phase Failed with reason OutOfcpu, NodeAffinity, ...

Invariant: a pure function; a pod that was admitted once is not asked again.
Models:    pkg/kubelet/lifecycle/predicate.go
Left out:  topology, device and eviction managers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.pod_status import Verdict
from kubelab.node.kubelet.resources import Amounts, amounts


def admit(pod: Obj, requests: Amounts, node: Obj, used: Amounts, pods: int,
          taken_ports: Iterable[tuple[str, str, int]] = ()) -> Verdict | None:
    """Return the verdict that fails the pod, or None. `used` and `pods` count the node's other live pods."""
    spec = pod["spec"]
    room = amounts(node["status"].get("allocatable"))
    if pods + 1 > room.get("pods", 110):
        return _out_of("pods", 1, pods, room.get("pods", 110))
    for resource in sorted(requests):
        want, have = requests[resource], room.get(resource, 0)
        if want and used.get(resource, 0) + want > have:
            return _out_of(resource, want, used.get(resource, 0), have)
    labels = node["metadata"].get("labels") or {}
    if not _selected(spec, node["metadata"]["name"], labels):
        return _rejected("NodeAffinity", "Predicate NodeAffinity failed: "
                                         "node(s) didn't match Pod's node affinity/selector")
    taint = _untolerated(spec, node["spec"].get("taints") or ())
    if taint is not None:
        return _rejected("TaintToleration", "Predicate TaintToleration failed: "
                                            f"node(s) had untolerated taint(s) {{{taint}}}")
    if set(host_ports(spec)) & set(taken_ports):
        return _rejected("NodePorts", "Predicate NodePorts failed: "
                                      "node(s) didn't have free ports for the requested pod ports")
    return None


def _out_of(resource: str, want: int, used: int, room: int) -> Verdict:
    return _rejected(f"OutOf{resource}", f"Node didn't have enough resource: {resource}, requested: {want}, "
                                         f"used: {used}, capacity: {room}")


def _rejected(reason: str, message: str) -> Verdict:
    return Verdict("Failed", reason, f"Pod was rejected: {message}")


def host_ports(spec: Obj) -> list[tuple[str, str, int]]:
    """Return (host IP, protocol, port) for every host port the pod takes."""
    return [(p.get("hostIP", ""), p.get("protocol", "TCP"), p["hostPort"])
            for c in spec["containers"] for p in c.get("ports", ()) if p.get("hostPort")]


def _selected(spec: Obj, name: str, labels: Mapping[str, str]) -> bool:
    if any(labels.get(k) != v for k, v in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(all(_matches(e, labels) for e in term.get("matchExpressions", ()))
               and all(_matches(e, {"metadata.name": name}) for e in term.get("matchFields", ()))
               for term in required.get("nodeSelectorTerms", ())
               if term.get("matchExpressions") or term.get("matchFields"))


def _matches(expression: Obj, labels: Mapping[str, str]) -> bool:
    value, wanted = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _int(value) is not None and (_int(value) or 0) > int(wanted[0])
        case "Lt":
            return _int(value) is not None and (_int(value) or 0) < int(wanted[0])
    return False


def _int(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _untolerated(spec: Obj, taints: Iterable[Obj]) -> str | None:
    """Return the first NoExecute taint that the pod does not tolerate, as "key: value"."""
    for taint in taints:
        if taint.get("effect") == "NoExecute" and not any(_tolerates(t, taint) for t in spec.get("tolerations") or ()):
            return f"{taint['key']}: {taint.get('value', '')}"
    return None


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
