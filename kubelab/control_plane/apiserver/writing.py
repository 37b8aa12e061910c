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
from typing import TYPE_CHECKING, Any

import orjson

from kubelab.control_plane.apiserver import prepare
from kubelab.control_plane.apiserver.call import Call, invalid_options
from kubelab.control_plane.apiserver.decode import Malformed, as_kind, read_json, read_object, read_yaml
from kubelab.control_plane.apiserver.routes import is_true
from kubelab.control_plane.apiserver.storage import Changed
from kubelab.machinery import apply, patch, schema
from kubelab.machinery.errors import STALE, ApiError, bad_request, conflict, invalid, invalid_value, not_found, required
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Encoded, Obj

if TYPE_CHECKING:
    from kubelab.control_plane.apiserver.pipeline import Pipeline

ATTEMPTS = 5
CREATED_BY_UPDATE = frozenset({"endpoints", "events", "leases", "roles", "rolebindings", "clusterroles",
                               "clusterrolebindings"})
NEEDS_VERSION = frozenset({"leases"})
PATCH_TYPES = {"application/json-patch+json": "json", "application/merge-patch+json": "merge",
               "application/strategic-merge-patch+json": "strategic", "application/apply-patch+yaml": "apply"}


async def create(call: Call, pipeline: Pipeline) -> Encoded:
    """Create an object from the body of the request. Raises `AlreadyExists`, `Invalid`, ..."""
    obj, call.duplicates = read_object(call.request, call.kind)
    prepare.place(call, obj)
    obj = prepare.check_schema(call, obj)
    if obj["metadata"].get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    return await pipeline.write(call, obj, None)


async def update(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Replace an object by the body of the request; return it and whether it is new."""
    obj, call.duplicates = read_object(call.request, call.kind)
    prepare.must_be_named(call, obj)
    prepare.place(call, obj)
    obj = _checked(call, obj)
    version = prepare.pinned(obj)
    if not version and call.kind.plural in NEEDS_VERSION and call.key in call.collection.objects:
        raise prepare.unversioned(call.kind, call.info.name)
    if call.kind.plural in CREATED_BY_UPDATE and not call.subresource and call.key not in call.collection.objects:
        return await pipeline.write(call, obj, None), True
    sent = obj

    def replace(old: Obj) -> Obj:
        nonlocal sent
        fresh, sent = sent, copy_obj(sent) if not version else sent
        return fresh

    return await _on_stored(call, pipeline, replace, version), False


def _checked(call: Call, obj: Obj) -> Obj:
    """Check what this endpoint takes: of a status write, the rest of the body is ignored and costs nothing."""
    if call.subresource == "status":
        obj = {key: obj[key] for key in ("kind", "apiVersion", "metadata", "status") if key in obj}
    return prepare.check_schema(call, obj)


async def patch_object(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Change an object by a patch in the format its content type names; return it and whether it is new."""
    media = call.request.headers.get("content-type", "").partition(";")[0].strip()
    how = PATCH_TYPES.get(media)
    if how is None:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if how == "apply":
        return await _apply(call, pipeline)
    body = _patch_body(call)
    if how == "json" and not isinstance(body, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type "
                          "[]handlers.jsonPatchOp")
    if how != "json" and not isinstance(body, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}")

    def patched(old: Obj) -> Obj:
        if how == "json":
            new = patch.json_patch(old, body)
        elif how == "merge":
            new = patch.merge_patch(old, body)
        else:
            node = schema.compiled(call.kind.api_version, call.kind.kind)
            assert node is not None  # every kind of the catalogue has a schema
            new = patch.strategic_merge_patch(old, body, node)
        new = as_kind(new, call.kind)
        if call.subresource != "status":
            new = copy_obj(new)  # a patch shares its untouched parts with the stored object; what follows changes it
        prepare.must_be_named(call, new)
        return _checked_patch(call, new)

    return await _on_stored(call, pipeline, patched, _pinned_by(body)), False


def _patch_body(call: Call) -> Any:
    body = call.request.body
    if not isinstance(body, (bytes, bytearray)):
        return copy_obj(body)
    try:
        value, call.duplicates = read_json(bytes(body))
    except Malformed as error:
        raise bad_request(f"error decoding patch: {error}") from None
    return value


def _pinned_by(body: Any) -> str:
    return prepare.pinned(body) if isinstance(body, dict) else ""


def _checked_patch(call: Call, new: Obj) -> Obj:
    """Check the outcome of a patch. Raises `Invalid` on the patch as a whole, as Kubernetes does."""
    try:
        return _checked(call, new)
    except ApiError as error:
        _, _, why = error.message.partition(f"cannot be handled as a {call.kind.kind}: ")
        text = orjson.dumps(new, option=orjson.OPT_SORT_KEYS).decode()
        raise invalid("", "", "", [invalid_value("patch", text, why)]) from None


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
            call.warnings.clear()
    raise conflict(call.kind.group, call.kind.plural, call.info.name, STALE)


async def _apply(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Server-side apply: the body is all that its manager wants of the object."""
    if not call.query.get("fieldManager"):
        raise invalid_options("PatchOptions", [required("fieldManager", "is required for apply patch")])
    call.operation = "Apply"
    sent = _applied_body(call)
    version, force = prepare.pinned(sent), is_true(call.query.get("force"))
    for _ in range(ATTEMPTS):
        old = call.collection.objects.get(call.key)
        if old is None and call.subresource:
            raise not_found(call.kind.group, call.kind.plural, call.info.name)
        if old is not None and version and version != old.obj["metadata"]["resourceVersion"]:
            break
        live = call.outward(old.obj) if old is not None else None
        merged = apply.apply(live, sent, call.manager, force, pipeline.stamp(), subresource=call.subresource)
        if old is not None and merged is live:
            return old, False
        try:
            return await pipeline.write(call, _checked(call, merged), old), old is None
        except Changed:
            continue
    raise conflict(call.kind.group, call.kind.plural, call.info.name, STALE)


def _applied_body(call: Call) -> Obj:
    body = call.request.body
    sent = read_yaml(bytes(body)) if isinstance(body, (bytes, bytearray)) else copy_obj(body)
    if not isinstance(sent, dict):
        raise bad_request("error decoding YAML: the patch is no object")
    group, _, version = str(sent.get("apiVersion") or "").rpartition("/")
    if sent.get("apiVersion") != call.kind.api_version or sent.get("kind") != call.kind.kind:
        raise bad_request(f"invalid object type: {group}/{version}, Kind={sent.get('kind', '')}")
    sent = as_kind(sent, call.kind)
    if sent["metadata"].get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    prepare.must_be_named(call, sent)
    prepare.place(call, sent)
    return sent
