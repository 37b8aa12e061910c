"""Tables: what `kubectl get` prints is computed here, from the columns each kind declares.

    object ─► Kind.columns ─► cells ─┐
                                     ├─► Table row (with the object's metadata, or all of it, or nothing)
              includeObject ─────────┘

Models: k8s.io/apiserver/pkg/registry/rest/table.go, k8s.io/kubernetes/pkg/printers
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import orjson

from kubelab.control_plane.apiserver.watch import frame
from kubelab.machinery.request import Obj, WatchEvent
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, describe


class Tables:
    """Writes objects of one kind as a Table."""

    def __init__(self, kind: Kind, now: Callable[[], float], include: str = "Metadata") -> None:
        self._kind, self._now, self._include = kind, now, include
        self._columns = kind.columns or (NAME, AGE)
        self._begun = False

    def one(self, obj: Obj) -> Obj:
        return self._table([obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        return self._table(items, metadata)

    def event(self, event: WatchEvent) -> WatchEvent:
        """Only the first event of a watch carries the column definitions."""
        if event.type == "ERROR":
            return event
        if event.type == "BOOKMARK":
            table = self._table([], {})
            table["rows"] = [{"cells": [], "object": self._object(event.obj)}]
        else:
            table = self.one(event.obj)
        if self._begun:
            table["columnDefinitions"] = None
        self._begun = True
        return WatchEvent(event.type, table, frame(event.type, orjson.dumps(table)), event.cause)

    def _table(self, items: list[Obj], metadata: Obj) -> Obj:
        now = self._now()
        rows = [self._row(item, now) for item in items]
        return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": _definitions(self._kind.api_version, self._kind.kind, self._columns, self._kind),
                "rows": rows}

    def _row(self, obj: Obj, now: float) -> Obj:
        row: Obj = {"cells": [column.cell(obj, now) for column in self._columns]}
        shown = self._object(obj)
        if shown is not None:
            row["object"] = shown
        return row

    def _object(self, obj: Obj) -> Obj | None:
        if self._include == "None":
            return None
        if self._include == "Object":
            return obj
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": self._kind.bare_metadata(obj)}


@functools.lru_cache(maxsize=256)
def _definitions(api_version: str, name: str, columns: tuple[Column, ...], kind: Kind) -> list[Obj]:
    """Describe the columns; the descriptions come from the schema and are looked up once."""
    return [{"name": column.name, "type": column.type, "format": column.format,
             "description": describe(kind, column), "priority": column.priority} for column in columns]
