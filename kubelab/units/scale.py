"""Scale: the one thing that a Deployment, a ReplicaSet and a ReplicationController have in common.

Models: autoscaling/v1 Scale and the scale REST of the apps and core registries
"""

from __future__ import annotations

from kubelab.machinery import jsonpath
from kubelab.machinery.errors import ApiError, invalid, invalid_value
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

SCALE = Kind("Scale", "scales", "autoscaling", columns=(
    Column("Name", NAME.cell, path=NAME.path),
    Column("Desired", lambda o, now: o["spec"].get("replicas", 0), type="integer", path="spec.replicas"),
    Column("Available", lambda o, now: o["status"].get("replicas", 0), type="integer", path="status.replicas"), AGE))
IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Obj, paths: Obj | None = None) -> Obj:
    """Show an object with replicas as a Scale. `paths`: where a custom resource has them."""
    if paths is not None:
        return _custom_scale(obj, paths)
    spec, status = obj["spec"], obj.get("status") or {}
    wanted = spec.get("replicas", 1)
    shown: Obj = {"replicas": status.get("replicas", 0)}
    selector = selector_text(spec.get("selector"))
    if selector:
        shown["selector"] = selector
    return {"kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {key: obj["metadata"][key] for key in IDENTITY if key in obj["metadata"]},
            "spec": {"replicas": wanted} if wanted else {}, "status": shown}


def no_replicas(paths: Obj) -> ApiError:
    """Return the answer to who asks for the scale of a custom resource that does not say how many it wants."""
    why = f'the spec replicas field "{paths["specReplicasPath"]}" does not exist'
    return ApiError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})


def _custom_scale(obj: Obj, paths: Obj) -> Obj:
    wanted = jsonpath.first(paths["specReplicasPath"], obj) or 0
    shown: Obj = {"replicas": jsonpath.first(paths["statusReplicasPath"], obj) or 0}
    selector = jsonpath.first(paths["labelSelectorPath"], obj) if paths.get("labelSelectorPath") else None
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


def with_replicas(obj: Obj, scale: Obj, paths: Obj | None = None) -> Obj:
    """Put a Scale's replicas into the object that is scaled.

    Raises: Invalid for a negative number; of a custom resource its own rules say so.
    """
    wanted = (scale.get("spec") or {}).get("replicas", 0)
    if wanted < 0 and paths is None:
        raise invalid("autoscaling", "Scale", obj["metadata"]["name"],
                      [invalid_value("spec.replicas", wanted, "must be greater than or equal to 0")])
    *way, last = jsonpath.names(paths["specReplicasPath"]) or [] if paths is not None else ["spec", "replicas"]
    part = obj
    for name in way:
        part = part.setdefault(name, {})
    part[last] = wanted
    return obj
