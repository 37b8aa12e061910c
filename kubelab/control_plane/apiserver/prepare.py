"""Making an object ready to be stored: what the server writes into it, what it keeps of the old one, what it checks.

    create:  sent ─► schema ─► defaults ─► managed fields ─► uid, creationTimestamp, generation 1
    update:  sent ─► schema ─► defaults ─► what this endpoint may not write comes from the old one

Invariant: system fields of the metadata are never taken from a client.
Models:    k8s.io/apiserver/pkg/registry/rest BeforeCreate, BeforeUpdate and the registry strategies' common parts
"""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.apiserver.call import Call
from kubelab.machinery import schema
from kubelab.machinery.decoding import Checked, check
from kubelab.machinery.errors import (
    STALE,
    ApiError,
    bad_request,
    conflict,
    invalid,
    invalid_value,
)
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.object_parts import IMMUTABLE, KEPT, carry, main_part, ordered, status_part


def check_schema(call: Call, obj: Obj, kind: Kind, *, converted: bool = False) -> Obj:
    """Check types, drop unknown fields, and say so as fieldValidation wants it. Raises `BadRequest`."""
    checked: Checked
    if kind.own is not None:
        checked = kind.own.check(obj, call.field_validation, call.strict)
    else:
        node = schema.compiled(kind.api_version, kind.kind)
        assert node is not None  # every kind of ours has a schema
        text = call.request.body if call.info.verb != "patch" and call.strict and "field " in call.strict[0] else None
        checked = check(node, obj, call.field_validation, call.strict, text=text, converted=converted)
    if checked.errors:
        raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                          + checked.errors[0])
    call.warnings += checked.warnings
    checked.obj.setdefault("metadata", {})
    return checked.obj


def place(call: Call, obj: Obj) -> None:
    """Put an object into the namespace of the request. Raises `BadRequest` when it says another."""
    metadata = obj["metadata"]
    if not isinstance(metadata, dict):
        return
    if not call.kind.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.get("namespace") or call.namespace
    if given != call.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = call.namespace


def keep_identity(call: Call, obj: Obj, old: Obj) -> None:
    """Carry the system fields of the stored object over into the one that replaces it.

    Raises `Conflict` when the client means another object, by its uid or its resourceVersion.
    """
    kind, metadata, before = call.kind, obj["metadata"], old["metadata"]
    given, uid = metadata.get("resourceVersion") or "", metadata.get("uid") or ""
    if given and not given.isdigit():
        raise bad_request(f'strconv.ParseUint: parsing "{given}": invalid syntax')
    if uid and uid != before["uid"] and call.info.verb == "update":
        raise another(call, uid, before["uid"])
    if given not in ("", "0", before["resourceVersion"]):
        raise conflict(call.told_group, kind.plural, before["name"], STALE)
    wished = {key: metadata[key] for key in IMMUTABLE if metadata.get(key) not in (None, "", before.get(key))}
    if "deletionTimestamp" in before:
        wished.pop("deletionTimestamp", None)
    carry(metadata, before, KEPT)
    metadata.update(wished)  # which validation refuses, beside whatever else is wrong
    metadata["name"] = before["name"]
    metadata["resourceVersion"] = before["resourceVersion"]
    obj["metadata"] = ordered(metadata)


def another(call: Call, uid: str, stored: str) -> ApiError:
    """Return the refusal of an update that means an object of this name that is gone, or never was."""
    full_key = call.collection.prefix + call.key
    return conflict(call.told_group, call.kind.plural, call.info.name,
                    f"StorageError: invalid object, Code: 4, Key: {full_key}, ResourceVersion: 0, AdditionalErrorMsg: "
                    f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored}")


def dedup_owners(call: Call, obj: Obj) -> None:
    """Leave each owner once, with a warning."""
    owners = obj["metadata"].get("ownerReferences") or []
    once: list[Obj] = []
    for owner in owners:
        if owner not in once:
            once.append(owner)
    if len(once) == len(owners):
        return
    again = [owner.get("uid", "") for i, owner in enumerate(owners) if owner in owners[:i]]
    when = " after mutating admission happens" if call.info.verb == "patch" else ""
    call.warnings.append(
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and "
        f"may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
        f"{', '.join(again)}")
    obj["metadata"] = {**obj["metadata"], "ownerReferences": once}


def completed(call: Call, obj: Obj, old: Obj) -> Obj:
    """Return an update with its defaults, and with what this endpoint may not write as it was."""
    kind = call.kind
    if call.writes_status:
        obj = status_part(obj, old, custom=kind.own is not None)
        kind.default_status(obj)
        return obj
    obj = main_part(kind, obj, old)
    kind.default(obj)
    kind.prepare_update(obj, old)
    return obj


def must_be_named(call: Call, obj: Obj, *, optional: bool = False) -> None:
    """Raise `BadRequest` when an object bears another name than the URL, or none unless that is `optional`."""
    metadata = obj["metadata"]
    if not isinstance(metadata, dict):
        return
    name: Any = metadata.get("name")
    if not name and not optional:
        raise bad_request(f"the name of the object ({call.info.name} based on URL) was undeterminable: name must be "
                          "provided")
    if name and name != call.info.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")
    metadata["name"] = call.info.name


def unversioned(kind: Kind, name: str) -> ApiError:
    """Return the refusal of an update without resourceVersion, for kinds that insist on one; it names the resource."""
    return invalid(kind.group, kind.plural, name,
                   [invalid_value("metadata.resourceVersion", 0, "must be specified for an update")])
