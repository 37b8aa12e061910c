"""StorageClass, VolumeAttributesClass and CSIStorageCapacity: what kinds of storage there are to ask for, and how much.

Models: pkg/registry/storage and pkg/apis/storage of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.persistentvolumeclaim import protected

GROUP = "storage.k8s.io"
PROTECTION = "kubernetes.io/vac-protection"
RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
MAX_PARAMETERS, MAX_PARAMETER_BYTES = 512, 256 * 1024
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
DEFAULT_ATTRIBUTES = ("volumeattributesclass.alpha.kubernetes.io/is-default-class",)


def _default_class(storage_class: Obj) -> None:
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


def _validate_class(storage_class: Obj) -> Sequence[FieldError]:
    return list(_class_errors(storage_class))


def _class_errors(one: Obj) -> rules.Errors:
    yield from driver_name("provisioner", one.get("provisioner", ""))
    yield from _parameters(one.get("parameters") or {})
    yield from rules.known("reclaimPolicy", one.get("reclaimPolicy"), RECLAIM_POLICIES)
    yield from rules.known("volumeBindingMode", one.get("volumeBindingMode"), BINDING_MODES)
    yield from _topologies(one.get("allowedTopologies") or ())


def driver_name(path: str, name: str) -> rules.Errors:
    if not name:
        yield required(path)
    else:
        yield from rules.qualified_name(path, name.lower())


def _parameters(parameters: Mapping[str, str]) -> rules.Errors:
    if len(parameters) > MAX_PARAMETERS:
        yield rules.too_long("parameters", MAX_PARAMETERS)
        return
    if "" in parameters:
        yield invalid_value("parameters", "", "field can not be empty.")
    if sum(len(k) + len(v) for k, v in parameters.items()) > MAX_PARAMETER_BYTES:
        yield rules.too_long("parameters", MAX_PARAMETER_BYTES)


def _topologies(terms: Sequence[Obj]) -> rules.Errors:
    seen: list[dict[str, set[str]]] = [{} for _ in terms]  # upstream begins with an empty one for each
    for i, term in enumerate(terms):
        path, said = f"allowedTopologies[{i}].matchLabelExpressions", term.get("matchLabelExpressions") or ()
        yield from _topology(path, said)
        values = {rule.get("key", ""): set(rule.get("values") or ()) for rule in said}
        yield from (duplicate(path, "") for other in seen if other == values)
        seen.append(values)


def _topology(path: str, expressions: Sequence[Obj]) -> rules.Errors:
    seen: set[str] = set()
    for i, rule in enumerate(expressions):
        key, values = rule.get("key", ""), rule.get("values") or ()
        if not values:
            yield required(f"{path}[{i}].values")
        yield from rules.unique((f"{path}[{i}].values[{j}]", value) for j, value in enumerate(values))
        yield from rules.qualified_name(f"{path}[{i}].key", key)
        if key in seen:
            yield duplicate(f"{path}[{i}].key", key)
        seen.add(key)


def _class_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    found = list(rules.immutable("parameters", new.get("parameters") or None, old.get("parameters") or None))
    for key in ("provisioner", "reclaimPolicy", "volumeBindingMode"):
        found += rules.immutable(key, new.get(key), old.get(key))
    return found


def _name_column(marks: Sequence[str]) -> Column:
    """Return the column that tells which class is the default, by an annotation of one of these names."""
    def cell(one: Obj, now: float) -> str:
        notes = one["metadata"].get("annotations") or {}
        return f"{one['metadata']['name']}{' (default)' if any(notes.get(key) == 'true' for key in marks) else ''}"

    return Column("Name", cell, format="name", path="metadata.name")


STORAGE_CLASS = Kind(
    "StorageClass", "storageclasses", group=GROUP, namespaced=False, short_names=("sc",),
    default=_default_class, validate=_validate_class, validate_update=_class_update,
    columns=(
        _name_column(DEFAULT_CLASS),
        Column("Provisioner", lambda o, now: o.get("provisioner", ""), path="provisioner"),
        Column("ReclaimPolicy", lambda o, now: o.get("reclaimPolicy") or "Delete", path="reclaimPolicy"),
        Column("VolumeBindingMode", lambda o, now: o.get("volumeBindingMode") or "Immediate",
               path="volumeBindingMode"),
        Column("AllowVolumeExpansion", lambda o, now: bool(o.get("allowVolumeExpansion")),
               path="allowVolumeExpansion"),
        AGE,
    ),
)


def _validate_attributes(one: Obj) -> Sequence[FieldError]:
    errors = [*driver_name("driverName", one.get("driverName", "")), *_parameters(one.get("parameters") or {})]
    return errors if one.get("parameters") else [
        *errors, required("parameters", "must contain at least one key/value pair")]


def _attributes_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return [rules.forbidden(key, f"updates to {key} are forbidden.") for key in ("driverName", "parameters")
            if (new.get(key) or None) != (old.get(key) or None)]


def _prepare_attributes(one: Obj) -> None:
    one["metadata"]["finalizers"] = protected(one["metadata"].get("finalizers"), PROTECTION)


VOLUME_ATTRIBUTES_CLASS = Kind(
    "VolumeAttributesClass", "volumeattributesclasses", group=GROUP, namespaced=False, short_names=("vac",),
    prepare_create=_prepare_attributes, validate=_validate_attributes, validate_update=_attributes_update,
    update_first=True,
    columns=(_name_column(DEFAULT_ATTRIBUTES),
             Column("DriverName", lambda o, now: o.get("driverName", ""), path="driverName"), AGE),
)


def _validate_capacity(one: Obj) -> Sequence[FieldError]:
    return list(_capacity_errors(one))


def _capacity_errors(one: Obj) -> rules.Errors:
    yield from rules.label_selector("nodeTopology", one.get("nodeTopology"))
    yield from rules.subdomain_name("storageClassName", one.get("storageClassName", ""))
    capacity = one.get("capacity")
    if capacity is not None and quantity.parse(capacity) < 0:
        yield invalid_value("capacity", quantity.canonical(capacity), rules.NOT_NEGATIVE)


def _capacity_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return [error for key in ("nodeTopology", "storageClassName")
            for error in rules.immutable(key, new.get(key), old.get(key))]


CSI_STORAGE_CAPACITY = Kind(
    "CSIStorageCapacity", "csistoragecapacities", group=GROUP,
    validate=_validate_capacity, validate_update=_capacity_update,
    columns=(
        NAME,
        Column("StorageClassName", lambda o, now: o.get("storageClassName", ""), path="storageClassName"),
        Column("Capacity", lambda o, now: o.get("capacity") or "<unset>", path="capacity"),
    ),
)
