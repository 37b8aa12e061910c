"""Create, update and patch for every kind: each reads the object, makes the new one, and sends it down the pipeline.

    POST ─► decode ─────────────────────────┐
    PUT ──► decode ──► on the stored one ───┼─► Pipeline.write (admit, validate, store)
    PATCH ► apply to the stored one ────────┘       ▲        │ somebody else wrote first
                                                    └────────┘ (again, unless the client named a resourceVersion)

Invariant: a write either happened on exactly the object it was computed from, or is answered with Conflict.
Models:    k8s.io/apiserver/pkg/endpoints/handlers create.go, update.go, patch.go
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kubelab.control_plane.apiserver import patching, prepare
from kubelab.control_plane.apiserver.call import Call, invalid_options
from kubelab.control_plane.apiserver.decode import as_kind, read_object
from kubelab.control_plane.apiserver.routes import is_true
from kubelab.control_plane.apiserver.storage import Changed
from kubelab.machinery import apply
from kubelab.machinery.errors import STALE, bad_request, conflict, not_found, required
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Encoded, Obj

if TYPE_CHECKING:
    from kubelab.control_plane.apiserver.pipeline import Pipeline

ATTEMPTS = 5
CREATED_BY_UPDATE = frozenset({"endpoints", "events", "leases", "roles", "rolebindings", "clusterroles",
                               "clusterrolebindings"})
NEEDS_VERSION = frozenset({"leases"})


async def create(call: Call, pipeline: Pipeline) -> Encoded:
    """Create an object from the body of the request. Raises `AlreadyExists`, `Invalid`, ..."""
    obj, call.duplicates = read_object(call.request, call.kind)
    prepare.place(call, obj)
    obj = prepare.check_schema(call, obj, call.kind)
    if obj["metadata"].get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    return await pipeline.write(call, obj, None)


async def update(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Replace an object by the body of the request; return it and whether it is new."""
    sent = read_update(call)
    version = prepare.pinned(sent)
    exists = call.key in call.collection.objects
    if not version and call.kind.builtin in NEEDS_VERSION and exists:
        raise prepare.unversioned(call.kind, call.info.name)
    if call.kind.builtin in CREATED_BY_UPDATE and not call.subresource and not exists:
        return await pipeline.write(call, sent, None), True
    return await _on_stored(call, pipeline, lambda old: sent if version else copy_obj(sent), version), False


def read_update(call: Call) -> Obj:
    """Return the object that a PUT brings."""
    obj, call.duplicates = read_object(call.request, call.kind)
    prepare.must_be_named(call, obj)
    prepare.place(call, obj)
    return patching.checked(call, call.kind, obj)


async def patch(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Change an object by a patch in the format its content type names; return it and whether it is new."""
    format_ = patching.format_of(call)
    if format_ == "apply":
        return await _apply(call, pipeline)
    body = patching.read_patch(call, format_)
    version = prepare.pinned(body) if isinstance(body, dict) else ""

    def patched(old: Obj) -> Obj:
        return patching.patched(call, call.kind, old, format_, body)

    return await _on_stored(call, pipeline, patched, version), False


async def _on_stored(call: Call, pipeline: Pipeline, make: Callable[[Obj], Obj], version: str) -> Encoded:
    """Write what `make` makes of the stored object, again when another writer was faster."""
    for _ in range(ATTEMPTS):
        old = call.collection.objects.get(call.key)
        if old is None:
            raise not_found(call.kind.group, call.kind.plural, call.info.name)
        if version and version.isdigit() and version != old.obj["metadata"]["resourceVersion"]:
            break
        try:
            return await pipeline.write(call, make(call.outward(old.obj)), old)
        except Changed:
            continue
    raise conflict(call.kind.group, call.kind.plural, call.info.name, STALE)


async def _apply(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Server-side apply: the body is all that its manager wants of the object."""
    sent = read_applied(call)
    version, force = prepare.pinned(sent), is_true(call.query.get("force"))
    for _ in range(ATTEMPTS):
        old = call.collection.objects.get(call.key)
        if old is None and call.subresource:
            raise not_found(call.kind.group, call.kind.plural, call.info.name)
        if old is not None and version and version != old.obj["metadata"]["resourceVersion"]:
            break
        live = call.outward(old.obj) if old is not None else None
        merged = apply.apply(live, sent, call.manager, force, pipeline.stamp(), subresource=call.subresource,
                             node=call.kind.own.node if call.kind.own is not None else None)
        if old is not None and merged is live:
            return old, False
        try:
            return await pipeline.write(call, patching.checked(call, call.kind, merged), old), old is None
        except Changed:
            continue
    raise conflict(call.kind.group, call.kind.plural, call.info.name, STALE)


def read_applied(call: Call) -> Obj:
    """Return what a manager applies. Raises `BadRequest`, `Invalid` without a field manager."""
    if not call.query.get("fieldManager"):
        raise invalid_options("PatchOptions", [required("fieldManager", "is required for apply patch")])
    call.operation = "Apply"
    sent = patching.read_patch(call, "apply")
    group, _, version = str(sent.get("apiVersion") or "").rpartition("/")
    if sent.get("apiVersion") != call.kind.api_version or sent.get("kind") != call.kind.kind:
        raise bad_request(f"invalid object type: {group}/{version}, Kind={sent.get('kind', '')}")
    sent = as_kind(sent, call.kind)
    if not isinstance(sent["metadata"], dict):
        raise bad_request("failed to create typed patch object: .metadata: expected map")
    if sent["metadata"].get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    prepare.must_be_named(call, sent)
    prepare.place(call, sent)
    return sent
