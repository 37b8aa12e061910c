"""Other forms of an answer: Table and PartialObjectMetadata, as clients ask for them in Accept.

    Accept: application/json;as=Table;v=v1;g=meta.k8s.io, application/json
                              └─► Presentation.one / .page / .event

Invariant: a form is made of the stored object for this one answer; nothing of it is kept.
Models:    k8s.io/apiserver/pkg/endpoints/handlers/response.go
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import orjson

from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.table import Tables
from kubelab.control_plane.apiserver.versions import Converted
from kubelab.control_plane.apiserver.watch import frame
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, Request, WatchEvent
from kubelab.units.catalogue import Kind

READABLE = frozenset({"application/json", "application/yaml", "application/*", "*/*"})
FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


class Presentation(Protocol):
    """A form of answer: of one object, of a list, and of each event of a watch."""

    def one(self, obj: Obj) -> Obj: ...
    def page(self, items: list[Obj], metadata: Obj) -> Obj: ...
    def event(self, event: WatchEvent) -> WatchEvent: ...


def presentation(call: Call, now: Callable[[], float]) -> Presentation | None:
    """Return the form that the client prefers, None for the object as it is stored. Raises NotAcceptable."""
    accept = call.request.headers.get("accept", "")
    form = _preferred(accept) if ("as=" in accept or _unusual(accept)) else ""
    if form == "Table":
        return Tables(call.kind, now, call.query.get("includeObject", "Metadata"))
    if form.startswith("PartialObjectMetadata"):
        return PartialMetadata(call.kind)
    if call.is_face:
        return Converted(call.kind.kind, call.kind.api_version, call.outward)
    return None


def _unusual(accept: str) -> bool:
    return accept not in ("", "application/json", "*/*", "application/json, */*")


def _preferred(accept: str) -> str:
    """Return the first form on the list that we have, "" for plain JSON. Raises NotAcceptable."""
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        form = parameters.get("as", "")
        ours = parameters.get("v") == "v1" and parameters.get("g") == "meta.k8s.io"
        if media in READABLE and (not form or (form in FORMS and ours)):
            return form
    raise not_acceptable()


def not_acceptable() -> ApiError:
    return ApiError(406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, "
                    "application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, "
                    "application/vnd.kubernetes.protobuf;stream=watch", {})


def only_json(request: Request) -> None:
    """Refuse other forms where an answer has none. Raises NotAcceptable."""
    if "as=" in request.headers.get("accept", "") and _preferred(request.headers["accept"]):
        raise ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json, "
                       "application/yaml, application/vnd.kubernetes.protobuf")


class PartialMetadata:
    """The metadata alone, for those who only count or own."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def one(self, obj: Obj) -> Obj:
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": self._kind.bare_metadata(obj)}

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": [self.one(item) for item in items]}

    def event(self, event: WatchEvent) -> WatchEvent:
        return event if event.type == "ERROR" else reframed(event, self.one(event.obj))


def reframed(event: WatchEvent, obj: Obj) -> WatchEvent:
    """Return the event with another object in it."""
    return WatchEvent(event.type, obj, frame(event.type, orjson.dumps(obj)), event.cause)


def only(media: str, accept: str) -> dict[str, str]:
    """Return the content type of what comes in one form alone. Raises `NotAcceptable` when another is asked for."""
    wanted = {part.partition(";")[0].strip() for part in (accept or "*/*").split(",")}
    if not wanted & {media, "*/*", "application/*"}:
        raise ApiError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {media}", {})
    return {"content-type": media}
