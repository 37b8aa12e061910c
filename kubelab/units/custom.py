"""From a CustomResourceDefinition to the Kinds that are served: one for each version.

    spec.versions[i] ─► Kind(names, columns, selectable fields, subresources) with its CustomSchema

Invariant: a Kind made here is never changed; another spec makes other Kinds.
Models:    apiextensions-apiserver/pkg/apiserver: customresource_handler, conversion, table convertor
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from kubelab.machinery import jsonpath, schema, structural
from kubelab.machinery.cel_rules import has_rules, validate
from kubelab.machinery.clock import parse_timestamp
from kubelab.machinery.decoding import Checked, judged
from kubelab.machinery.embedded import embedded_errors, has_embedded, untyped_error
from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.meta import age
from kubelab.machinery.names import STANDARD_FINALIZERS, qualified_name_errors
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Column, Kind

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
MAX_INT32 = 2**31 - 1
_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


class CustomSchema:
    """What one version of a custom resource knows beyond what every Kind tells."""

    def __init__(self, crd: Obj, version: Obj) -> None:
        spec = crd["spec"]
        self.schema: Obj = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        self.node = structural.node_of(self.schema, status_apart="status" in (version.get("subresources") or {}))
        self.scale: Obj | None = (version.get("subresources") or {}).get("scale")
        stored: Obj = next(v for v in spec["versions"] if v.get("storage"))
        self.storage_version: str = stored["name"]
        self._stored_schema: Obj = (stored.get("schema") or {}).get("openAPIV3Schema") or {}
        self.definition_name = ".".join([*reversed(spec["group"].split(".")), version["name"], spec["names"]["kind"]])
        self.terminating = False
        self._asks, self._embeds = has_rules(self.schema), has_embedded(self.schema)

    def check(self, obj: Obj, mode: str, strict: list[str]) -> Checked:
        """Prune an object, and say what was pruned as `mode` wants it."""
        if self._embeds and (wrong := untyped_error(self.schema, obj)):
            return Checked(obj, (str(wrong),))
        if wrong_type := structural.metadata_errors(obj.get("metadata", {})):
            return Checked(obj, (wrong_type,))
        unknown: list[str] = []
        out = structural.pruned(self.schema, obj, unknown)
        structural.drop_nulls(self.schema, out)
        return judged(out, mode, [*strict, *(f'unknown field "{path}"' for path in sorted(unknown))])

    def default(self, obj: Obj) -> None:
        structural.fill_defaults(self.schema, obj)

    def read(self, obj: Obj, *, foreign: bool = False) -> Obj:
        """Return a stored object as this version shows it, which may have changed since it was stored.

        One that was stored in another version, `foreign`, gets no defaults of this one.
        """
        out = structural.pruned(self.schema, obj, [])
        structural.drop_nulls(self.schema, out)
        if not foreign:
            self.default(out)
        return out

    def to_store(self, obj: Obj) -> Obj:
        """Return an object that was converted to be stored, without what that version does not know."""
        out = structural.pruned(self._stored_schema, obj, [])
        structural.drop_nulls(self._stored_schema, out)
        return out

    def validate(self, obj: Obj, old: Obj | None, *, of_status: bool = False) -> list[FieldError]:
        also = [*self._scale_errors(obj), *(embedded_errors(self.schema, obj) if self._embeds else ())]
        found = list(validate(self.schema, obj, old, also, asks=self._asks))
        return list(map(_within_status, found)) if of_status else found

    def _scale_errors(self, obj: Obj) -> Iterator[FieldError]:
        """What the scale subresource is to read has to be there as it reads it."""
        for field in ("specReplicasPath", "statusReplicasPath") if self.scale else ():
            path = (self.scale or {})[field]
            count = jsonpath.first(path, obj) if jsonpath.names(path) else None
            if isinstance(count, int) and count < 0:
                yield invalid_value(path, count, "should be a non-negative integer")
            elif isinstance(count, int) and count > MAX_INT32:
                yield invalid_value(path, count, f"should be less than or equal to {MAX_INT32}")


def _within_status(error: FieldError) -> FieldError:
    """Word an error of a status by itself, which is looked at without the object around it."""
    own = error.field.removeprefix("status").removeprefix(".")
    return error if error.field == own else replace(
        error, message=error.message.replace(f"{error.field} in body", f"{own} in body"))


def kinds_of(crd: Obj) -> list[Kind]:
    """Return the Kinds of all versions, the most important first."""
    versions = sorted(crd["spec"]["versions"], key=lambda v: priority(v["name"]))
    return [_kind(crd, version) for version in versions]


def deprecation(spec: Obj, version: Obj) -> str:
    """Return what a client of a deprecated version is warned with: use the newest stable one instead."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind, rank = spec["group"], spec["names"]["kind"], priority(version["name"])
    better = [v["name"] for v in spec["versions"] if v["served"] and not v.get("deprecated")
              and priority(v["name"]) < rank]
    told = f"{group}/{version['name']} {kind} is deprecated"
    return told + (f"; use {group}/{min(better, key=priority)} {kind}" if better else "")


