"""From a request's body to an object the rest may trust: typed, pruned, in canonical form.

    value, what a strict reader said ─► check(node, obj) ─┬─ clean: the same object, untouched (the common case)
                                                          └─ else: a corrected copy, and what was wrong

Invariant: `check` never changes the object it is given; what it returns has known fields of the right types only.
Models:    sigs.k8s.io/json and the Go types behind it: nulls and zero values of optional fields vanish, quantities and
           times are written canonically, errors are worded as Go words them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from kubelab.machinery import quantity
from kubelab.machinery.base64_check import base64_error
from kubelab.machinery.clean import LIMITS, is_clean, zero_stays
from kubelab.machinery.clock import MICRO_TIME, micro_timestamp, parse_timestamp, timestamp
from kubelab.machinery.errors import shown
from kubelab.machinery.go_types import NAMED, NULL_STAYS, embedded
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node
from kubelab.machinery.twins import told_in_order

_CONVERTIBLE = frozenset({("int64", "string"), ("float64", "int32"), ("float64", "int64")})  # to Go, not to JSON



@dataclass(frozen=True, slots=True)
class Checked:
    """`errors` refuse the request ("strict decoding error: ...", "json: cannot unmarshal ..."), `warnings` do not."""

    obj: Obj
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(node: Node, obj: Obj, mode: str = "Strict", strict: Sequence[str] = (), *, text: Any = None,
          converted: bool = False) -> Checked:
    """Check an object against its schema.

    `mode` is Strict, Warn or Ignore: what becomes of unknown fields, and of what a `strict` reader said of the text;
    with the text, JSON's bytes, both are told in its order.
    An object that was `converted` from a map, not read from JSON, has its wrong types told in other words.
    """
    if not strict and is_clean(node, obj):
        return Checked(obj)
    walk = _Walk(converted=converted)
    out = walk.object(node, obj)
    if walk.error:
        return Checked(out, (walk.error,))
    told = [*strict, *(sorted(walk.unknown) if converted else walk.unknown)]
    return judged(out, mode, told_in_order(text, told) if strict and walk.unknown and isinstance(text, bytes) else told)


def judged(obj: Obj, mode: str, strict: Sequence[str]) -> Checked:
    """Say what a strict reader found as `mode` wants it: an error, warnings, or nothing."""
    if not strict or mode == "Ignore":
        return Checked(obj)
    if mode == "Warn":
        return Checked(obj, (), tuple(line.strip() for told in strict for line in _lines(told)))
    return Checked(obj, ("strict decoding error: " + ", ".join(strict),))


def _lines(told: str) -> list[str]:
    """A YAML reader says all at once, under a headline."""
    head, *rest = told.split("\n")
    return rest or [head]


_GONE: Any = object()


class _Unreadable(Exception):
    """A type of Go's that reads itself could not: unlike other errors, this ends the reading at once."""


