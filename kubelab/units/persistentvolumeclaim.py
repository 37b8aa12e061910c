"""PersistentVolumeClaim: what a pod asks of storage, without saying where it is.

Models: pkg/registry/core/persistentvolumeclaim and pkg/apis/core/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery.request import Obj
from kubelab.units import claim_validation as validation
from kubelab.units import warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

SHORT = {"ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOnce": "RWO", "ReadWriteOncePod": "RWOP"}
SOURCES = {("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io")}
PROTECTION = "kubernetes.io/pvc-protection"


def claim_defaults(claim: Obj) -> None:
    """Fill in a claim, or the template of one inside a StatefulSet."""
    validation.claim_spec_defaults(claim.setdefault("spec", {}))
    status = claim.get("status") or {}
    if not status.get("phase"):
        claim["status"] = {**status, "phase": "Pending"}


def _prepare_create(claim: Obj) -> None:
    claim["status"] = {"phase": "Pending"}
    _fill_source(claim["spec"], {})
    claim["metadata"]["finalizers"] = protected(claim["metadata"].get("finalizers"), PROTECTION)


def _prepare_update(new: Obj, old: Obj) -> None:
    _fill_source(new["spec"], old["spec"])


def _fill_source(spec: Obj, old: Obj) -> None:
    """Let the older and the newer field say the same of what a claim is filled from; what neither knows is dropped."""
    if (spec.get("dataSourceRef") or {}).get("namespace") and old.get("dataSourceRef") is None:
        del spec["dataSourceRef"]  # no claim is filled from another namespace
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if ref is not None:
        if source is None and not ref.get("namespace"):
            spec["dataSource"] = {key: ref[key] for key in ("apiGroup", "kind", "name") if key in ref}
    elif source is not None:
        known = (source.get("kind"), source.get("apiGroup") or "") in SOURCES
        if known or old.get("dataSource") or old.get("dataSourceRef"):
            spec["dataSourceRef"] = dict(source)
        else:
            del spec["dataSource"]


def protected(finalizers: list[str] | None, name: str) -> list[str]:
    """Return finalizers with the one that keeps storage from being deleted while it is in use."""
    found = finalizers or []
    return found if name in found else [*found, name]


def access_text(modes: Sequence[str] | None) -> str:
    """Write access modes as kubectl does: RWO,ROX, each once and in its order."""
    return ",".join(SHORT[m] for m in ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
                    if m in (modes or ()))


def class_of(obj: Obj) -> str:
    """Return the storage class of a volume or a claim, from where older manifests wrote it or from the field."""
    given = (obj["metadata"].get("annotations") or {}).get(validation.CLASS_ANNOTATION)
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
    "PersistentVolumeClaim", "persistentvolumeclaims", meta_looks=(1, 2), short_names=("pvc",),
    subresources=frozenset({"status"}),
    default=claim_defaults, prepare_create=_prepare_create, prepare_update=_prepare_update,
    validate=validation.validate, validate_update=validation.validate_update,
    validate_part=validation.validate_status,
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