def priority(version: str) -> tuple[Any, ...]:
    """Order versions as Kubernetes does: v2, v1, v2beta1, v1alpha1, then whatever else by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return 1, 0, 0, 0, version
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return 0, stage, -int(match[1]), -int(match[3] or 0), ""


def _kind(crd: Obj, version: Obj) -> Kind:
    spec, own = crd["spec"], CustomSchema(crd, version)
    names, parts = spec["names"], version.get("subresources") or {}
    has_status = "status" in parts
    paths = {field["jsonPath"].removeprefix("."): field["jsonPath"] for field in version.get("selectableFields") or ()}
    return Kind(
        names["kind"], names["plural"], spec["group"], version["name"], spec["scope"] == "Namespaced",
        tuple(names.get("shortNames") or ()), tuple(names.get("categories") or ()), names.get("singular") or "",
        frozenset(name for name in ("status", "scale") if name in parts), VERBS, own.default, own.default,
        prepare_create=_without_status if has_status else lambda obj: None, generation=True,
        deprecated=deprecation(spec, version), list_kind=names.get("listKind") or "", own=own,
        columns=_columns(version), warnings=_finalizer_warnings,
        selectable=lambda obj: {name: _text(jsonpath.first(path, obj)) for name, path in paths.items()},
        selectable_keys=tuple(paths))


def _without_status(obj: Obj) -> None:
    obj.pop("status", None)


def _finalizer_warnings(obj: Obj, old: Obj | None) -> Iterator[str]:
    """What others wait for should say whose it is."""
    before = (old or {"metadata": {}})["metadata"].get("finalizers") or ()
    for name in sorted({*(obj["metadata"].get("finalizers") or ())} - {*before}):
        for wrong in qualified_name_errors(name):
            yield f'metadata.finalizers: "{name}": {wrong}'
        if "/" not in name and name not in STANDARD_FINALIZERS:
            path = " including a path (/)" * ("." in name)
            yield (f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name{path} to avoid accidental '
                   "conflicts with other finalizer writers")


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()


def _columns(version: Obj) -> tuple[Column, ...]:
    name = Column("Name", lambda obj, now: obj["metadata"]["name"], format="name",
                  description=schema.describe("v1", "ConfigMap", "metadata.name"))
    given = version.get("additionalPrinterColumns")
    if not given or any(not jsonpath.is_path(column["jsonPath"]) for column in given):  # unreadable
        given = [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
                  "description": schema.describe("v1", "ConfigMap", "metadata.creationTimestamp")}]
    return name, *(_column(column) for column in given)


def _column(column: Obj) -> Column:
    path, type_ = column["jsonPath"], column["type"]
    told = column.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
    return Column(column["name"], lambda obj, now: cell(type_, jsonpath.find(path, obj), now), type_,
                  column.get("format", ""), column.get("priority", 0), told)


def cell(type_: str, found: list[Any], now: float) -> Any:
    """Return what a column of a type shows of the first that its path found."""
    if not found:
        return None
    match type_, found[0]:
        case "string", None:
            return "<no value>"
        case "string", str() as text:
            return text
        case "string", dict() | list() as value:
            return _in_html(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())
        case "string", value:
            return orjson.dumps(value).decode()
        case "integer", int() | float() as value if not isinstance(value, bool):
            return int(value)
        case "number", int() | float() as value if not isinstance(value, bool):
            return value
        case "boolean", bool() as value:
            return value
        case "date", "" | "null":
            return "<unknown>"
        case "date", str() as value:
            try:
                return age(now - parse_timestamp(value))
            except ValueError:
                return "<invalid>"
    return None


def _in_html(text: str) -> str:
    """Write JSON as Go does, which may stand in a page: <, > and & by their numbers."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
