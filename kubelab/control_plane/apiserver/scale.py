"""Scale: the one thing that a Deployment, a ReplicaSet and a ReplicationController have in common.

Models: autoscaling/v1 Scale and the scale REST of the apps and core registries
"""

from __future__ import annotations

from kubelab.machinery.errors import invalid, invalid_value
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector
from kubelab.units.catalogue import Kind

SCALE = Kind("Scale", "scales", "autoscaling")
IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Obj) -> Obj:
    """Show an object with replicas as a Scale."""
    spec, status = obj["spec"], obj.get("status") or {}
    wanted = spec.get("replicas", 1)
    shown: Obj = {"replicas": status.get("replicas", 0)}
    selector = selector_text(spec.get("selector"))
    if selector:
        shown["selector"] = selector
    return {"kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {key: obj["metadata"][key] for key in IDENTITY if key in obj["metadata"]},
            "spec": {"replicas": wanted} if wanted else {}, "status": shown}


def selector_text(selector: Obj | None) -> str:
    """Write a selector as a query; a ReplicationController's is a plain map."""
    if not selector:
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(from_label_selector(selector))
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))


def with_replicas(obj: Obj, scale: Obj) -> Obj:
    """Put a Scale's replicas into the object that is scaled. Raises `Invalid` for a negative number."""
    wanted = (scale.get("spec") or {}).get("replicas", 0)
    if wanted < 0:
        raise invalid("autoscaling", "Scale", obj["metadata"]["name"],
                      [invalid_value("spec.replicas", wanted, "must be greater than or equal to 0")])
    obj["spec"]["replicas"] = wanted
    return obj
