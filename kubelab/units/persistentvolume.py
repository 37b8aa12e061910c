"""PersistentVolume: a piece of storage that outlives the pods that use it.

Models: pkg/registry/core/persistentvolume and pkg/apis/core/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.persistentvolumeclaim import (
    VOLUME_MODE,
    VOLUME_MODES,
    access_mode_errors,
    access_text,
    attributes_class,
    class_of,
    phase,
    protected,
)
from kubelab.units.volume_validation import SOURCES

PROTECTION = "kubernetes.io/pv-protection"
POLICIES = ("Delete", "Recycle", "Retain")
# Where the storage really is: one of these must be set.
VOLUME_SOURCES = ("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte",
                  "cephfs", "iscsi", "cinder", "fc", "flocker", "flexVolume", "azureFile", "vsphereVolume", "azureDisk",
                  "photonPersistentDisk", "portworxVolume", "scaleIO", "local", "storageos", "csi")


def _default(volume: Obj) -> None:
    spec = volume.setdefault("spec", {})
    spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")
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
    yield from access_mode_errors(spec.get("accessModes") or (), "spec.accessModes")
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield required("spec.capacity")
    elif set(capacity) != {"storage"}:
        yield rules.unsupported("spec.capacity", capacity, ("storage",))
    for name, amount in capacity.items():
        if quantity.parse(amount) <= 0:
            yield invalid_value(f"spec.capacity[{name}]", str(amount), "must be greater than zero")
    if spec["persistentVolumeReclaimPolicy"] not in POLICIES:
        yield rules.unsupported("spec.persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"], POLICIES)
    yield from _source_errors(spec)
    if spec.get("storageClassName"):
        yield from rules.subdomain_name("spec.storageClassName", spec["storageClassName"])
    if spec["volumeMode"] not in VOLUME_MODES:
        yield rules.unsupported("spec.volumeMode", spec["volumeMode"], VOLUME_MODES)


def _source_errors(spec: Obj) -> rules.Errors:
    found = [source for source in VOLUME_SOURCES if spec.get(source) is not None]
    if not found:
        yield required("spec", "must specify a volume type")
    for source in found[1:]:
        yield rules.forbidden(f"spec.{source}", "may not specify more than 1 volume type")
    if found == ["hostPath"]:
        yield from SOURCES["hostPath"](spec["hostPath"], "spec.hostPath")
        if spec["hostPath"].get("path") == "/" and spec["persistentVolumeReclaimPolicy"] == "Recycle":
            yield rules.forbidden("spec.persistentVolumeReclaimPolicy",
                                  "may not be 'recycle' for a hostPath mount of '/'")
    if spec.get("nodeAffinity") is not None and not spec["nodeAffinity"].get("required"):
        yield required("spec.nodeAffinity.required", "must specify required node constraints")
    if "local" in found:
        if not spec["local"].get("path"):
            yield required("spec.local.path")
        if not spec.get("nodeAffinity"):
            yield required("spec.nodeAffinity", "Local volume requires node affinity")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = ({s: o["spec"].get(s) for s in VOLUME_SOURCES} for o in (new, old))
    moved = rules.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
    return [*([moved] if after != before else []),
            *rules.immutable("spec.volumeMode", new["spec"]["volumeMode"], old["spec"]["volumeMode"])]


def _claim(volume: Obj) -> str:
    ref = volume["spec"].get("claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


PERSISTENT_VOLUME = Kind(
    "PersistentVolume", "persistentvolumes", namespaced=False, short_names=("pv",), subresources=frozenset({"status"}),
    default=_default, prepare_create=_prepare_create, validate=_validate, validate_update=_validate_update,
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
