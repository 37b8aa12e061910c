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
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kubelab.control_plane.apiserver import patching, prepare
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.decode import as_kind, read_object
from kubelab.control_plane.apiserver.storage import Changed
from kubelab.machinery import apply
from kubelab.machinery.decoding import judged
from kubelab.machinery.errors import CONVERTING, STALE, bad_request, conflict
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Encoded, Obj
from kubelab.machinery.routes import is_true
from kubelab.units import object_parts

if TYPE_CHECKING:
    from kubelab.control_plane.apiserver.pipeline import Pipeline

ATTEMPTS = 5
CREATED_BY_UPDATE = frozenset({"clusterrolebindings", "clusterroles", "endpoints", "events", "leases", "limitranges",
                               "rolebindings", "roles", "runtimeclasses", "services"})
NEEDS_VERSION = frozenset({  # beside every custom resource
    "apiservices", "csidrivers", "csinodes", "csistoragecapacities", "customresourcedefinitions", "leases",
    "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations",
    "poddisruptionbudgets", "runtimeclasses", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations", "volumeattachments"})


async def create(call: Call, pipeline: Pipeline) -> Encoded:
    """Create an object from the body of the request. Raises `AlreadyExists`, `Invalid`, ..."""
    obj, call.strict = read_object(call.request, call.kind)
    prepare.place(call, obj)
    obj = prepare.check_schema(call, obj, call.kind)
    if object_parts.pinned(obj):
        raise bad_request("resourceVersion should not be set on objects to be created")
    return await pipeline.write(call, obj, None)


async def update(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Replace an object by the body of the request; return it and whether it is new."""
    sent = read_update(call)
    uid, stored = sent["metadata"].get("uid"), call.collection.objects.get(call.key)
    creates = call.kind.builtin in CREATED_BY_UPDATE and not call.subresource
    if uid and (creates if stored is None else uid != stored.obj["metadata"]["uid"]):
        raise prepare.another(call, uid, stored.obj["metadata"]["uid"] if stored is not None else "")
    needs_version = call.kind.own is not None or call.kind.builtin in NEEDS_VERSION
    if needs_version and not object_parts.pinned(sent) and call.key in call.collection.objects:
        raise prepare.unversioned(call.kind, call.info.name)
    return await on_stored(call, pipeline, lambda _: copy_obj(sent), creates=creates)


def read_update(call: Call) -> Obj:
    """Return the object that a PUT brings."""
    obj, call.strict = read_object(call.request, call.kind)
    obj = patching.checked(call, call.kind, obj)
    prepare.place(call, obj)
    prepare.must_be_named(call, obj)
    return obj


async def patch(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Change an object by a patch in the format its content type names; return it and whether it is new."""
    format_ = patching.format_of(call)
    if format_ == "apply":
        return await _apply(call, pipeline)
    body = patching.read_patch(call, format_)
    return await on_stored(call, pipeline, lambda old: patching.patched(call, call.kind, old, format_, body))


async def _apply(call: Call, pipeline: Pipeline) -> tuple[Encoded, bool]:
    """Server-side apply: the body is all that its manager wants of the object."""
    sent, force = read_applied(call), is_true(call.query.get("force"))
    twins, call.strict = call.strict, []

    def merged(live: Obj | None) -> Obj:
        new = apply.apply(live, sent, call.manager, force, pipeline.stamp(), subresource=call.subresource,
                          node=call.kind.own.node if call.kind.own is not None else None)
        _judge_twins(call, twins)
        if new is not live:
            new = patching.checked(call, call.kind, new)
            prepare.place(call, new)
            prepare.must_be_named(call, new)
        return new

    return await on_stored(call, pipeline, merged, creates=not call.subresource)


def _judge_twins(call: Call, twins: list[str]) -> None:
    """Say that keys stood twice in what is applied. Raises `BadRequest` where fields are validated strictly."""
    if twins and call.field_validation == "Strict":
        raise bad_request(f"error strict decoding YAML: {CONVERTING}{twins[0]}")
    call.warnings += judged({}, call.field_validation, twins).warnings


async def on_stored(call: Call, pipeline: Pipeline, make: Callable[[Any], Obj], *,
                    creates: bool = False) -> tuple[Encoded, bool]:
    """Write what `make` makes of the stored object, again when another writer was faster; say whether it is new.

    `make` is given the object as its client sees it (None where there is none and the write `creates` it) and returns
    a fresh one, or the same for nothing to write. Raises `NotFound`, `Conflict`.
    """
    for _ in range(ATTEMPTS):
        old = call.stored if not creates else call.collection.objects.get(call.key)
        live = call.outward(old.obj) if old is not None else None
        new = make(live)
        if old is None:
            pipeline.authorise(call.user, replace(call.info, verb="create"))
            if uid := new["metadata"].get("uid"):
                raise conflict(call.told_group, call.kind.plural, call.info.name, f"uid mismatch: the provided object "
                               f"specified uid {uid}, and no existing object was found")
        if old is not None and new is live:
            return old, False
        try:
            return await pipeline.write(call, new, old), old is None
        except Changed:
            continue
    raise conflict(call.told_group, call.kind.plural, call.info.name, STALE)


def read_applied_part(call: Call) -> Obj:
    """Return what a manager applies to a subresource of what there is."""
    sent = read_applied(call)
    prepare.must_be_named(call, sent, optional=True)
    prepare.place(call, sent)
    return sent


def read_applied(call: Call) -> Obj:
    """Return what a manager applies. Raises `BadRequest`, `Invalid` without a field manager."""
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
    return sent
