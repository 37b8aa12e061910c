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
from kubelab.machinery.errors import ApiError, bad_request, shown
from kubelab.machinery.negotiation import not_acceptable, preferred
from kubelab.machinery.request import Obj, WatchEvent
from kubelab.units.catalogue import Kind
from kubelab.units.columns import AGE, NAME, describe

INCLUDES = ("Metadata", "Object", "None", "")


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
    """Return the form that the client prefers, None for the object as it is stored. Raises `NotAcceptable`."""
    accept = call.request.headers.get("accept", "")
    plain = "as=" not in accept and accept in ("", "application/json", "*/*", "application/json, */*")
    form, version = ("", "") if plain else preferred(accept, custom=call.kind.own is not None)
    if form == "Table":
        return Tables(call.kind, now, call.query.get("includeObject", ""), version, call.outward)
    if form:
        return PartialMetadata(call.kind, form, version)
    return Whole(call.kind, call.outward) if call.is_face else None


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
    """The metadata alone, for those who only count or own; a list has a form of its own."""

    def __init__(self, kind: Kind, form: str = "PartialObjectMetadata", version: str = "v1") -> None:
        super().__init__(kind)
        self._form, self._version = form, f"meta.k8s.io/{version}"

    def beside(self, obj: Obj) -> Obj:
        return {"kind": "PartialObjectMetadata", "apiVersion": self._version,
                "metadata": self._kind.bare_metadata(obj)}

    def one(self, obj: Obj) -> Obj:
        if self._form != "PartialObjectMetadata":
            raise self._refused("not a list", "")
        return self.beside(obj)

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        if self._form != "PartialObjectMetadataList":
            raise self._refused("a list", "List")
        return {"kind": "PartialObjectMetadataList", "apiVersion": self._version, "metadata": metadata,
                "items": [self.beside(item) for item in items]}

    def within(self, event: WatchEvent) -> Obj:
        """A watch has no lists: who asks for one is sent the objects as they are."""
        return event.obj if self._form == "PartialObjectMetadataList" else self.beside(event.obj)

    def _refused(self, what: str, suffix: str) -> ApiError:
        kind = self._kind
        package = kind.group.partition(".")[0] or "core"
        type_ = f"unstructured.Unstructured{suffix}" if kind.own is not None else \
            f"{'core' if package == 'events' else package}.{kind.kind}{suffix}"
        return not_acceptable(f"you requested {self._form}, but the requested object is {what} (*{type_})")


class Tables(Presentation):
    """A row an object, with what `include` says of the object beside it: Metadata, Object or None."""

    def __init__(self, kind: Kind, now: Callable[[], float], include: str = "", version: str = "v1",
                 outward: Callable[[Obj], Obj] = same) -> None:
        super().__init__(kind)
        if include not in INCLUDES:
            raise bad_request(f"Unable to convert to Table as requested: includeObject: Invalid value: "
                              f"{shown(include)}: must be 'Metadata', 'Object', 'None', or empty")
        self._now, self._columns, self._begun = now, kind.columns or (NAME, AGE), False
        self._api_version = f"meta.k8s.io/{version}"
        beside: dict[str, Callable[[Obj], Obj | None]] = {"None": lambda obj: None, "Object": outward}
        self._beside = beside.get(include) or PartialMetadata(kind, version=version).beside

    def one(self, obj: Obj) -> Obj:
        return self.page([obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        now, order = self._now(), self._kind.row_order
        return {"kind": "Table", "apiVersion": self._api_version, "metadata": metadata,
                "columnDefinitions": _definitions(self._kind),
                "rows": [self._row(item, now) for item in (sorted(items, key=order) if order else items)]}

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
        conditions = self._kind.row_conditions(obj)
        return {**row, "conditions": conditions, "object": self._beside(obj)} if conditions else \
            {**row, "object": self._beside(obj)}


@functools.lru_cache(maxsize=256)
def _definitions(kind: Kind) -> list[Obj]:
    """Describe the columns; the descriptions come from the schema and are looked up once."""
    return [{"name": column.name, "type": column.type, "format": column.format,
             "description": describe(kind, column), "priority": column.priority}
            for column in kind.columns or (NAME, AGE)]
