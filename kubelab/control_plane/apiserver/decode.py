"""Bodies: bytes from the wire become a dict, and what is wrong with them is said in the words of Go's decoder.

    bytes ─► JSON or YAML ─► dict (+ the keys that stood twice) ─► kind and apiVersion agree with the URL?

Invariant: a dict that comes out of here is fresh: its reader owns it.
Models:    k8s.io/apimachinery/pkg/runtime/serializer, handlers/rest.go transformDecodeError
"""

from __future__ import annotations

import asyncio
from typing import Any

from kubelab.machinery import protobuf
from kubelab.machinery.errors import ApiError, bad_request
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj, Request
from kubelab.machinery.serializer import Malformed, read_json, read_yaml
from kubelab.units import by_kind
from kubelab.units.catalogue import Kind

JSON_TYPE, YAML_TYPE = "application/json", "application/yaml"
LONG_YAML = 64 * 1024
_GO_TYPE = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


async def opened(media: str, body: bytes) -> Any:
    """Return a body as it came, or what it holds where reading it takes so long that others should go on meanwhile."""
    if len(body) > LONG_YAML and _is_yaml(media.partition(";")[0].strip().lower()):
        return await asyncio.to_thread(read_yaml, body)
    return body


def _is_yaml(media: str) -> bool:
    return media == YAML_TYPE or media.endswith("+yaml")


def read_body(request: Request) -> tuple[Any, list[str]]:
    """Return the decoded body and the paths of duplicate fields. Raises `Malformed`, or `UnsupportedMediaType`."""
    body = request.body
    if not isinstance(body, (bytes, bytearray)):
        return (None if body is None else copy_obj(body)), []
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower() or JSON_TYPE
    if _is_yaml(media):
        return read_yaml(bytes(body)), []
    if media == JSON_TYPE or media.endswith("+json"):
        return read_json(bytes(body))
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode(bytes(body)), []
    raise unsupported_media()


def unsupported_media() -> ApiError:
    return ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media "
                    "types include: application/json, application/yaml, application/vnd.kubernetes.protobuf")


def read_object(request: Request, kind: Kind) -> tuple[Obj, list[str]]:
    """Return the object of a create or update. Raises `BadRequest` when it is no object of this kind."""
    try:
        value, duplicates = read_body(request)
    except Malformed as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", request.body) from None
    if not isinstance(value, dict):
        what = {list: "array", str: "string", bool: "bool", type(None): "null"}.get(type(value), "number")
        if value is None and not request.body:
            raise _unrecognized(kind, "couldn't get version/kind; json parse error: unexpected end of JSON input", b"")
        raise _unrecognized(kind, "couldn't get version/kind; json parse error: json: cannot unmarshal "
                            f"{what} into Go value of type {_GO_TYPE}", request.body)
    return as_kind(value, kind), duplicates


def as_kind(value: Obj, kind: Kind) -> Obj:
    """Put kind, apiVersion and metadata first, filled in where the client left them out."""
    given_version, given_kind = value.pop("apiVersion", None), value.pop("kind", None)
    if given_version and given_version != kind.api_version:
        raise bad_request(f"the API version in the data ({given_version}) does not match the expected API version "
                          f"({kind.api_version})")
    if given_kind and given_kind != kind.kind:
        raise bad_request(f'{given_kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                          + _another_kind(given_kind, kind))
    metadata = value.pop("metadata", None)
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {} if metadata is None else metadata}
    return {**head, **value}


def _another_kind(given: Any, kind: Kind) -> str:
    """Say what Go says of an object of a kind that it knows, or does not know, where another was expected."""
    if by_kind(kind.api_version, str(given).removesuffix("List")) is not None:
        internal = kind.group.partition(".")[0] or "core"
        return f"converting ({kind.version}.{given}) to ({internal}.{kind.kind}): unknown conversion"
    return (f'no kind "{given}" is registered for version "{kind.api_version}" in scheme '
            '"pkg/api/legacyscheme/scheme.go:30"')


def _unrecognized(kind: Kind, why: str, body: Any) -> ApiError:
    data = bytes(body) if isinstance(body, (bytes, bytearray)) else b""
    return bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {why} ({_summary(data)})")


def _summary(data: bytes) -> str:
    if not data:
        return "<empty>"
    more = " ..." if len(data) > 30 else ""
    return (data[:30].decode("utf-8", "replace") if data[:1] == b"{" else data[:30].hex()) + more
