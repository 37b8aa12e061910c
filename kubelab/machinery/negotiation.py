"""The form that a client asks for: its Accept header against what there is, and documents under their hash.

    Accept: application/json;as=Table;v=v1;g=meta.k8s.io, application/json ─► preferred ─► ("Table", "v1")

Models: k8s.io/apiserver/pkg/endpoints/handlers/negotiation
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson

from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, Request, Response

READABLE = frozenset({"application/json", "application/yaml", "application/*", "*/*"})
FORMS, VERSIONS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"), ("v1", "v1beta1")
MEDIA = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


def preferred(accept: str, *, custom: bool = False) -> tuple[str, str]:
    """Return the first form on the list that we have, and its version; "" for plain JSON. Raises `NotAcceptable`."""
    readable = custom  # a media type we do not have is told in other words where a router looks at it first
    for media, parameters in _clauses(accept):
        if media not in READABLE:
            continue
        readable = True
        form, version = parameters.get("as", ""), parameters.get("v", "")
        if not form and not version and not parameters.get("g"):
            return "", ""
        if form in FORMS and version in VERSIONS and parameters.get("g") == "meta.k8s.io":
            return form, version
    if readable:
        raise not_acceptable(f"only the following media types are accepted: {MEDIA}")
    raise _unroutable(f"{MEDIA}, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")


def _unroutable(media: str) -> ApiError:
    return ApiError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {media}", {})


def readable(accept: str, *, custom: bool) -> None:
    """Refuse to tell of our kinds in a form that we do not have. Raises `NotAcceptable`."""
    if accept and not (READABLE | {"application/vnd.kubernetes.protobuf"}) & {media for media, _ in _clauses(accept)}:
        raise not_acceptable(f"only the following media types are accepted: {MEDIA}") if custom else _unroutable(MEDIA)


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Read an Accept header: media types with their parameters, what is liked best first."""
    found = []
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        found.append((media, dict(part.partition("=")[::2] for part in rest)))
    return sorted(found, key=lambda clause: -_liking(clause[1].get("q", "1")))


def _liking(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def not_acceptable(message: str) -> ApiError:
    return ApiError(406, "NotAcceptable", message)


def only_streams(request: Request) -> None:
    """Refuse a watch in a form that has no events. Raises `NotAcceptable`."""
    accept = request.headers.get("accept", "")
    if "yaml" in accept and next((m for m, _ in _clauses(accept) if m in READABLE), "") == "application/yaml":
        raise not_acceptable("only the following media types are accepted: application/json;stream=watch, "
                             "application/vnd.kubernetes.protobuf;stream=watch")


def only_json(request: Request) -> None:
    """Refuse other forms where an answer has none. Raises `NotAcceptable`."""
    accept = request.headers.get("accept", "")
    if "as=" in accept and preferred(accept) != ("", ""):
        raise not_acceptable(f"only the following media types are accepted: {MEDIA}")


def only(media: str, accept: str) -> dict[str, str]:
    """Return the content type of what comes in one form alone. Raises `NotAcceptable` when another is asked for."""
    wanted = {part.partition(";")[0].strip() for part in (accept or "*/*").split(",")}
    if not wanted & {media, "*/*", "application/*"}:
        raise _unroutable(media)
    return {"content-type": media}


def tagged(request: Request, digest: str, body: Callable[[], bytes], headers: dict[str, str]) -> Response:
    """Answer with a document under the hash of what it says, or with 304 when the client has it already."""
    headers = {"etag": f'"{digest}"', "vary": "Accept"} | headers
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(304, b"", headers)
    return Response(200, body(), headers)


def tagged_json(request: Request, document: Obj, media: str) -> Response:
    raw = orjson.dumps(document)
    digest = hashlib.sha512(raw).hexdigest().upper()
    return tagged(request, digest, lambda: raw, {"cache-control": "public", "content-type": media})
