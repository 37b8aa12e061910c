"""What a PersistentVolumeClaim may look like, and what of it may change.

    asked for ─► bound: only its size and its attributes class may change, and the size only to grow

Invariant: a claim's spec is what its volume was chosen by, so a bound one stays as it was.
Models:    ValidatePersistentVolumeClaim, its Update and its StatusUpdate of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.go_shapes import Embedded, difference, printed

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
RESIZE_STATES = ("ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
                 "NodeResizeInfeasible", "NodeResizePending")
FROZEN = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_REF = {"apiGroup": None, "kind": "", "name": ""}
# A claim's spec as upstream prints it, in its order.
SHAPE = {"accessModes": None, "selector": None, "resources": Embedded({"limits": None, "requests": None}),
         "volumeName": "", "storageClassName": None, "volumeMode": None, "dataSource": _REF,
         "dataSourceRef": {**_REF, "namespace": None}, "volumeAttributesClassName": None}


def claim_spec_defaults(spec: Obj) -> None:
    """Fill in a claim's spec, in a claim or in a template."""
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    spec.setdefault("resources", {})


def validate(claim: Obj) -> Sequence[FieldError]:
    return list(claim_spec_errors(claim["spec"], "spec"))


def claim_spec_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with a claim's spec, in a claim or in a template at `path`."""
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from rules.label_selector(f"{path}.selector", spec.get("selector"))
    yield from access_mode_errors(spec.get("accessModes") or (), f"{path}.accessModes")
    asked = (spec["resources"].get("requests") or {}).get("storage")
    if asked is None:
        yield required(f"{path}.resources[storage]")
    elif quantity.parse(asked) <= 0:
        yield invalid_value(f"{path}.resources[storage]", str(asked), "must be greater than zero")
    if spec.get("storageClassName"):
        yield from rules.subdomain_name(f"{path}.storageClassName", spec["storageClassName"])
    if spec["volumeMode"] not in VOLUME_MODES:
        yield rules.unsupported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    yield from _source_errors(spec, path)
    if spec.get("volumeAttributesClassName"):
        yield from rules.subdomain_name(f"{path}.volumeAttributesClassName", spec["volumeAttributesClassName"])


def _source_errors(spec: Obj, path: str) -> rules.Errors:
    for key in ("dataSource", "dataSourceRef"):
        source = spec.get(key)
        if source is None:
            continue
        yield from (required(f"{path}.{key}.{part}") for part in ("name", "kind") if not source.get(part))
        if not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
            yield invalid_value(f"{path}.{key}", source.get("kind", ""),
                                "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
        elif source.get("apiGroup"):
            yield from rules.subdomain_name(f"{path}.{key}.apiGroup", source["apiGroup"])
        if source.get("namespace"):
            yield from rules.label_name(f"{path}.{key}.namespace", source["namespace"])
    older, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if older is not None and ref is not None:
        if ref.get("namespace"):
            yield invalid_value(path, f"{path}.dataSource",
                                "may not be specified when dataSourceRef.namespace is specified")
        elif any(older.get(key) != ref.get(key) for key in ("apiGroup", "kind", "name")):
            yield invalid_value(path, f"{path}.dataSource", "must match dataSourceRef")


def access_mode_errors(modes: Sequence[str], path: str) -> rules.Errors:
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield rules.unsupported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and any(m in ACCESS_MODES and m != "ReadWriteOncePod" for m in modes):
        yield rules.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    """Return what is wrong with a claim, which is looked at once more, and what may not change."""
    return [*validate(new), *_update_errors(new, old)]


def _update_errors(new: Obj, old: Obj) -> rules.Errors:
    """Once bound, a claim may only grow; before, its volume and its class may be named once."""
    spec, before = new["spec"], old["spec"]
    notes, had_notes = (o["metadata"].get("annotations") or {} for o in (new, old))
    named, had = notes.get(CLASS_ANNOTATION), had_notes.get(CLASS_ANNOTATION)
    moved = had is not None and before.get("storageClassName") is None and spec.get("storageClassName") == had \
        and named in (None, had)
    if not moved and (named or "") != (had or ""):
        yield invalid_value(f"metadata.annotations.{CLASS_ANNOTATION}", named or "", "field is immutable")
    wanted = _with_what_is_free(spec, before, bound=(new.get("status") or {}).get("phase") == "Bound",
                                may_name_class=had in (None, spec.get("storageClassName")))
    frozen = before if before.get("volumeName") else {**before, "volumeName": spec.get("volumeName")}
    was, becomes = printed(SHAPE, frozen), printed(SHAPE, wanted)
    if becomes != was:
        yield rules.forbidden("spec", f"{FROZEN}\n{difference(was, becomes)}")
    yield from _size_errors(new, old)
    yield from rules.immutable("volumeMode", spec["volumeMode"], before["volumeMode"])
    if before.get("volumeAttributesClassName") is not None and not spec.get("volumeAttributesClassName"):
        to = "nil" if spec.get("volumeAttributesClassName") is None else "an empty string"
        yield rules.forbidden("spec.volumeAttributesClassName", f"update from non-nil value to {to} is forbidden")


def _with_what_is_free(spec: Obj, before: Obj, *, bound: bool, may_name_class: bool) -> Obj:
    """Return a new spec with what it may change as it was."""
    out = dict(spec)
    if may_name_class and before.get("storageClassName") is None and spec.get("storageClassName") is not None:
        out["storageClassName"] = None
    requests = spec["resources"].get("requests")
    if bound and requests is not None:
        size = (before["resources"].get("requests") or {}).get("storage")
        out["resources"] = {**spec["resources"], "requests": {**requests, "storage": size}}
    if bound and spec.get("volumeAttributesClassName") is not None:
        out["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    return out


def _size_errors(new: Obj, old: Obj) -> rules.Errors:
    size, had = (quantity.parse((o["spec"]["resources"].get("requests") or {}).get("storage") or 0) for o in (new, old))
    has = quantity.parse(((old.get("status") or {}).get("capacity") or {}).get("storage") or 0)
    if size < had and size <= has:
        yield rules.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def validate_status(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    return list(_status_errors(new.get("status") or {}))


def _status_errors(status: Obj) -> rules.Errors:
    yield from _basic_amounts(status.get("capacity") or {}, "status.capacity")
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        yield from _resource_key_errors(name, "status.allocatedResourceStatus")
        if state not in RESIZE_STATES:
            yield rules.unsupported("status.allocatedResourceStatus", name, RESIZE_STATES)
    for name, amount in (status.get("allocatedResources") or {}).items():
        wrong = list(_resource_key_errors(name, "status.allocatedResources"))
        yield from wrong
        if not wrong:
            yield from _basic_amounts({name: amount}, "status.allocatedResources")


def _resource_key_errors(name: str, path: str) -> rules.Errors:
    wrong = list(rules.qualified_name(path, name))
    yield from wrong
    if not wrong and name != "storage" and ("/" not in name or "kubernetes.io/" in name):
        yield rules.unsupported(path, name, ("storage",))


def _basic_amounts(amounts: Obj, path: str) -> rules.Errors:
    for name, amount in amounts.items():
        if quantity.parse(amount) < 0:
            yield invalid_value(f"{path}[{name}]", quantity.value(amount), "must be a valid resource quantity")
