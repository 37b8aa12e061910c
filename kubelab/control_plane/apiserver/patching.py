"""Patches on the way in: which format, what body, and the object it makes of another.

Invariant: what comes out is checked like a whole object, and it is the writer's own to change.
Models:    k8s.io/apiserver/pkg/endpoints/handlers/patch.go
"""

from __future__ import annotations

from typing import Any

import orjson

from kubelab.control_plane.apiserver import prepare
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.decode import as_kind
from kubelab.machinery import patch, schema
from kubelab.machinery.errors import ApiError, bad_request, invalid, invalid_value
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj
from kubelab.machinery.serializer import Malformed, read_json, read_yaml
from kubelab.units.catalogue import Kind

FORMATS = {"application/json-patch+json": "json", "application/merge-patch+json": "merge",
           "application/strategic-merge-patch+json": "strategic", "application/apply-patch+yaml": "apply"}


def format_of(call: Call) -> str:
    """Return json, merge, strategic or apply. Raises `UnsupportedMediaType`."""
    media = call.request.headers.get("content-type", "").partition(";")[0].strip()
    found = FORMATS.get(media)
    if found is None:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if found == "strategic" and call.kind.own is not None:
        raise ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media "
                       "types include: application/json-patch+json, application/merge-patch+json, "
                       "application/apply-patch+yaml")
    return found


def read_patch(call: Call, format_: str) -> Any:
    """Return the body of a patch: a list of operations for json, else a map. Raises `BadRequest`."""
    body = call.request.body
    value: Any
    if not isinstance(body, (bytes, bytearray)):
        value = copy_obj(body)
    elif format_ == "apply":
        value = read_yaml(bytes(body))
    else:
        try:
            value, call.duplicates = read_json(bytes(body))
        except Malformed as error:
            raise bad_request(f"error decoding patch: {error}") from None
    if format_ == "json" and not isinstance(value, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type "
                          "[]handlers.jsonPatchOp")
    if format_ != "json" and not isinstance(value, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal array into Go value of type "
                          "map[string]interface {}")
    return value


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
    new = as_kind(new, kind)
    prepare.must_be_named(call, new)
    prepare.place(call, new)
    # A patch shares its untouched parts with the stored object; what follows changes what this endpoint writes.
    if not call.writes_status:
        new = copy_obj(new)
    elif "status" in new:
        new["status"] = copy_obj(new["status"])
    return _checked(call, kind, new)


def _checked(call: Call, kind: Kind, new: Obj) -> Obj:
    """Check the outcome. Raises `Invalid` on the patch as a whole, as Kubernetes does."""
    try:
        return checked(call, kind, new)
    except ApiError as error:
        _, _, why = error.message.partition(f"cannot be handled as a {kind.kind}: ")
        text = orjson.dumps(new, option=orjson.OPT_SORT_KEYS).decode()
        raise invalid("", "", "", [invalid_value("patch", text, why)]) from None


def checked(call: Call, kind: Kind, obj: Obj) -> Obj:
    """Check what this endpoint takes: of a status write, the rest of the body is ignored and costs nothing."""
    if call.writes_status:
        obj = {key: obj[key] for key in ("kind", "apiVersion", "metadata", "status") if key in obj}
        if isinstance(obj["metadata"], dict) and call.operation != "Apply":  # an apply has just written them
            obj["metadata"] = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return prepare.check_schema(call, obj, kind)
