"""Bodies: bytes from the wire become a dict, and what is wrong with them is said in the words of Go's decoder.

    bytes ─► JSON or YAML ─► dict (+ the keys that stood twice) ─► kind and apiVersion agree with the URL?

Invariant: a dict that comes out of here is fresh: its reader owns it.
Models:    k8s.io/apimachinery/pkg/runtime/serializer, handlers/rest.go transformDecodeError
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from kubelab.machinery import protobuf, schema
from kubelab.machinery.decoding import json_type
from kubelab.machinery.errors import ApiError, bad_request, invalid, invalid_value
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj, Request
from kubelab.machinery.serializer import Document, Malformed, Unreadable, read_json, read_yaml
from kubelab.units.catalogue import Kind

JSON_TYPE, YAML_TYPE = "application/json", "application/yaml"
APPLY = "application/apply-patch+yaml"
SCHEME = "pkg/api/legacyscheme/scheme.go:30"  # where kube-apiserver keeps its kinds; errors say so
LONG_YAML = 64 * 1024
GO_TYPE = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


async def opened(media: str, body: bytes) -> Any:
    """Return a body as it came, or what it holds where reading it takes so long that others should go on meanwhile."""
    if len(body) > LONG_YAML and _is_yaml(media.partition(";")[0].strip().lower()):
        try:
            return await asyncio.to_thread(read_yaml, body)
        except Malformed:  # whoever reads it next says so in the words of its request
            return body
    return body


def _is_yaml(media: str) -> bool:
    return media in (YAML_TYPE, APPLY)


def read_body(request: Request) -> tuple[Any, list[str]]:
    """Return the decoded body, and what a strict reader says of it. Raises `Malformed`, or `UnsupportedMediaType`."""
    body = request.body
    if isinstance(body, Document):
        return body.value, body.strict
    if not isinstance(body, (bytes, bytearray)):
        return (None if body is None else copy_obj(body)), []
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower() or JSON_TYPE
    if media == YAML_TYPE or (media == APPLY and request.method == "PATCH"):
        document = read_yaml(bytes(body))
        return document.value, document.strict
    if media == JSON_TYPE or (media.endswith("+json") and request.method == "PATCH"):
        value, twins = read_json(bytes(body))
        return value, [f'duplicate field "{path}"' for path in twins]
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode(bytes(body)), []
    raise unsupported_media()


def unsupported_media() -> ApiError:
    return ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media "
                    "types include: application/json, application/yaml, application/vnd.kubernetes.protobuf")


def read_object(request: Request, kind: Kind) -> tuple[Obj, list[str]]:
    """Return the object of a create or update, and what a strict reader says. Raises `BadRequest`."""
    try:
        value, strict = read_body(request)
    except Unreadable as error:
        raise _unrecognized(kind, str(error), request.body) from None
    except Malformed as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", request.body) from None
    nameless = value is None or (isinstance(value, dict) and not value.get("kind") and not misnamed(value))
    if kind.own is not None and nameless and request.body:
        raise _unrecognized(kind, f"Object 'Kind' is missing in '{_text(request.body)}'", request.body)
    if value is None and request.body:
        value = {}  # null says nothing of an object, nor against it
    if not isinstance(value, dict):
        if value is None:
            raise _unrecognized(kind, "couldn't get version/kind; json parse error: unexpected end of JSON input", b"")
        raise _unrecognized(kind, "couldn't get version/kind; json parse error: json: cannot unmarshal "
                            f"{json_type(value)} into Go value of type {GO_TYPE}", request.body)
    if wrong := misnamed(value):
        raise _unrecognized(kind, wrong, request.body)
    if kind.own is not None and not value.get("apiVersion"):
        raise _another_version("", kind)
    return as_kind(value, kind), strict


def _text(body: Any) -> str:
    raw = body if isinstance(body, (bytes, bytearray)) else orjson.dumps(body)
    return bytes(raw).decode("utf-8", "replace")


def misnamed(value: Obj) -> str:
    """Say why an object's kind and apiVersion cannot be told, "" when they can."""
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field), (str, type(None))):
            return ("couldn't get version/kind; json parse error: json: cannot unmarshal "
                    f"{json_type(value[field])} into Go struct field .{field} of type string")
    version = value.get("apiVersion") or ""
    return f"unexpected GroupVersion string: {version}" if version.count("/") > 1 else ""


def as_kind(value: Obj, kind: Kind) -> Obj:
    """Put kind, apiVersion and metadata first, filled in where the client left them out."""
    given_version, given_kind = value.pop("apiVersion", None), value.pop("kind", None)
    if (given_version or kind.api_version, given_kind or kind.kind) != (kind.api_version, kind.kind):
        raise _another_kind(given_version or kind.api_version, given_kind or kind.kind, kind,
                            value.get("metadata"))
    metadata = value.pop("metadata", None)
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {} if metadata is None else metadata}
    return {**head, **value}


def _another_kind(api_version: str, given: str, kind: Kind, metadata: Any) -> ApiError:
    """Say what Go says of an object of a kind that it knows, or does not know, where another was expected."""
    version = api_version.rpartition("/")[2]
    if kind.own is not None and api_version != kind.api_version:
        return _another_version(api_version, kind)
    if kind.own is not None:
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return invalid(kind.group, given, name if isinstance(name, str) else "",
                       [invalid_value("kind", given, f"must be {kind.kind}")])
    if schema.compiled(api_version, given) is None:
        why = f'no kind "{given}" is registered for version "{api_version}" in scheme "{SCHEME}"'
    elif given != kind.kind:
        internal = kind.group.partition(".")[0] or "core"
        why = f"converting ({version}.{given}) to ({internal}.{kind.kind}): unknown conversion"
    else:
        return _another_version(api_version, kind)
    return bad_request(f'{given} in version "{version}" cannot be handled as a {kind.kind}: {why}')


def _another_version(given: str, kind: Kind) -> ApiError:
    return bad_request(f"the API version in the data ({given}) does not match the expected API version "
                       f"({kind.api_version})")


def _unrecognized(kind: Kind, why: str, body: Any) -> ApiError:
    data = bytes(body) if isinstance(body, (bytes, bytearray)) else b""
    return bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {why} ({_summary(data)})")


def _summary(data: bytes) -> str:
    if not data:
        return "<empty>"
    more = " ..." if len(data) > 30 else ""
    return (data[:30].decode("utf-8", "replace") if data[:1] == b"{" else data[:30].hex()) + more
