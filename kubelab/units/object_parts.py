"""What every object has: metadata in a fixed order, and two halves that are written apart, spec and status.

    new:    name or generated name ─► uid ─► creationTimestamp ─► generation 1
    update: main_part (the status stays) or status_part (all else stays) ─► count_generation

Invariant: system fields of the metadata are never taken from a client.
Models:    k8s.io/apiserver/pkg/registry/rest, the common parts of the registries' strategies
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from kubelab.machinery.meta import random_suffix
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind

# The order in which Kubernetes writes metadata. Storage relies on `resourceVersion` standing before anything free.
METADATA = ("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
            "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
            "managedFields")
SYSTEM = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
          "deletionGracePeriodSeconds", "selfLink")
KEPT = ("uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
IMMUTABLE = ("uid", "deletionTimestamp", "deletionGracePeriodSeconds")
MAX_GENERATED_BASE = 58  # 63 characters less the random suffix
HEAD = ("kind", "apiVersion", "metadata")


def forget_system(obj: Obj) -> None:
    """Drop what a client cannot say of a new object, so nobody owns it."""
    for key in SYSTEM:
        obj["metadata"].pop(key, None)


def begin_metadata(kind: Kind, obj: Obj, stamp: str) -> bool:
    """Give a new object its identity; say whether its name was generated."""
    metadata = obj["metadata"]
    generates = bool(not metadata.get("name") and metadata.get("generateName"))
    if generates:
        metadata["name"] = generated_name(metadata["generateName"])
    metadata["uid"], metadata["creationTimestamp"] = str(uuid.uuid4()), stamp
    if kind.generation:
        metadata["generation"] = 1
    obj["metadata"] = ordered(metadata)
    return generates


def generated_name(base: str) -> str:
    return base[:MAX_GENERATED_BASE] + random_suffix()


def ordered(metadata: Obj) -> Obj:
    """Return metadata in Kubernetes' order, without what is empty."""
    out: Obj = {}
    for key in METADATA:
        if key == "resourceVersion":
            out[key] = metadata.get(key, "")
        elif (value := metadata.get(key)) or value == 0:
            out[key] = value
    if metadata.get("managedFields") == []:  # a client's wish to forget them, which is still to be granted
        out["managedFields"] = []
    return out


def carry(metadata: Obj, before: Obj, keys: Iterable[str]) -> None:
    """Make metadata have of these keys what `before` has, and no more."""
    for key in keys:
        metadata.pop(key, None)
        if key in before:
            metadata[key] = before[key]


def pinned(obj: Obj) -> str:
    """Return the resourceVersion that a write depends on, or ""."""
    metadata = obj.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) and version != "0" else ""


def main_part(kind: Kind, obj: Obj, old: Obj) -> Obj:
    """Return the update of a main resource: the status is not its to write."""
    if "status" not in kind.subresources:
        return obj
    out = {key: value for key, value in obj.items() if key != "status"}
    if "status" in old:
        out["status"] = old["status"]
    return out


def status_part(obj: Obj, old: Obj, *, custom: bool = False) -> Obj:
    """Return the update of a status subresource: status is new, and for kinds of our own labels and annotations."""
    metadata = {**obj["metadata"]}
    carry(metadata, old["metadata"], ("labels", "annotations", "ownerReferences", "finalizers") if custom
          else ("ownerReferences", "finalizers"))
    out = {**old, "metadata": metadata}
    if "status" in obj:
        out["status"] = obj["status"]
    else:
        out.pop("status", None)
    return out


def count_generation(kind: Kind, obj: Obj, old: Obj) -> None:
    """Raise metadata.generation when something beside metadata and status changed, else leave it as it was."""
    if not kind.generation:
        return
    uncounted = HEAD if kind.own is not None else (*HEAD, "status")  # a status subresource has put the old one there
    changed = any(obj.get(key) != old.get(key) for key in obj.keys() | old.keys() if key not in uncounted)
    part = kind.counted_metadata
    if changed or obj["metadata"].get(part) != old["metadata"].get(part):
        obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    elif "generation" in old["metadata"]:
        obj["metadata"]["generation"] = old["metadata"]["generation"]
