"""PersistentVolume: a piece of storage that outlives the pods that use it.

Models: pkg/registry/core/persistentvolume and pkg/apis/core/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence
from posixpath import normpath
from typing import Any

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.claim_validation import VOLUME_MODES, access_mode_errors
from kubelab.units.columns import AGE, NAME
from kubelab.units.go_shapes import GIVEN, difference, printed
from kubelab.units.persistentvolumeclaim import (
    VOLUME_MODE,
    access_text,
    attributes_class,
    class_of,
    phase,
    protected,
)
from kubelab.units.placement_validation import node_selector_errors
from kubelab.units.volume_sources import SOURCES, source_defaults, source_errors

PROTECTION = "kubernetes.io/pv-protection"
POLICIES = ("Delete", "Recycle", "Retain")
_SECRET = {"name": "", "namespace": ""}
# A source as upstream prints it, in its order; of what vendors have, only what was given.
SHAPE = {
    "gcePersistentDisk": GIVEN, "awsElasticBlockStore": GIVEN, "hostPath": {"path": "", "type": None},
    "glusterfs": GIVEN, "nfs": {"server": "", "path": "", "readOnly": False},
    **dict.fromkeys(("rbd", "quobyte", "iscsi", "flexVolume", "cinder", "cephfs", "fc", "flocker", "azureFile",
                     "vsphereVolume", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO"), GIVEN),
    "local": {"path": "", "fsType": None}, "storageos": GIVEN,
    "csi": {"driver": "", "volumeHandle": "", "readOnly": False, "fsType": "", "volumeAttributes": None,
            **dict.fromkeys(("controllerPublishSecretRef", "nodeStageSecretRef", "nodePublishSecretRef",
                             "controllerExpandSecretRef", "nodeExpandSecretRef"), _SECRET)}}
BETA_LABELS = {"beta.kubernetes.io/os": "kubernetes.io/os", "beta.kubernetes.io/arch": "kubernetes.io/arch",
               "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
               **{f"failure-domain.beta.kubernetes.io/{of}": f"topology.kubernetes.io/{of}"
                  for of in ("zone", "region")}}


def _default(volume: Obj) -> None:
    spec = volume.setdefault("spec", {})
    spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    source_defaults(spec)
    status = volume.get("status") or {}
    if not status.get("phase"):
        volume["status"] = {**status, "phase": "Pending"}


def _prepare_create(volume: Obj) -> None:
    metadata = volume["metadata"]
    volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": metadata["creationTimestamp"]}
    metadata["finalizers"] = protected(metadata.get("finalizers"), PROTECTION)


def _validate(volume: Obj) -> Sequence[FieldError]:
    return list(_spec_errors(volume["spec"]))


def _spec_errors(spec: Obj) -> rules.Errors:
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    yield from access_mode_errors(spec.get("accessModes") or (), "spec.accessModes")
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield required("spec.capacity")
    if set(capacity) != {"storage"}:
        yield rules.unsupported("spec.capacity", spec.get("capacity"), ("storage",))
    for name, amount in capacity.items():
        if quantity.parse(amount) < 0:
            yield invalid_value(f"spec.capacity[{name}]", quantity.value(amount), "must be a valid resource quantity")
        if quantity.parse(amount) <= 0:
            yield invalid_value(f"spec.capacity[{name}]", str(amount), "must be greater than zero")
    if spec["persistentVolumeReclaimPolicy"] not in POLICIES:
        yield rules.unsupported("spec.persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"], POLICIES)
    if spec.get("nodeAffinity") is not None:
        yield from _affinity_errors(spec["nodeAffinity"])
    yield from source_errors(spec)
    path = (spec.get("hostPath") or {}).get("path", "")
    if path and normpath(path).lstrip("/") in ("", ".") and spec["persistentVolumeReclaimPolicy"] == "Recycle":
        yield rules.forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
    if spec.get("storageClassName"):
        yield from rules.subdomain_name("spec.storageClassName", spec["storageClassName"])
    if spec["volumeMode"] not in VOLUME_MODES:
        yield rules.unsupported("spec.volumeMode", spec["volumeMode"], VOLUME_MODES)
    if spec.get("volumeAttributesClassName") is not None:
        yield from _attributes_errors(spec, "spec.volumeAttributesClassName")


def _affinity_errors(affinity: Obj) -> rules.Errors:
    if affinity.get("required") is None:
        yield required("spec.nodeAffinity.required", "must specify required node constraints")
    else:
        yield from node_selector_errors(affinity["required"], "spec.nodeAffinity.required")


def _attributes_errors(spec: Obj, path: str) -> rules.Errors:
    if not spec["volumeAttributesClassName"]:
        yield required(path, "an empty string is disallowed")
    else:
        yield from rules.subdomain_name(path, spec["volumeAttributesClassName"])
    if spec.get("csi") is None:
        yield required("spec.csi", "has to be specified when using volumeAttributesClassName")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    """Return what is wrong with a volume, which is looked at once more, and what may not change."""
    return [*_validate(new), *_update_errors(new["spec"], old["spec"])]


def _update_errors(new: Obj, old: Obj) -> rules.Errors:
    after, before = ({key: spec.get(key) for key in SOURCES} for spec in (new, old))
    if old.get("csi") and new.get("csi") and old["csi"].get("controllerExpandSecretRef") is None:
        after["csi"] = {key: value for key, value in new["csi"].items() if key != "controllerExpandSecretRef"}
    if after != before:
        yield rules.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation\n"
                              + difference(printed(SHAPE, before), printed(SHAPE, after)))
    yield from rules.immutable("volumeMode", new["volumeMode"], old["volumeMode"])
    pinned = old.get("nodeAffinity")
    if pinned is not None and new.get("nodeAffinity") not in (pinned, _graduated(pinned)):
        yield invalid_value("nodeAffinity", new.get("nodeAffinity"),
                            "field is immutable, except for updating from beta label to GA")
    if old.get("volumeAttributesClassName") is not None and new.get("volumeAttributesClassName") is None:
        yield rules.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def _graduated(affinity: Any) -> Any:
    """Return a node affinity with its labels under their present names."""
    if isinstance(affinity, list):
        return [_graduated(one) for one in affinity]
    if not isinstance(affinity, dict):
        return affinity
    return {key: BETA_LABELS.get(value, value) if key == "key" else _graduated(value)
            for key, value in affinity.items()}


def _note_phase(new: Obj, old: Obj, now: str) -> None:
    """Write down when a volume went into its phase, unless the writer of the status did."""
    status, before = new.get("status") or {}, old.get("status") or {}
    if status.get("phase") != before.get("phase") \
            and status.get("lastPhaseTransitionTime") in (None, before.get("lastPhaseTransitionTime")):
        new["status"] = {**status, "lastPhaseTransitionTime": now}


def _claim(volume: Obj) -> str:
    ref = volume["spec"].get("claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


PERSISTENT_VOLUME = Kind(
    "PersistentVolume", "persistentvolumes", meta_looks=(0, 2), namespaced=False, short_names=("pv",),
    subresources=frozenset({"status"}),
    default=_default, prepare_create=_prepare_create, prepare_status=_note_phase,
    validate=_validate, validate_update=_validate_update,
    warnings=warnings.volume,
    columns=(
        NAME,
        Column("Capacity", lambda o, now: (o["spec"].get("capacity") or {}).get("storage", "0"), path="spec.capacity"),
        Column("Access Modes", lambda o, now: access_text(o["spec"].get("accessModes")), path="spec.accessModes"),
        Column("Reclaim Policy", lambda o, now: o["spec"]["persistentVolumeReclaimPolicy"],
               path="spec.persistentVolumeReclaimPolicy"),
        Column("Status", lambda o, now: phase(o), path="status.phase"),
        Column("Claim", lambda o, now: _claim(o), path="spec.claimRef"),
        Column("StorageClass", lambda o, now: class_of(o), description="StorageClass of the pv"),
        attributes_class("pv"),
        Column("Reason", lambda o, now: (o.get("status") or {}).get("reason", ""), path="status.reason"),
        AGE, VOLUME_MODE,
    ),
)
