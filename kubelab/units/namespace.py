"""Namespace: the drawer that names of most objects live in.

Models: pkg/registry/core/namespace of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.names import STANDARD_FINALIZERS
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

NAME_LABEL = "kubernetes.io/metadata.name"


def _default(namespace: Obj) -> None:
    name = namespace["metadata"].get("name")
    if name:
        namespace["metadata"].setdefault("labels", {})[NAME_LABEL] = name


def _prepare_create(namespace: Obj) -> None:
    """Start as Active, held by the finalizer that lets the namespace controller empty it first."""
    finalizers = namespace.setdefault("spec", {}).setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    namespace["status"] = {"phase": "Active"}


def _prepare_update(new: Obj, old: Obj) -> None:
    """Only the finalize subresource may change `spec.finalizers`."""
    new["spec"] = old["spec"]


def _validate(namespace: Obj) -> Sequence[FieldError]:
    names = (namespace.get("spec") or {}).get("finalizers") or ()
    return [e for name in names for e in _finalizer_errors("spec.finalizers", name)]


def _finalizer_errors(path: str, name: str) -> rules.Errors:
    yield from rules.qualified_name(path, name)
    if "/" not in name and name not in STANDARD_FINALIZERS:
        yield invalid_value(path, name, "name is neither a standard finalizer name nor is it fully qualified")


def _validate_part(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    """Check a status, which may not say of a namespace that lives that it goes, or the finalizers that are left."""
    if subresource == "finalize":
        names = (new.get("spec") or {}).get("finalizers") or ()
        return [e for i, name in enumerate(names) for e in _finalizer_errors(f"spec.finalizers[{i}]", name)]
    found, leaves = (new.get("status") or {}).get("phase") or "Active", "deletionTimestamp" in new["metadata"]
    only = "Terminating" if leaves else "Active"
    if found == only:
        return ()
    why = f"may only be '{only}' if `deletionTimestamp` is {'not ' if leaves else ''}empty"
    return [invalid_value("status.Phase", found, why)]


def _fields(namespace: Obj) -> Mapping[str, str]:
    return {"status.phase": (namespace.get("status") or {}).get("phase", "")}


NAMESPACE = Kind(
    "Namespace", "namespaces", namespaced=False, short_names=("ns",),
    subresources=frozenset({"status", "finalize"}),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    default=_default, prepare_create=_prepare_create, prepare_update=_prepare_update,
    validate=_validate, validate_part=_validate_part, validate_name="label",
    columns=(
        NAME,
        Column("Status", lambda o, now: (o.get("status") or {}).get("phase", ""),
               description="The status of the namespace"),
        AGE,
    ),
    selectable=_fields, selectable_keys=("status.phase",),
)


def Namespace(name: str, *, labels: Mapping[str, str] | None = None) -> Obj:
    """Write the manifest of a namespace."""
    meta: Obj = {"name": name}
    if labels:
        meta["labels"] = dict(labels)
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
