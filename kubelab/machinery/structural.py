"""Structural schemas of custom resources: what is dropped, what is filled in, and the Node that apply walks.

    sent ─► pruned (unknown fields go, and are told) ─► defaulted ─► validated (openapi_check.py)

Invariant: `pruned` returns a fresh object and leaves its argument alone; `fill_defaults` changes only what it is given.
Models:    k8s.io/apiextensions-apiserver/pkg/apiserver/schema: pruning, defaulting, objectmeta
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from kubelab.machinery.decoding import Checked, check
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import KEY_DEFAULTS, STATUS_APART, Node, compile_schema

PRESERVE, EMBEDDED, INT_OR_STRING = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource",
                                     "x-kubernetes-int-or-string")
OBJECT_META = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
TYPE_META = ("apiVersion", "kind")
META = (*TYPE_META, "metadata")
EXACT, INT64 = 1 << 53, 1 << 63
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
    inside: list[str] = []
    dropped: list[str] = []
    out: Obj = _pruned(schema, obj, "", _Dropped(dropped, inside), resource=True)
    if "metadata" in obj:
        checked = _checked(obj["metadata"])
        out["metadata"] = checked.obj.get("metadata", {})
        unknown += _told(checked)
    unknown += [*sorted(path for path in dropped if path not in TYPE_META), *sorted(inside)]
    return out


def pruned_value(schema: Obj, value: Any) -> Any:
    """Return a part of a custom resource without what its schema does not know; of metadata nothing is dropped."""
    return _pruned(schema, value, "", _Dropped([], None), resource=bool(schema.get(EMBEDDED)))


@dataclass(frozen=True, slots=True)
class _Dropped:
    """The paths of what went, what went from the metadata of embedded objects apart; None there: nothing goes."""

    paths: list[str]
    of_metadata: list[str] | None


def _pruned(schema: Obj | None, value: Any, path: str, dropped: _Dropped, *, resource: bool = False,
            kept: bool = False) -> Any:
    """`schema` is None where nothing is known of a value; `kept` says that what is not known stays."""
    kept = kept or bool(schema is not None and schema.get(PRESERVE))
    if isinstance(value, list):
        items = schema.get("items") if schema is not None else None
        if kept and items is None:
            return [copy_obj({"": item})[""] for item in value]
        return [_pruned(items, item, f"{path}[{i}]", dropped, resource=bool((items or {}).get(EMBEDDED)), kept=kept)
                for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return _number(value) if isinstance(value, (int, float)) else value
    out: Obj = {}
    for name, part in value.items():
        where = f"{path}.{name}" if path else name
        if resource and name in META:
            out[name] = _metadata(part, where, dropped) if name == "metadata" else part
        elif (child := _known(schema, name)) is not None:
            out[name] = _pruned(child or None, part, where, dropped, resource=bool(child.get(EMBEDDED)))
        elif kept:
            out[name] = copy_obj(part)
        else:
            dropped.paths.append(where)
    return out


def _number(value: int | float) -> int | float:
    """Return a number as Go keeps it: 1.0 is 1, and what no int64 holds is a float."""
    if isinstance(value, int):
        return value if -INT64 <= value < INT64 else float(value)
    return int(value) if value.is_integer() and abs(value) < EXACT else value


def _known(schema: Obj | None, name: str) -> Obj | None:
    """Return the schema of a field, an empty one where any value may be, None where the field is not known."""
    found = child_of(schema, name) if schema is not None else None
    return {} if found is None and schema is not None and schema.get("additionalProperties") is True else found


def _metadata(value: Any, path: str, dropped: _Dropped) -> Any:
    """Return the metadata of an embedded object without what no metadata has."""
    checked = _checked(value)
    if dropped.of_metadata is None or not path.rpartition(".")[0] or checked.errors:
        return copy_obj(value)
    lead = path.removesuffix("metadata")
    dropped.of_metadata.extend(lead + told for told in _told(checked))
    return checked.obj.get("metadata", {})


def metadata_errors(value: Any) -> str:
    """Return what is wrong with the types in metadata that stands by itself, or "" """
    if not isinstance(value, dict):
        found = next(iter(_checked(value).errors), "")
        return found.replace("Go struct field .metadata", "Go value")
    return next(iter(check(_resource_node().fields["metadata"], value, "Ignore").errors), "")


def _checked(metadata: Any) -> Checked:
    return check(_resource_node(), {"metadata": metadata}, "Warn")


def _told(checked: Checked) -> list[str]:
    return [text.removeprefix('unknown field "').removesuffix('"') for text in checked.warnings]


def drop_nulls(schema: Obj, value: Any) -> None:
    """Take out of an object the nulls that its schema allows no null for, unless a default is to stand there."""
    if isinstance(value, list):
        for item in value if isinstance(schema.get("items"), dict) else ():
            drop_nulls(schema["items"], item)
    elif isinstance(value, dict):
        for name, part in list(value.items()):
            child = child_of(schema, name)
            if child is not None and part is None and not child.get("nullable") and child.get("default") is None:
                del value[name]
            elif child is not None:
                drop_nulls(child, part)


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
            default = child.get("default")
            if default is not None and value.get(name) is None and not (name in value and child.get("nullable")):
                value[name] = copy_obj(default)
        for name, part in value.items():
            child = child_of(schema, name)
            if child is not None and isinstance(part, (dict, list)):
                fill_defaults(child, part)


def node_of(schema: Obj, *, status_apart: bool = True) -> Node:
    """Compile the schema of a custom resource for server-side apply."""
    return compile_schema({**_for_merging({**schema, EMBEDDED: True}), STATUS_APART: status_apart})


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
        known = schema["items"].get("properties") or {}
        out[KEY_DEFAULTS] = {key: known[key]["default"] for key in schema.get("x-kubernetes-list-map-keys") or ()
                             if known.get(key, {}).get("default") is not None}
    if "additionalProperties" in schema:
        child = schema["additionalProperties"]
        out["additionalProperties"] = _for_merging(child) if isinstance(child, dict) else {}
    return out
