"""PersistentVolumeClaim: what a pod asks of storage, without saying where it is.

Models: pkg/registry/core/persistentvolumeclaim and pkg/apis/core/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
SHORT = {"ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOnce": "RWO", "ReadWriteOncePod": "RWOP"}
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
PROTECTION = "kubernetes.io/pvc-protection"
FROZEN = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
# The order in which upstream writes a claim's spec, and what it writes where nothing is set.
_STRUCT = {"AccessModes": "accessModes", "Selector": "selector", "Resources": "resources", "VolumeName": "volumeName",
           "StorageClassName": "storageClassName", "VolumeMode": "volumeMode", "DataSource": "dataSource",
           "DataSourceRef": "dataSourceRef", "VolumeAttributesClassName": "volumeAttributesClassName"}


def claim_defaults(claim: Obj) -> None:
    """Fill in a claim, or the template of one inside a StatefulSet."""
    spec = claim.setdefault("spec", {})
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    spec.setdefault("resources", {})
    status = claim.get("status") or {}
    if not status.get("phase"):
        claim["status"] = {**status, "phase": "Pending"}


def _prepare_create(claim: Obj) -> None:
    claim["status"] = {"phase": "Pending"}
    claim["metadata"]["finalizers"] = protected(claim["metadata"].get("finalizers"), PROTECTION)


def protected(finalizers: list[str] | None, name: str) -> list[str]:
    """Return finalizers with the one that keeps storage from being deleted while it is in use."""
    found = finalizers or []
    return found if name in found else [*found, name]


def _validate(claim: Obj) -> Sequence[FieldError]:
    return list(claim_spec_errors(claim["spec"], "spec"))


def claim_spec_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with a claim's spec, in a claim or in a template at `path`."""
    yield from access_mode_errors(spec.get("accessModes") or (), f"{path}.accessModes")
    yield from rules.label_selector(f"{path}.selector", spec.get("selector"))
    asked = (spec["resources"].get("requests") or {}).get("storage")
    if asked is None:
        yield required(f"{path}.resources[storage]")
    elif quantity.parse(asked) <= 0:
        yield invalid_value(f"{path}.resources[storage]", str(asked), "must be greater than zero")
    if spec.get("storageClassName"):
        yield from rules.subdomain_name(f"{path}.storageClassName", spec["storageClassName"])
    if spec["volumeMode"] not in VOLUME_MODES:
        yield rules.unsupported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    source = spec.get("dataSource")
    if source is not None:
        for key in ("name", "kind"):
            if not source.get(key):
                yield required(f"{path}.dataSource.{key}")
        if not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
            yield invalid_value(f"{path}.dataSource", source.get("kind", ""), "")


def access_mode_errors(modes: Sequence[str], path: str) -> rules.Errors:
    if not modes:
        yield required(path, "at least 1 access mode is required")
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield rules.unsupported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield rules.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_update_errors(new, old))


def _update_errors(new: Obj, old: Obj) -> rules.Errors:
    """Once bound, a claim may only grow; before, its volume and its class may be named once."""
    bound = (old.get("status") or {}).get("phase") == "Bound"
    free = ["resources", "volumeAttributesClassName"] if bound else []
    if not old["spec"].get("volumeName"):
        free.append("volumeName")
    if old["spec"].get("storageClassName") is None and new["spec"].get("storageClassName") is not None:
        free.append("storageClassName")
    after, before = ({k: v for k, v in o["spec"].items() if k not in free} for o in (new, old))
    if after != before:
        yield rules.forbidden("spec", f"{FROZEN}\n{_difference(old['spec'], new['spec'])}")
    elif bound:
        size, had = (quantity.parse(o["spec"]["resources"].get("requests", {}).get("storage", 0)) for o in (new, old))
        has = quantity.parse(((old.get("status") or {}).get("capacity") or {}).get("storage", 0))
        if size < had and size < has:
            yield rules.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def _difference(old: Obj, new: Obj) -> str:
    import difflib
    import json

    def lines(spec: Obj) -> list[str]:
        return json.dumps({go: spec.get(key) for go, key in _STRUCT.items()}, indent=1).splitlines()

    return "\n".join(list(difflib.unified_diff(lines(old), lines(new), lineterm="", n=3))[2:]) + "\n"


def access_text(modes: Sequence[str] | None) -> str:
    """Write access modes as kubectl does: RWO,ROX, each once and in its order."""
    return ",".join(SHORT[m] for m in ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
                    if m in (modes or ()))


def class_of(obj: Obj) -> str:
    """Return the storage class of a volume or a claim, from where older manifests wrote it or from the field."""
    given = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    return str((obj["spec"].get("storageClassName") if given is None else given) or "")


def _when_bound(claim: Obj, cell: Any) -> str:
    return str(cell(claim.get("status") or {})) if claim["spec"].get("volumeName") else ""


def phase(obj: Obj) -> str:
    return "Terminating" if "deletionTimestamp" in obj["metadata"] else (obj.get("status") or {}).get("phase", "")


VOLUME_MODE = Column("VolumeMode", lambda o, now: o["spec"].get("volumeMode") or "<unset>", priority=1,
                     path="spec.volumeMode")


def attributes_class(whose: str) -> Column:
    return Column("VolumeAttributesClass", lambda o, now: o["spec"].get("volumeAttributesClassName") or "<unset>",
                  description=f"VolumeAttributesClass of the {whose}")


PERSISTENT_VOLUME_CLAIM = Kind(
    "PersistentVolumeClaim", "persistentvolumeclaims", short_names=("pvc",), subresources=frozenset({"status"}),
    default=claim_defaults, prepare_create=_prepare_create, validate=_validate, validate_update=_validate_update,
    warnings=warnings.claim,
    columns=(
        NAME,
        Column("Status", lambda o, now: phase(o), path="status.phase"),
        Column("Volume", lambda o, now: o["spec"].get("volumeName", ""), path="spec.volumeName"),
        Column("Capacity", lambda o, now: _when_bound(o, lambda s: (s.get("capacity") or {}).get("storage", "0")),
               path="status.capacity"),
        Column("Access Modes", lambda o, now: _when_bound(o, lambda s: access_text(s.get("accessModes"))),
               path="status.accessModes"),
        Column("StorageClass", lambda o, now: class_of(o), description="StorageClass of the pvc"),
        attributes_class("pvc"), AGE, VOLUME_MODE,
    ),
)
