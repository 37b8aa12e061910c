"""The three patches: JSON patch (a list of operations), merge patch (a partial object), strategic merge patch.

A strategic patch knows the schema: lists of things with a key are merged by that key, and directives steer it:

    {"containers": [{"name": "a", "image": "x:2"}]}            merge the element whose key is "a"
    {"containers": [{"name": "a", "$patch": "delete"}]}        $patch: delete | replace, in a map or a list element
    {"$setElementOrder/containers": [{"name": "b"}, …]}        the order of the result
    {"$deleteFromPrimitiveList/finalizers": ["x"]}             take elements out of a list of scalars
    {"strategy": {"$retainKeys": ["type"], "type": "…"}}       drop every other key

Invariant: the object that is patched is never changed; the result is fresh, its reader owns it.
Models:    k8s.io/apimachinery/pkg/util/strategicpatch, RFC 6902, RFC 7386
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from kubelab.machinery.errors import bad_request, rejected, too_large
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"
_DIRECTIVE = "$patch"


def json_patch(obj: Obj, operations: Any) -> Obj:
    """Apply an RFC 6902 patch. Raises: BadRequest, Invalid."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type "
                          "[]handlers.jsonPatchOp")
    if len(operations) > MAX_OPERATIONS:
        raise too_large(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    import jsonpatch  # 20 ms that a plain start does not need
    import jsonpointer

    try:
        out = _operated(obj, operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError,
            AttributeError, RecursionError, OverflowError):
        out = None
    if not isinstance(out, dict):
        raise rejected()
    return out


def _operated(obj: Obj, operations: list[Any]) -> Any:
    """Apply the operations in turn. Copies of what holds copies would grow without end, so that they have a limit."""
    import jsonpatch
    import jsonpointer

    copied, out = 0, copy_obj(obj)
    for said in operations:
        operation = {"value": None, **said} if said["op"] in ("add", "replace", "test") else said  # Go's zero value
        if operation["op"] == "copy":
            copied += len(orjson.dumps(jsonpointer.resolve_pointer(out, operation["from"])))
            if copied > MAX_COPIED_BYTES:
                raise OverflowError(copied)
        if operation["op"] == "test" and operation["value"] is None:
            inside, _, key = operation["path"].rpartition("/")
            if jsonpointer.resolve_pointer(jsonpointer.resolve_pointer(out, inside), f"/{key}", None) is None:
                continue  # what is not there is null
        out = jsonpatch.JsonPatch([operation]).apply(out, in_place=True)
    return out


def merge_patch(obj: Obj, patch: Any) -> Obj:
    """Apply an RFC 7386 patch: maps are merged, null deletes, the rest replaces. Raises: BadRequest."""
    return copy_obj(_merged(obj, _map(patch)))


def _map(patch: Any) -> Obj:
    if isinstance(patch, dict):
        return patch
    said = "array" if isinstance(patch, list) else "string" if isinstance(patch, str) else "number"
    raise bad_request(f"error decoding patch: json: cannot unmarshal {said} into Go value of type "
                      "map[string]interface {}")


def _merged(target: Any, patch: Obj) -> Obj:
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            out[key] = _merged(out.get(key), value)
        else:
            out[key] = value
    return out


def strategic_merge_patch(obj: Obj, patch: Any, node: Node) -> Obj:
    """Apply a strategic merge patch by the schema of the object. Raises: BadRequest."""
    return copy_obj(_map_merged(obj, _map(patch), node))


def _child(node: Node | None, name: str) -> Node | None:
    if node is None or node.kind not in ("struct", "map"):
        return None
    return node.fields.get(name) if node.kind == "struct" else node.element


def _map_merged(original: Obj | None, patch: Obj, node: Node | None) -> Obj:
    if _DIRECTIVE in patch:
        return _directed(patch)
    out = dict(original or {})
    patch = dict(patch)
    _retain(out, patch)
    _order(out, patch, node)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            if not isinstance(value, list):
                raise bad_request("invalid patch format of primitive list")
            if isinstance(out.get(name), list):
                out[name] = [item for item in out[name] if item not in value]
        elif value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            child = _child(node, key)
            replaces = child is not None and "replace" in child.strategy
            out[key] = _without_directives(value) if replaces else _map_merged(out[key], value, child)
        elif isinstance(value, list) and isinstance(out.get(key), list):
            out[key] = _list_merged(out[key], value, _child(node, key))
        else:
            out[key] = _without_directives(value)
    return out


def _directed(patch: Obj) -> Obj:
    match patch[_DIRECTIVE]:
        case "replace":
            return {key: _without_directives(value) for key, value in patch.items() if key != _DIRECTIVE}
        case "delete":
            return {}
        case other:
            raise bad_request(f"unknown patch type '{other}' in map: {go(patch)}")


def _retain(out: Obj, patch: Obj) -> None:
    """Obey $retainKeys: every key of `out` that it does not name goes."""
    if _RETAIN not in patch:
        return
    kept = patch.pop(_RETAIN)
    named = [key for key, value in patch.items() if value is not None and not key.startswith((_DELETE, _ORDER))]
    if not isinstance(kept, list):
        raise bad_request("invalid patch format of retainKeys")
    if any(key not in kept for key in named):
        raise rejected()
    for key in [key for key in out if key not in kept]:
        del out[key]


def _order(out: Obj, patch: Obj, node: Node | None) -> None:
    """Obey every $setElementOrder: merge its list now, and bring the result into that order."""
    for key in [key for key in patch if key.startswith(_ORDER)]:
        wanted, name = patch.pop(key), key.removeprefix(_ORDER)
        changes = patch.pop(name, None)
        if not isinstance(wanted, list) or not isinstance(changes, (list, type(None))):
            raise bad_request("invalid patch format of setElementOrder list")
        live = out.get(name) or []
        child = _child(node, name)
        merge_key = child.merge_key if child is not None else ""
        _check_order(changes or [], wanted, merge_key)
        if not live and changes is None:
            continue
        merged = live if changes is None else _list_merged(live, changes, child)
        out[name] = _in_order(merged, wanted, live, merge_key)


def _check_order(changes: list[Any], wanted: list[Any], merge_key: str) -> None:
    places = [_place(wanted, item, merge_key) for item in changes
              if not (isinstance(item, dict) and _DIRECTIVE in item)]
    if any(place < 0 for place in places) or places != sorted(places):
        raise bad_request(f"The order in patch list:\n{go(changes)}\n doesn't match $setElementOrder list:\n"
                          f"{go(wanted)}\n")


def _list_merged(original: list[Any], patch: list[Any], node: Node | None) -> list[Any]:
    if node is None or "merge" not in node.strategy:
        return [_without_directives(item) for item in patch if not _deletes(item)]
    items = [*original, *patch]
    if not any(isinstance(item, dict) for item in items):
        return _in_order(list(dict.fromkeys(items)), patch, original, "")
    if not all(isinstance(item, dict) for item in items):
        raise bad_request("list element types are not identical: map and scalar")
    original, patch = _elements_directed(original, patch, node.merge_key)
    merged = list(original)
    for item in patch:
        place = _place(merged, _keyed(item, node.merge_key), node.merge_key)
        if place < 0:
            merged.append(_without_directives(item))
        else:
            merged[place] = _map_merged(merged[place], item, node.element)
    return _in_order(merged, patch, original, node.merge_key)


def _elements_directed(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Obey the elements that carry a $patch; return the list they leave and the elements still to merge."""
    plain = [item for item in patch if _DIRECTIVE not in item]
    replace = False
    for item in patch:
        match item.get(_DIRECTIVE):
            case None:
                continue
            case "delete":
                gone = _keyed(item, merge_key)[merge_key]
                original = [old for old in original if old.get(merge_key) != gone]
            case "replace":
                replace = True
            case "merge":
                raise bad_request("merging lists cannot yet be specified in the patch")
            case other:
                raise bad_request(f"unknown patch type '{other}' in map: {go(item)}")
    return ([_without_directives(item) for item in plain], []) if replace else (original, plain)


def _keyed(item: Obj, merge_key: str) -> Obj:
    if merge_key not in item:
        raise bad_request(f"map: {go(item)} does not contain declared merge key: {merge_key}")
    return item


def _place(items: list[Any], item: Any, merge_key: str) -> int:
    """Return where the element with this one's key stands, -1 for nowhere."""
    for i, other in enumerate(items):
        if (other.get(merge_key) == item.get(merge_key)) if isinstance(other, dict) and isinstance(item, dict) \
                else other == item:
            return i
    return -1


def _in_order(merged: list[Any], wanted: list[Any], live: list[Any], merge_key: str) -> list[Any]:
    """Sort what `wanted` names by it, the rest as it stood, and weave the two by the order of the live list."""
    named = sorted((item for item in merged if _place(wanted, item, merge_key) >= 0),
                   key=lambda item: _place(wanted, item, merge_key))
    rest = [item for item in merged if _place(wanted, item, merge_key) < 0]
    out: list[Any] = []
    while rest and named:
        first, second = _place(live, rest[0], merge_key), _place(live, named[0], merge_key)
        out.append(rest.pop(0) if 0 <= first < second else named.pop(0))
    return out + rest + named


def _deletes(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_DIRECTIVE) in ("delete", "replace") and len(value) == 1


def _without_directives(value: Any) -> Any:
    """Return a value that enters the object as new: no directives, no nulls."""
    if isinstance(value, list):
        return [_without_directives(item) for item in value
                if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "delete") and not _deletes(item)]
    if not isinstance(value, Mapping):
        return value
    if value.get(_DIRECTIVE) == "delete":
        return {}
    return {key: _without_directives(part) for key, part in value.items()
            if part is not None and not key.startswith((_DIRECTIVE, _RETAIN, _ORDER, _DELETE))}


def go(value: Any) -> str:
    """Write a value as Go's %v does: map[a:1 b:2]."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go(part)}' for key, part in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(go(part) for part in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
