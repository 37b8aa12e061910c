"""Other forms of an answer: Table, PartialObjectMetadata and other versions, as clients ask for them.

    Accept: application/json;as=Table;v=v1;g=meta.k8s.io, application/json
                              └─► Presentation.one / .page / .event
    Table:  object ─► Kind.columns ─► the cells that `kubectl get` prints, beside its metadata, all of it, or nothing

Invariant: a form is made of the stored object for this one answer; nothing of it is kept.
Models:    k8s.io/apiserver/pkg/endpoints/handlers/response.go, registry/rest/table.go, k8s.io/kubernetes/pkg/printers
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable

import orjson

from kubelab.control_plane.apiserver.call import Call, same
from kubelab.control_plane.apiserver.watch import frame
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, Request, WatchEvent
from kubelab.units.catalogue import Kind
from kubelab.units.columns import AGE, NAME, describe

READABLE = frozenset({"application/json", "application/yaml", "application/*", "*/*"})
FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


class Presentation(ABC):
    """A form of answer: of one object, of a list, and of each event of a watch."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    @abstractmethod
    def one(self, obj: Obj) -> Obj:
        """Show one object."""

    @abstractmethod
    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        """Show a list, whose own metadata is `metadata`."""

    def event(self, event: WatchEvent) -> WatchEvent:
        if event.type == "ERROR":
            return event
        obj = self.within(event)
        return WatchEvent(event.type, obj, frame(event.type, orjson.dumps(obj)), event.cause)

    def within(self, event: WatchEvent) -> Obj:
        """Show the object of an event."""
        return self.one(event.obj)


def presentation(call: Call, now: Callable[[], float]) -> Presentation | None:
    """Return the form that the client prefers, None for the object as it is stored. Raises NotAcceptable."""
    accept = call.request.headers.get("accept", "")
    form = _preferred(accept) if ("as=" in accept or _unusual(accept)) else ""
    if form == "Table":
        return Tables(call.kind, now, call.query.get("includeObject", "Metadata"))
    if form.startswith("PartialObjectMetadata"):
        return PartialMetadata(call.kind)
    return Whole(call.kind, call.outward) if call.is_face else None


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
    raise ApiError(406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, "
                   "application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, "
                   "application/vnd.kubernetes.protobuf;stream=watch", {})


def only_json(request: Request) -> None:
    """Refuse other forms where an answer has none. Raises NotAcceptable."""
    if "as=" in request.headers.get("accept", "") and _preferred(request.headers["accept"]):
        raise ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json, "
                       "application/yaml, application/vnd.kubernetes.protobuf")


def only(media: str, accept: str) -> dict[str, str]:
    """Return the content type of what comes in one form alone. Raises `NotAcceptable` when another is asked for."""
    wanted = {part.partition(";")[0].strip() for part in (accept or "*/*").split(",")}
    if not wanted & {media, "*/*", "application/*"}:
        raise ApiError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {media}", {})
    return {"content-type": media}


class Whole(Presentation):
    """The objects themselves, in the version that is asked for."""

    def __init__(self, kind: Kind, outward: Callable[[Obj], Obj] = same) -> None:
        super().__init__(kind)
        self._outward = outward

    def one(self, obj: Obj) -> Obj:
        return self._outward(obj)

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        shown = [{key: value for key, value in self._outward(item).items() if key not in ("kind", "apiVersion")}
                 for item in items]
        return {"kind": f"{self._kind.kind}List", "apiVersion": self._kind.api_version, "metadata": metadata,
                "items": shown}


class PartialMetadata(Presentation):
    """The metadata alone, for those who only count or own."""

    def one(self, obj: Obj) -> Obj:
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": self._kind.bare_metadata(obj)}

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": [self.one(item) for item in items]}


class Tables(Presentation):
    """A row an object, with what `include` says of the object beside it: Metadata, Object or None."""

    def __init__(self, kind: Kind, now: Callable[[], float], include: str = "Metadata") -> None:
        super().__init__(kind)
        self._now, self._columns, self._begun = now, kind.columns or (NAME, AGE), False
        shown: dict[str, Callable[[Obj], Obj | None]] = {"None": lambda obj: None, "Object": same}
        self._beside = shown.get(include) or PartialMetadata(kind).one

    def one(self, obj: Obj) -> Obj:
        return self.page([obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        now = self._now()
        return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": _definitions(self._kind), "rows": [self._row(item, now) for item in items]}

    def within(self, event: WatchEvent) -> Obj:
        """Only the first event of a watch carries the column definitions."""
        if event.type == "BOOKMARK":
            table = self.page([], {}) | {"rows": [{"cells": [], "object": self._beside(event.obj)}]}
        else:
            table = self.one(event.obj)
        if self._begun:
            table["columnDefinitions"] = None
        self._begun = True
        return table

    def _row(self, obj: Obj, now: float) -> Obj:
        row: Obj = {"cells": [column.cell(obj, now) for column in self._columns]}
        beside = self._beside(obj)
        return row if beside is None else row | {"object": beside}


@functools.lru_cache(maxsize=256)
def _definitions(kind: Kind) -> list[Obj]:
    """Describe the columns; the descriptions come from the schema and are looked up once."""
    return [{"name": column.name, "type": column.type, "format": column.format,
             "description": describe(kind, column), "priority": column.priority}
            for column in kind.columns or (NAME, AGE)]
