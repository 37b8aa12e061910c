"""NodeRestriction and TaintNodesByCondition: what a kubelet may write, and that its Node starts as not ready.

    authorisation knows the names of things and has refused other nodes' Nodes, Pods and Leases already;
    what stands in a body is looked at here: a new object's name, labels, taints, whom a mirror Pod claims to be

Models:    plugin/pkg/admission/noderestriction, nodetaint
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.units.pods.annotations import MIRROR
from kubelab.units.pods.references import references

NOT_READY = "node.kubernetes.io/not-ready"
NODES, PREFIX = "system:nodes", "system:node:"
OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
OWN_LABELS = frozenset({
    "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone"})


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
                why = _mirror(own, a.obj, self.get("", "nodes", own))
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
    updates = a.operation != "CREATE"
    if updates and (a.obj.get("spec") or {}).get("taints") != (a.old.get("spec") or {}).get("taints"):
        return f'node "{own}" is not allowed to modify taints'
    now, before = a.obj["metadata"].get("labels") or {}, a.old.get("metadata", {}).get("labels") or {}
    labels = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key) and _kept_from(key))
    if labels:
        verb = "modify" if updates else "set the following"
        return f'node "{own}" is not allowed to {verb} labels: {", ".join(labels)}'
    if updates and a.obj["metadata"].get("ownerReferences") != a.old["metadata"].get("ownerReferences"):
        return f'node "{own}" is not allowed to modify ownerReferences'
    return ""


def _kept_from(label: str) -> bool:
    """Tell whether a label is not a kubelet's to write: Kubernetes' own ones, but for those that describe machines."""
    domain, slash, _ = label.rpartition("/")
    if not slash or label in OWN_LABELS or any(domain == d or domain.endswith(f".{d}") for d in OWN_DOMAINS):
        return False
    return any(domain == d or domain.endswith(f".{d}") for d in ("kubernetes.io", "k8s.io"))


def _mirror(own: str, pod: Obj, node: Obj | None) -> str:
    """Return why a kubelet may not create this Pod, or "": it shows what it runs from files, and nothing else."""
    spec, metadata = pod.get("spec") or {}, pod["metadata"]
    if MIRROR not in (metadata.get("annotations") or {}):
        return f'pod does not have "{MIRROR}" annotation, node "{own}" can only create mirror pods'
    if spec.get("nodeName") != own:
        return f'node "{own}" can only create pods with spec.nodeName set to itself'
    why = _owner(own, metadata.get("ownerReferences") or [], node)
    if why:
        return why
    if spec.get("serviceAccountName"):
        return f'node "{own}" can not create pods that reference a service account'
    used = [kind.lower() + "s" for kind in ("secret", "configMap") if references(spec, kind)]
    used += ["persistentvolumeclaims"] * any(v.get("persistentVolumeClaim") for v in spec.get("volumes") or ())
    used += ["resourceclaims"] * bool(spec.get("resourceClaims"))
    return f'node "{own}" can not create pods that reference {used[0]}' if used else ""


def _owner(own: str, owners: Sequence[Obj], node: Obj | None) -> str:
    """Return why a mirror Pod does not belong to its Node, or ""."""
    if len(owners) > 1:
        return f'node "{own}" can only create pods with a single owner reference set to itself'
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", own):
        return f'node "{own}" can only create pods with an owner reference set to itself'
    if not owner.get("controller"):
        return f'node "{own}" can only create pods with a controller owner reference set to itself'
    if owner.get("blockOwnerDeletion"):
        return f'node "{own}" must not set blockOwnerDeletion on an owner reference'
    if node is None:
        return f'node "{own}" not found'
    uid = node["metadata"]["uid"]
    return "" if owner.get("uid") == uid else f"node {own} UID mismatch: expected {owner.get('uid', '')} got {uid}"


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
