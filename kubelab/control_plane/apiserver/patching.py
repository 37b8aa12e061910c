"""Patches on the way in: which format, what body, and the object it makes of another.

Invariant: what comes out is checked like a whole object, and it is the writer's own to change.
Models:    k8s.io/apiserver/pkg/endpoints/handlers/patch.go
"""

from __future__ import annotations

from typing import Any

import orjson

from kubelab.control_plane.apiserver import prepare
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.decode import as_kind, misnamed, read_body
from kubelab.machinery import patch, schema
from kubelab.machinery.decoding import json_type
from kubelab.machinery.errors import CONVERTING, ApiError, bad_request, invalid, invalid_value
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj
from kubelab.machinery.serializer import Malformed, Unreadable, read_json
from kubelab.units.catalogue import Kind

FORMATS = {"application/json-patch+json": "json", "application/merge-patch+json": "merge",
           "application/strategic-merge-patch+json": "strategic", "application/apply-patch+yaml": "apply"}

OPERATION = frozenset({"op", "path", "from", "value"})
_DECODING = {"json": "error decoding patch: ", "merge": "error decoding patch: ", "strategic": "",
             "apply": "error decoding YAML: "}


def format_of(call: Call) -> str:
    """Return json, merge, strategic or apply. Raises `UnsupportedMediaType`."""
    media = call.request.headers.get("content-type", "").partition(";")[0].strip()
    found = FORMATS.get(media)
    if found is None and call.kind.own is None:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if found is None or (found == "strategic" and call.kind.own is not None):
        raise ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media "
                       "types include: application/json-patch+json, application/merge-patch+json, "
                       "application/apply-patch+yaml")
    return found


def read_patch(call: Call, format_: str) -> Any:
    """Return the body of a patch: a list of operations for json, else a map. Raises `BadRequest`."""
    prefix = _DECODING[format_]
    try:
        if isinstance(call.request.body, bytes) and format_ != "apply":
            value, twins = read_json(call.request.body)
            call.strict = [f'duplicate field "{path}"' for path in twins]
        else:
            value, call.strict = read_body(call.request)
    except Unreadable as error:
        raise bad_request(f"{prefix}{CONVERTING}{error}") from None
    except Malformed as error:
        raise bad_request(f"{prefix}{error}") from None
    if value is None:
        if format_ == "merge":
            raise bad_request("Invalid JSON Patch")
        value = [] if format_ == "json" else {}
    if format_ == "json":
        call.strict = [f"json patch {told}" for told in (*call.strict, *_unknown_parts(value))]
    elif not isinstance(value, dict):
        yaml = "error unmarshaling JSON: while decoding JSON: " if format_ == "apply" else ""
        raise _wrong_type(prefix + yaml, value, "value of type map[string]interface {}")
    return value


def _unknown_parts(operations: Any) -> list[str]:
    """Return what no JSON patch operation has. Raises `BadRequest` for what is no list of operations."""
    prefix, unknown = _DECODING["json"], []
    if not isinstance(operations, list):
        raise _wrong_type(prefix, operations, "value of type []handlers.jsonPatchOp")
    for i, operation in enumerate(operations):
        if not isinstance(operation, dict):
            raise _wrong_type(prefix, operation, "value of type handlers.jsonPatchOp")
        for key, part in operation.items():
            if key not in OPERATION:
                unknown.append(f'unknown field "[{i}].{key}"')
            elif key != "value" and not isinstance(part, str):
                raise _wrong_type(prefix, part, f"struct field jsonPatchOp.{key} of type string")
    return unknown


def _wrong_type(prefix: str, value: Any, wanted: str) -> ApiError:
    return bad_request(f"{prefix}json: cannot unmarshal {json_type(value)} into Go {wanted}")


def patched(call: Call, kind: Kind, old: Obj, format_: str, body: Any) -> Obj:
    """Return `old` with a patch put on it. Raises `Invalid` or `BadRequest` when that is no object of its kind."""
    new: Any  # a JSON patch may make anything of it
    if format_ == "json":
        new = patch.json_patch(old, body)
    elif format_ == "merge":
        new = patch.merge_patch(old, body)
    else:
        node = schema.compiled(kind.api_version, kind.kind)
        assert node is not None  # every kind that can be patched has a schema
        new = patch.strategic_merge_patch(old, body, node)
    if not isinstance(new, dict):
        raise bad_request("error decoding patch: the outcome is no object")
    if wrong := misnamed(new):
        raise _refused(new, body if format_ == "strategic" else None, wrong)
    new = _of_kind(new, kind, strategic=format_ == "strategic")
    # A patch shares its untouched parts with the stored object; what follows changes what this endpoint writes.
    if not call.writes_status:
        new = copy_obj(new)
    elif "status" in new:
        new["status"] = copy_obj(new["status"])
    out = _checked(call, kind, new, body if format_ == "strategic" else None)
    prepare.place(call, out)
    prepare.must_be_named(call, out)
    return out


def _of_kind(new: Obj, kind: Kind, *, strategic: bool) -> Obj:
    """Read the outcome as an object of the kind; one merged by Go's structs never was of another. Raises `Invalid`."""
    if strategic:
        new = {key: value for key, value in new.items() if key not in ("kind", "apiVersion")}
    try:
        return as_kind({**new}, kind)
    except ApiError as error:
        if error.code != 400:
            raise
        raise _refused(new, None, error.message.partition(f"cannot be handled as a {kind.kind}: ")[2]
                       or error.message) from None


def _checked(call: Call, kind: Kind, new: Obj, strategic: Any) -> Obj:
    """Check the outcome. Raises `Invalid` on the patch as a whole, or for a strategic one on its body."""
    try:
        return checked(call, kind, new, converted=strategic is not None)
    except ApiError as error:
        raise _refused(new, strategic, error.message.partition(f"cannot be handled as a {kind.kind}: ")[2]) from None


def _refused(new: Obj, strategic: Any, why: str) -> ApiError:
    text = patch.go(strategic) if strategic is not None else orjson.dumps(new, option=orjson.OPT_SORT_KEYS).decode()
    return invalid("", "", "", [invalid_value("patch", text, why)])


def checked(call: Call, kind: Kind, obj: Obj, *, converted: bool = False) -> Obj:
    """Check what is sent: of a status write only metadata and status are taken, the rest costs in process nothing."""
    if not call.writes_status:
        return prepare.check_schema(call, obj, kind, converted=converted)
    whole = isinstance(call.request.body, bytes) and call.operation != "Apply"  # an apply was judged as it was sent
    if whole:
        obj = prepare.check_schema(call, obj, kind, converted=converted)
    obj = {key: obj[key] for key in ("kind", "apiVersion", "metadata", "status") if key in obj}
    if isinstance(obj["metadata"], dict) and call.operation != "Apply":  # an apply has just written them
        obj["metadata"] = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return obj if whole else prepare.check_schema(call, obj, kind, converted=converted)
