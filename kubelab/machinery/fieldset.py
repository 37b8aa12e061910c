"""Field sets: which fields of an object, kept and computed in the form in which managedFields shows them.

    {"f:spec": {"f:replicas": {}, "f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}}}}}
       ▲ field     ▲ {}: this field is in the set    ▲ list element by key  ▲ ".": so is the element itself

Invariant: a set is never changed; union, difference and intersection return new ones and share what they can.
Models:    sigs.k8s.io/structured-merge-diff, fieldpath and typed (compare, to field set)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from kubelab.machinery.schema import Node, compile_schema

FieldSet = dict[str, Any]
LEAF: FieldSet = {}
ANY = compile_schema({})  # what is known of a field without a schema: maps are merged, lists replaced
_MISSING: Any = object()


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    out = dict(a)
    for key, more in b.items():
        have = out.get(key)
        if have is None:
            out[key] = more
        elif key != "." and have is not more:
            if not have:
                out[key] = have if not more or (len(more) == 1 and "." in more) else {".": LEAF, **more}
            elif not more:
                out[key] = have if "." in have else {".": LEAF, **have}
            else:
                out[key] = union(have, more)
    return out


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """Return what of `a` is not in `b`: `a` itself when that is all of it."""
    out: FieldSet | None = None
    for key, gone in b.items():
        have = a.get(key)
        if have is None:
            continue
        left = None if key == "." else _left(have, gone)
        if left is have:
            continue
        if out is None:
            out = dict(a)
        if left is None:
            del out[key]
        else:
            out[key] = left
    return a if out is None else out


def _left(have: FieldSet, gone: FieldSet) -> FieldSet | None:
    """Return what is left of a subtree, None for nothing. A leaf {} is the same as {".": {}}."""
    if not have:
        return None if not gone or "." in gone else have
    if not gone:
        if "." not in have:
            return have
        left = {key: part for key, part in have.items() if key != "."}
        return left or None
    left = difference(have, gone)
    if left is have:
        return have
    if not left:
        return None
    return LEAF if len(left) == 1 and "." in left else left


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    out: FieldSet = {}
    for key, have in a.items():
        other = b.get(key)
        if other is None:
            continue
        if have is other:
            out[key] = have
            continue
        member = (not have or "." in have) and (not other or "." in other)
        both = {k: v for k, v in intersection(have, other).items() if k != "."}
        if both:
            out[key] = {".": LEAF, **both} if member else both
        elif member:
            out[key] = LEAF
    return out


def paths(fields: FieldSet, before: str = "") -> Iterator[str]:
    """Yield every path in the set as conflicts name it, .spec.containers[name="a"].image, members before children."""
    for key in sorted(fields):
        if key != "." and (not fields[key] or "." in fields[key]):
            yield before + _step(key)
    for key in sorted(fields):
        if key != "." and fields[key]:
            yield from paths(fields[key], before + _step(key))


def _step(element: str) -> str:
    kind, _, text = element.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "k":
        return "[" + ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in orjson.loads(text).items()) + "]"
    return f"[={text}]" if kind == "v" else f"[{text}]"


@lru_cache(maxsize=8192)
def _key_element(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    pairs = {name: value for name, value in sorted(zip(names, values, strict=True)) if value is not None}
    return "k:" + orjson.dumps(pairs).decode()


def elements(node: Node, items: Any) -> dict[str, Any]:
    """Return the elements of a list by their place in a set; of elements with one key, the last."""
    out: dict[str, Any] = {}
    if node.list_type == "set":
        for item in items:
            out["v:" + orjson.dumps(item).decode()] = item
        return out
    names = node.keys
    for i, item in enumerate(items):
        values = node.key_of(item)
        out[f"i:{i}" if values is None else _key_element(names, values)] = item
    return out


def child_of(node: Node, name: str) -> Node:
    """Return the node of a field of a struct or map, or ANY."""
    if node.kind == "struct":
        return node.fields.get(name) or ANY
    return node.element if node.kind == "map" else ANY


def is_map(node: Node, value: Any) -> bool:
    """Return whether a value is merged field by field."""
    return type(value) is dict and not node.atomic and node.kind in ("struct", "map", "any")


def is_list(node: Node, value: Any) -> bool:
    """Return whether a value is merged element by element."""
    return type(value) is list and node.kind == "list" and not node.atomic


def whole(node: Node, value: Any) -> FieldSet:
    """Return the set of a value that appeared or vanished as a whole: itself and all that is in it."""
    if not value or node.atomic:
        return LEAF
    kind = node.kind
    if kind == "struct":
        if type(value) is not dict:
            return LEAF
        fields = node.fields
        out: FieldSet = {".": LEAF}
        for name, part in value.items():
            out["f:" + name] = whole(fields.get(name, ANY), part) if type(part) in (dict, list) else LEAF
        return out
    if is_map(node, value):
        return {".": LEAF, **{"f:" + name: whole(child_of(node, name), part) for name, part in value.items()}}
    if is_list(node, value):
        element = node.element
        return {".": LEAF, **{place: whole(element, item) for place, item in elements(node, value).items()}}
    return LEAF


def compare(node: Node, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    """Add to `changed` what is new or different in `new`, to `removed` what it lacks. Both are maps, or both lists."""
    if type(new) is list or type(old) is list:
        before, after, prefix = elements(node, old or ()), elements(node, new or ()), ""
    else:
        before, after, prefix = old or LEAF, new or LEAF, "f:"
    for name, part in after.items():
        was = before.get(name, _MISSING)
        if was is part or was == part or (part is None and was is _MISSING):
            continue
        child = node.element if not prefix else child_of(node, name)
        if was is _MISSING:
            changed[prefix + name] = whole(child, part)
            continue
        if not _is_granular(child, was, part) or not (was or part):
            changed[prefix + name] = LEAF
            continue
        more: FieldSet = {}
        less: FieldSet = {}
        compare(child, was, part, more, less)
        if more:
            changed[prefix + name] = more
        if less:
            removed[prefix + name] = less
    for name, part in before.items():
        if name not in after and part is not None:
            child = node.element if not prefix else child_of(node, name)
            removed[prefix + name] = whole(child, part)


def _is_granular(node: Node, old: Any, new: Any) -> bool:
    """Return whether two values are compared part by part; null is as good as an empty map or list."""
    some = old if new is None else new
    return any(holds(node, some) and (old is None or holds(node, old)) for holds in (is_map, is_list))


def to_fieldset(node: Node, value: Any) -> FieldSet:
    """Return the set of what a manager applies: leaves, list elements, and maps that are empty."""
    out: FieldSet = {}
    if is_map(node, value):
        for name, part in value.items():
            child = child_of(node, name)
            if not (is_map(child, part) or is_list(child, part)):
                out["f:" + name] = LEAF
                continue
            inner = to_fieldset(child, part)
            member = (not part and type(part) is dict) or node.kind != "struct"
            if inner:
                out["f:" + name] = {".": LEAF, **inner} if member else inner
            elif member:
                out["f:" + name] = LEAF
    elif is_list(node, value):
        for place, item in elements(node, value).items():
            inner = to_fieldset(node.element, item)
            out[place] = {".": LEAF, **inner} if inner else LEAF
    return out


def with_named(fields: FieldSet, node: Node) -> FieldSet:
    """Return the set with the declared fields on the way to its members counted as members."""
    out: FieldSet = {}
    for key, inner in fields.items():
        if key == "." or not inner:
            out[key] = inner
            continue
        named = key.startswith("f:")
        child = child_of(node, key[2:]) if named else (node.element if node.kind == "list" else ANY)
        deeper = with_named(inner, child)
        declared = named and node.kind == "struct" and key[2:] in node.fields
        out[key] = {".": LEAF, **deeper} if declared and "." not in deeper else deeper
    return out
