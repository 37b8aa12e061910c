"""Structural schemas of custom resources: what is dropped, what is filled in, and the Node that apply walks.

    sent ─► pruned (unknown fields go, and are told) ─► defaulted ─► validated (openapi_check.py)

Invariant: `pruned` returns a fresh object and leaves its argument alone; `fill_defaults` changes only what it is given.
Models:    k8s.io/apiextensions-apiserver/pkg/apiserver/schema: pruning, defaulting, objectmeta
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from kubelab.machinery.decoding import Checked, check
from kubelab.machinery.errors import bad_request
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node, compile_schema

PRESERVE, EMBEDDED, INT_OR_STRING = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource",
                                     "x-kubernetes-int-or-string")
OBJECT_META = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
TYPE_META = ("apiVersion", "kind")
_MERGE_WORDS = ("type", "format", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
                "x-kubernetes-map-type", PRESERVE)


def children(schema: Obj) -> Iterator[tuple[str, str, Obj]]:
    """Yield (keyword, name, schema) of every part that describes a part of the value."""
    for name, child in (schema.get("properties") or {}).items():
        yield "properties", name, child
    for keyword in ("additionalProperties", "items"):
        if isinstance(child := schema.get(keyword), dict):
            yield keyword, "", child


def child_of(schema: Obj, name: str) -> Obj | None:
    """Return the schema of a field, None where the schema says nothing of it."""
    found = (schema.get("properties") or {}).get(name)
    if found is None and isinstance(schema.get("additionalProperties"), dict):
        found = schema["additionalProperties"]
    return found if isinstance(found, dict) else None


def pruned(schema: Obj, obj: Obj, unknown: list[str]) -> Obj:
    """Return a custom resource without what its schema does not know; add the paths of that to `unknown`."""
    return _pruned(schema, obj, "", unknown, resource=True)  # type: ignore[no-any-return]


def _pruned(schema: Obj, value: Any, path: str, unknown: list[str], *, resource: bool = False) -> Any:
    if isinstance(value, list):
        given = schema.get("items")
        items: Obj = given if isinstance(given, dict) else {PRESERVE: schema.get(PRESERVE)}
        return [_pruned(items, item, f"{path}[{i}]", unknown, resource=bool(items.get(EMBEDDED)))
                for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    out: Obj = {}
    keeps = schema.get(PRESERVE) or schema.get("additionalProperties") is True
    for name, part in value.items():
        where = f"{path}.{name}" if path else name
        if resource and name in TYPE_META:
            out[name] = part
        elif resource and name == "metadata":
            out[name] = _metadata(part, path, unknown)
        elif (child := child_of(schema, name)) is not None:
            if part is not None or child.get("nullable") or name not in (schema.get("properties") or {}):
                out[name] = _pruned(child, part, where, unknown, resource=bool(child.get(EMBEDDED)))
        elif keeps:
            out[name] = part
        else:
            unknown.append(where)
    return out


def _metadata(value: Any, path: str, unknown: list[str]) -> Any:
    """Check metadata as every kind's is. Raises `BadRequest` for one of wrong types at the root."""
    checked: Checked = check(_resource_node(), {"metadata": value}, "Warn")
    if checked.errors:
        if path:
            return value
        raise bad_request(checked.errors[0])
    lead = f"{path}." if path else ""
    unknown += [lead + text.removeprefix('unknown field "').removesuffix('"') for text in checked.warnings]
    return checked.obj.get("metadata", {} if not path else value)


@cache
def _resource_node() -> Node:
    return compile_schema({"type": "object", "properties": {"metadata": OBJECT_META}})


def fill_defaults(schema: Obj, value: Any) -> None:
    """Put the defaults of a schema into what an object leaves out."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            fill_defaults(schema["items"], item)
    elif isinstance(value, dict):
        for name, child in (schema.get("properties") or {}).items():
            if "default" in child and value.get(name) is None and not (name in value and child.get("nullable")):
                value[name] = copy_obj(child["default"])
        for name, part in value.items():
            child = child_of(schema, name)
            if child is not None and isinstance(part, (dict, list)):
                fill_defaults(child, part)


def node_of(schema: Obj) -> Node:
    """Compile the schema of a custom resource for server-side apply."""
    return compile_schema(_for_merging({**schema, EMBEDDED: True}))


def _for_merging(schema: Obj) -> Obj:
    """Return what a schema says of merging; what it says of values alone is left out."""
    if schema.get(INT_OR_STRING):
        return {}
    out = {word: schema[word] for word in _MERGE_WORDS if word in schema}
    if "properties" in schema:
        out["properties"] = {name: _for_merging(child) for name, child in schema["properties"].items()}
    if schema.get(EMBEDDED):
        given = out.get("properties") or {}
        out["properties"] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **given,
                             "metadata": OBJECT_META}
    if "items" in schema:
        out["items"] = _for_merging(schema["items"])
    if "additionalProperties" in schema:
        child = schema["additionalProperties"]
        out["additionalProperties"] = _for_merging(child) if isinstance(child, dict) else {}
    return out