class _Walk:
    """The slow way: build the corrected copy, gather unknown fields and the first type error."""

    def __init__(self, *, converted: bool) -> None:
        self._converted = converted
        self.unknown: list[str] = []
        self.error = ""

    def object(self, node: Node, value: Obj) -> Obj:
        try:
            return self.struct(node, value, "", "")
        except _Unreadable as wrong:
            self.error = str(wrong)
            return value

    def struct(self, node: Node, value: dict[str, Any], path: str, go: str) -> dict[str, Any]:
        """`path` is spec.containers[0] as strict errors say it, `go` spec.containers as type errors do."""
        out: dict[str, Any] = {}
        for name, part in value.items():
            child = node.fields.get(name)
            if child is None:
                self.unknown.append(f"unknown field {shown(path + name)}")
                continue
            field = (node.struct, name)
            if part is None:
                if field in NULL_STAYS:
                    out[name] = None
                continue
            place = _Place(node.struct, f"{go}{embedded(*field)}{name}", NAMED.get(field) or child.go_type)
            new = self.value(child, part, f"{path}{name}", place)
            if new is _GONE or (not new and type(new) is not dict and not zero_stays(node, name, child)):
                continue
            if new == {} and child.kind == "map" and not zero_stays(node, name, child):
                continue
            out[name] = new
        return out

    def value(self, node: Node, value: Any, path: str, place: _Place) -> Any:
        if is_clean(node, value):
            return value
        match node.kind, value:
            case "struct", dict():
                return self.struct(node, value, f"{path}.", f"{place.path}.")
            case "map", dict():
                inner = place.element(node)
                out = {k: new for k, v in value.items()
                       if (new := self.part(node.element, v, f"{path}.{k}", inner)) is not _GONE}
                return out if node.element.kind != "quantity" else {k: quantity.listed(v) for k, v in out.items()}
            case "list", list():
                inner = place.element(node)
                return [new for i, v in enumerate(value)
                        if (new := self.part(node.element, v, f"{path}[{i}]", inner)) is not _GONE]
        if node.kind == "any":
            return value
        return self.scalar(node, value, place)

    def part(self, node: Node, value: Any, path: str, place: _Place) -> Any:
        """Correct an element of a list or map, where null means the zero value."""
        return self.value(node, _zero(node) if value is None else value, path, place)

    def scalar(self, node: Node, value: Any, place: _Place) -> Any:
        """Bring a scalar into canonical form, or note the type error. Raises `_Unreadable`."""
        try:
            match node.kind:
                case "quantity" if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                    return quantity.kept(value.strip() if isinstance(value, str) else repr(value))
                case "quantity":
                    raise ValueError(quantity.FORMAT_ERROR)
                case "time" if isinstance(value, str):
                    return timestamp(parse_timestamp(value))
                case "microtime" if isinstance(value, str):
                    return micro_timestamp(parse_timestamp(value, MICRO_TIME))
                case "time" | "microtime":
                    raise self.unreadable(json_type(value), "string", place)
                case "intorstring":
                    raise self.unreadable(_number_said(value), "int32", place)
        except ValueError as wrong:
            raise _Unreadable(str(wrong)) from None
        if node.kind == "bytes" and isinstance(value, str):
            self.error = self.error or str(base64_error(value))
            return _GONE
        said = conversion_error if self._converted else _decoding_error
        self.error = self.error or said(node, value, place)
        return _GONE

    def unreadable(self, said: str, go_type: str, place: _Place) -> ValueError:
        """Say what a type that reads itself says, which knows its place only within a decoder."""
        error = f"json: cannot unmarshal {said} into Go value of type {go_type}"
        return ValueError(error if self._converted else place.error(said, go_type))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands, as Go's errors say it: the struct, the path to the field, and the field's type."""

    struct: str
    path: str
    go_type: str

    def element(self, node: Node) -> _Place:
        """Return the place of what a list or map holds; its type is named by the field's, unless that has a name."""
        for open_, close in (("[]", "]"), ("map[", "]")):
            if self.go_type.startswith(open_):
                return replace(self, go_type=self.go_type.partition(close)[2])
        return replace(self, go_type=node.element.go_type)

    def error(self, said: str, go_type: str) -> str:
        return f"json: cannot unmarshal {said} into Go struct field {self.struct}.{self.path} of type {go_type}"


def _decoding_error(node: Node, value: Any, place: _Place) -> str:
    """Say what Go's JSON decoder says of a value of the wrong type."""
    return place.error(_number_said(value) if node.kind in LIMITS else json_type(value), place.go_type)


def conversion_error(node: Node, value: Any, place: _Place) -> str:
    """Say what the converter of maps to Go's structs says, which is what a strategic merge patch meets."""
    kind = {bool: "bool", str: "string", int: "int64", float: "float64", list: "slice"}.get(type(value), "map")
    match node.kind:
        case "struct":
            return f"cannot restore struct from: {kind}"
        case "list" | "bytes":
            return f"cannot restore slice from {kind}"
        case "map":
            return f"cannot restore map from {kind}"
    target = {"boolean": "bool", "number": "float64"}.get(node.kind, node.kind)
    if (kind, target) in _CONVERTIBLE:
        return f"cannot convert {kind} to {place.go_type}"
    return f"unrecognized type: {target}"


def _zero(node: Node) -> Any:
    """Return what a null among list or map elements means."""
    zeros = {"string": "", "bytes": "", "boolean": False, "struct": {}, "map": {}, "list": [], "any": None}
    return zeros.get(node.kind, 0)


def _number_said(value: Any) -> str:
    """Name what was sent where a whole number was expected: a number itself is quoted."""
    said = json_type(value)
    return f"number {orjson.dumps(value).decode()}" if said == "number" else said


def json_type(value: Any) -> str:
    """Return what Go's decoder calls a JSON value."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case None:
            return "null"
        case _:
            return "object"
