"""NodeRestriction and TaintNodesByCondition: what a kubelet may write, and that its Node starts as not ready.

    authorisation knows the names of things and has refused other nodes' Nodes, Pods and Leases already;
    what stands in a body is looked at here: a new object's name, labels, taints, whom a mirror Pod claims to be

Models:    plugin/pkg/admission/noderestriction, nodetaint
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj

NOT_READY = "node.kubernetes.io/not-ready"
NODES, PREFIX = "system:nodes", "system:node:"
MIRROR = "kubernetes.io/config.mirror"
OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
OWN_LABELS = frozenset({
    "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone"})
NOT_IN_MIRRORS = ("secret", "configMap", "persistentVolumeClaim", "projected")


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    handles = ("CREATE nodes", "UPDATE nodes", "UPDATE nodes/status", "CREATE pods", "UPDATE pods/status",
               "CREATE leases")

    def admit(self, a: Attributes) -> None:
        user = a.call.user
        if NODES not in user.groups or not user.name.startswith(PREFIX):
            return
        own = user.name.removeprefix(PREFIX)
        why = ""
        match a.call.kind.qualified:
            case "nodes":
                why = _node(own, a)
            case "pods" if a.operation == "CREATE":
                why = _mirror(own, a.obj)
            case "pods" if a.obj["metadata"].get("labels") != a.old["metadata"].get("labels"):
                why = f'node "{own}" cannot update labels through pod status'
            case "leases.coordination.k8s.io" if a.name != own:
                why = f'can only access node lease with the same name as the requesting node "{own}"'
        if why:
            raise a.forbidden(why)


def _node(own: str, a: Attributes) -> str:
    """Return why a kubelet may not write its Node like this, or ""."""
    if a.name != own:
        return f'node "{own}" is not allowed to modify node "{a.name}"'
    now, before = a.obj["metadata"].get("labels") or {}, a.old.get("metadata", {}).get("labels") or {}
    labels = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key) and _kept_from(key))
    if labels:
        verb = "set the following" if a.operation == "CREATE" else "modify"
        return f'node "{own}" is not allowed to {verb} labels: {", ".join(labels)}'
    if a.operation == "CREATE":
        return ""
    if (a.obj.get("spec") or {}).get("taints") != (a.old.get("spec") or {}).get("taints"):
        return f'node "{own}" is not allowed to modify taints'
    if a.obj["metadata"].get("ownerReferences") != a.old["metadata"].get("ownerReferences"):
        return f'node "{own}" is not allowed to modify ownerReferences'
    return ""


def _kept_from(label: str) -> bool:
    """Tell whether a label is not a kubelet's to write: Kubernetes' own ones, but for those that describe machines."""
    domain, slash, _ = label.rpartition("/")
    if not slash or label in OWN_LABELS or any(domain == d or domain.endswith(f".{d}") for d in OWN_DOMAINS):
        return False
    return any(domain == d or domain.endswith(f".{d}") for d in ("kubernetes.io", "k8s.io"))


def _mirror(own: str, pod: Obj) -> str:
    """Return why a kubelet may not create this Pod, or "": it shows what it runs from files, and nothing else."""
    spec = pod.get("spec") or {}
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        return f'pod does not have "{MIRROR}" annotation, node "{own}" can only create mirror pods'
    if spec.get("nodeName") != own:
        return f'node "{own}" can only create pods with spec.nodeName set to itself'
    if spec.get("serviceAccountName"):
        return f'node "{own}" can not create pods that reference a service account'
    used = next((key for volume in spec.get("volumes") or () for key in NOT_IN_MIRRORS if key in volume), "")
    return f'node "{own}" can not create pods that reference {used.lower()}s' if used else ""


def check_token(user_name: str, bound: Obj | None) -> None:
    """Let a kubelet have tokens for the Pods that run on it alone. Raises `Forbidden`."""
    own = user_name.removeprefix(PREFIX)
    why = ""
    if bound is None or bound["kind"] != "Pod":
        why = "node requested token not bound to a pod"
    elif (bound.get("spec") or {}).get("nodeName") != own:
        why = "node requested token bound to a pod scheduled on a different node"
    if why:
        raise ApiError(403, "Forbidden", f'serviceaccounts is forbidden: {why}', {"kind": "serviceaccounts"})


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    handles = ("CREATE nodes",)

    def admit(self, a: Attributes) -> None:
        taints = a.obj.setdefault("spec", {}).setdefault("taints", [])
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append({"key": NOT_READY, "effect": "NoSchedule"})
