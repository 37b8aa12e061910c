"""A compiled expression as a tree: what cel-cpp hands out in protobuf, read as plain nodes.

    Program.checked() ─► CheckedExpr ─► Node(kind, name, parts) with its type and the overloads it may call

Models:    google.api.expr, checked.proto and syntax.proto
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubelab.machinery.cel_names import as_written
from kubelab.machinery.protobuf import fields

_PRIMITIVES = ("", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("", "any", "timestamp", "duration")
Fields = dict[int, list[Any]]


@dataclass(frozen=True, slots=True)
class Node:
    """One expression: `kind` is constant, name, select, call, list, map, loop; `parts` are those below it.

    A member call has its target first and says so; a loop has its range, start, condition, step and result, each
    element is called `name`, what is gathered `held`. Without a range it only gives something a name: a binding.
    """

    kind: str
    name: str = ""
    parts: tuple[Node, ...] = ()
    type: str = "dyn"
    overloads: tuple[str, ...] = ()
    member: bool = False
    held: str = ""
    size: int | None = None  # of a constant or a list that is written out
    number: int | None = None  # what a whole number says that is written out


def tree(serialized: bytes) -> Node:
    """Return the root of an expression that cel-cpp serialized."""
    checked = _of(_of(serialized)[2][0])
    types = {entry[1][0]: _type(_of(entry[2][0])) for entry in map(_of, checked.get(3, ())) if 1 in entry}
    called = {entry[1][0]: tuple(bytes(one).decode() for one in _of(entry[2][0]).get(3, ()))
              for entry in map(_of, checked.get(2, ())) if 1 in entry}
    return _node(_of(checked[4][0]), types, called)


def names(node: Node) -> set[str]:
    """Return every name that an expression uses."""
    own = {node.name} if node.kind == "name" else set()
    return own.union(*map(names, node.parts))


def _of(data: bytes) -> Fields:
    found: Fields = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def _type(given: Fields) -> str:
    if 3 in given:
        return _PRIMITIVES[given[3][0]]
    if 5 in given:
        return _WELL_KNOWN[given[5][0]]
    for number, name in ((6, "list"), (7, "map"), (9, "message"), (11, "type")):
        if number in given:
            return name
    return "dyn"


def _node(given: Fields, types: dict[int, str], called: dict[int, tuple[str, ...]]) -> Node:
    at = given.get(2, [0])[0]

    def below(data: bytes) -> Node:
        return _node(_of(data), types, called)

    def text(part: Fields, number: int) -> str:
        return bytes(part.get(number, [b""])[0]).decode()

    kind = next((number for number in range(3, 10) if number in given), 0)
    part, type_ = _of(given[kind][0]) if kind else {}, types.get(at, "dyn")
    match kind:
        case 4:
            return Node("name", text(part, 1), (), type_)
        case 5:
            return Node("has" if part.get(3) else "select", text(part, 2), (below(part[1][0]),), type_)
        case 6:
            parts = tuple(map(below, (*part.get(1, ()), *part.get(3, ()))))
            return Node("call", as_written(text(part, 2)), parts, type_, called.get(at, ()), 1 in part)
        case 7:
            parts = tuple(map(below, part.get(1, ())))
            return Node("list", "", parts, type_, size=len(parts))
        case 8:
            entries = [_of(entry) for entry in part.get(2, ())]
            parts = tuple(below(entry[number][0]) for entry in entries for number in (3, 4) if number in entry)
            return Node("message" if text(part, 1) else "map", text(part, 1), parts, type_, size=len(entries))
        case 9:
            parts = tuple(below(part[number][0]) for number in (2, 4, 5, 6, 7))
            return Node("loop", text(part, 1), parts, type_, held=text(part, 3))
    size = len(bytes(part[6][0]).decode()) if 6 in part else len(part[7][0]) if 7 in part else 1
    return Node("constant", "", (), type_, size=size, number=part[3][0] if 3 in part else None)
