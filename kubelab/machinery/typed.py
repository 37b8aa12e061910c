"""Objects merged by their schema: the value half of server-side apply (fieldset.py is the other).

    live ─┐
          ├─► merged: what is applied wins, lists with keys are merged element by element ─► without(a field set)
    sent ─┘

Invariant: no argument is changed; results share their untouched parts with them.
Models:    sigs.k8s.io/structured-merge-diff, typed (merge, remove, validate)
"""

from __future__ import annotations

from typing import Any

from kubelab.machinery.errors import shown
from kubelab.machinery.fieldset import FieldSet, child_of, elements, is_list, is_map, paths
from kubelab.machinery.patch import go
from kubelab.machinery.schema import Node


def merged(node: Node, live: Any, sent: Any) -> Any:
    """Return the live value with all that is sent put over it."""
    if is_map(node, live) and is_map(node, sent):
        out = dict(live)
        for name, part in sent.items():
            out[name] = merged(child_of(node, name), live[name], part) if name in live else part
        return out
    if is_list(node, live) and is_list(node, sent):
        return _merged_list(node, elements(node, live), elements(node, sent))
    return sent


def _merged_list(node: Node, live: dict[str, Any], sent: dict[str, Any]) -> list[Any]:
    """Merge element by element: the sent order holds among what was sent, the rest keeps its place before it."""
    out: list[Any] = []
    done: set[str] = set()
    left, right = list(live), list(sent)
    shared = [place for place in right if place in live]

    def take(place: str) -> None:
        done.add(place)
        out.append(merged(node.element, live[place], sent[place]) if place in live else sent[place])
        if shared and shared[0] == place:
            shared.pop(0)

    while left or right:
        if left and right:
            if left[0] == right[0]:
                take(right.pop(0))
                left.pop(0)
                continue
            if left[0] in sent and shared and shared[0] != left[0]:
                left.pop(0)  # sent too, but its turn comes by the sent order
                continue
        if left:
            if left[0] not in sent:
                out.append(live[left.pop(0)])
                continue
            if left[0] in done:
                left.pop(0)
        if right:
            take(right.pop(0))
    return out


def filled(value: Any, before: Any) -> Any:
    """Return the value with an empty map or list where `without` left null. Upstream keeps the null, and refuses it."""
    if value is None:
        return type(before)() if isinstance(before, (dict, list)) else None
    if isinstance(value, dict) and isinstance(before, dict):
        return {name: filled(part, before.get(name)) for name, part in value.items()}
    return value


def without(node: Node, value: Any, gone: FieldSet) -> Any:
    """Return the value without the fields of a set; of a map or list that this empties, null is left."""
    if not gone or not value:
        return value
    if is_map(node, value):
        kept = {}
        for name, part in value.items():
            inner = gone.get("f:" + name)
            if inner is None:
                kept[name] = part
            elif inner and "." not in inner:
                kept[name] = without(child_of(node, name), part, inner)
        return kept or None
    if is_list(node, value):
        items = []
        for place, item in elements(node, value).items():
            inner = gone.get(place)
            if inner is None:
                items.append(item)
            elif inner and "." not in inner:
                items.append(without(node.element, item, inner))
        return items or None
    return value


def errors_of(node: Node, value: Any, path: str = "") -> list[str]:
    """Return why a value does not fit its schema, as apply words it."""
    if value is None:
        return []
    lead = f"{path}: " if path else ""
    match node.kind:
        case "struct" | "map":
            if type(value) is not dict:
                return [f"{lead}expected map, got &{{{go(value)}}}"]
            found: list[str] = []
            for name, part in value.items():
                if node.kind == "struct" and name not in node.fields and not node.open:
                    found.append(f"{path}.{name}: field not declared in schema")
                else:
                    found += errors_of(child_of(node, name), part, f"{path}.{name}")
            return found
        case "list":
            if type(value) is not list:
                return [f"{lead}expected list, got &{{{go(value)}}}"]
            return _list_errors(node, value, path)
        case "string" | "bytes":
            return [] if isinstance(value, str) else [f"{lead}expected string, got {_go_syntax(value)}"]
        case "boolean":
            return [] if isinstance(value, bool) else [f"{lead}expected boolean, got {_go_syntax(value)}"]
        case "int32" | "int64" | "number":
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
            return [] if fits else [f"{lead}expected numeric (int or float), got {_go_type(value)}"]
        case _:
            return []


def _list_errors(node: Node, items: list[Any], path: str) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for i, item in enumerate(items):
        where = f"{path}[{i}]"
        if not node.atomic:
            if node.list_type == "map" and (type(item) is not dict or node.key_of(item) is None):
                found.append(f"{path}: element {i}: associative list with keys has an element that omits key field "
                             f"{shown(node.keys[0] if node.keys else '')} (and doesn't have default value)")
                continue
            if type(item) is dict and any(type(item.get(key)) in (dict, list) for key in node.keys):
                found += errors_of(node.element, item, where)  # a key of the wrong type: the element has no place
                continue
            place = next(iter(elements(node, [item])))
            where = path + next(paths({place: {}}))
            if place in seen:
                found.append(f"{path}: duplicate entries for key {where.removeprefix(path)}")
            seen.add(place)
        found += errors_of(node.element, item, where)
    return found




def _go_syntax(value: Any) -> str:
    return f"{_go_type(value)}{{}}" if isinstance(value, (dict, list)) else shown(value)


def _go_type(value: Any) -> str:
    return {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}[type(value)]
