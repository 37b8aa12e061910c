"""Writes what is there before anyone acts: namespaces, the `kubernetes` Service, the policy, in one transaction.

Invariant: what exists is never overwritten; a second start writes nothing.
Models:    kube-apiserver's bootstrap controllers and the RBAC bootstrap hook
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from kubelab.control_plane.apiserver.cache import Collection
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery import apply
from kubelab.machinery.clock import timestamp
from kubelab.machinery.request import Obj
from kubelab.units import object_parts
from kubelab.units.catalogue import Kind
from kubelab.units.system_objects import endpoint_objects

MANAGER = "kube-apiserver"


async def write(storage: Storage, objects: Iterable[Obj], now: float) -> None:
    """Store what is missing. These are the server's own objects: they pass no admission."""
    stamp = timestamp(now)
    collections = {(c.kind.api_version, c.kind.kind): c for c in storage.collections.values()}
    missing: list[tuple[Collection, str, Obj]] = []
    for obj in objects:
        collection = collections[obj["apiVersion"], obj["kind"]]
        metadata = obj["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]
        if key in collection.objects:
            continue
        complete(collection.kind, obj, stamp)
        missing.append((collection, key, obj))
    await storage.create_missing(missing)


def complete(kind: Kind, obj: Obj, stamp: str) -> None:
    """Make a manifest of the server's own a stored object; what it says of its status is kept."""
    status = obj.pop("status", None)
    kind.default(obj)
    apply.track_update(None, obj, MANAGER, "Update", "", stamp)
    object_parts.begin_metadata(kind, obj, stamp)
    kind.prepare_create(obj)
    if status is not None:
        obj["status"] = status


async def refresh_endpoints(storage: Storage, host: str, port: int, now: float) -> None:
    """Lead the `kubernetes` Service to where this server listens now; the port may be another than last time."""
    endpoints, slice_ = endpoint_objects(host, port)
    await write(storage, (endpoints, slice_), now)
    for group, plural, wanted in (("", "endpoints", endpoints), ("discovery.k8s.io", "endpointslices", slice_)):
        told: Obj = {key: wanted[key] for key in ("subsets", "endpoints", "ports") if key in wanted}
        await storage.change(storage.of(group, plural), "default/kubernetes", partial(_with, told))


def _with(told: Obj, old: Obj) -> Obj:
    return {**old, **told, "metadata": {**old["metadata"]}}
