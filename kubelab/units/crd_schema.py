"""Is a schema structural? The rules for the schemas that a CustomResourceDefinition brings.

Invariant: what passes can be pruned, defaulted and merged without asking which of several branches applies.
Models:    apiextensions-apiserver/pkg/apis/apiextensions/validation and pkg/apiserver/schema
Left out:  estimates of what CEL rules cost
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from kubelab.machinery import openapi_check
from kubelab.machinery.decoding import check
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node, compiled, find
from kubelab.machinery.structural import EMBEDDED, INT_OR_STRING, PRESERVE, children
from kubelab.units.rules import Errors, forbidden, unsupported

TYPES = ("array", "boolean", "integer", "number", "object", "string")
LIST_TYPES, MAP_TYPES = ("atomic", "map", "set"), ("atomic", "granular")
_STRUCTURE = ("type", "description", "default", "title", "nullable", "additionalProperties", PRESERVE, EMBEDDED)
_NOT_HERE = {"definitions": "definitions is not supported", "dependencies": "dependencies is not supported",
             "patternProperties": "patternProperties is not supported", "$ref": "$ref is not supported",
             "id": "id is not supported", "additionalItems": "additionalItems is not supported",
             "$schema": "schema is not supported"}
_EMPTY_HERE = "must be empty to be structural"
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_AT_ROOT = {"type": "must not be empty at the root"}


def untyped(schema: Any, path: str) -> Errors:
    """Yield what is no schema where one has to stand; the types of the API leave `items` and the like open."""
    if not isinstance(schema, dict):
        yield invalid_value(path, schema, "must be a schema")
        return
    items, more = schema.get("items"), schema.get("additionalProperties")
    if items is not None and not isinstance(items, dict):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if more is not None and not isinstance(more, (bool, dict)):
        yield invalid_value(f"{path}.additionalProperties", more, "must be a schema or a boolean")
    for word, part in (("items", items), ("additionalProperties", more)):
        if isinstance(part, dict):
            yield from (invalid_value(f"{path}.{word}", part, why) for why in check(_props(), part, "Ignore").errors)
    for word in ("allOf", "anyOf", "oneOf"):
        for i, branch in enumerate(schema.get(word) or ()):
            yield from untyped(branch, f"{path}.{word}[{i}]")
    if isinstance(schema.get("not"), dict):
        yield from untyped(schema["not"], f"{path}.not")
    for keyword, name, child in _below(schema):
        if keyword == "properties" or not check(_props(), child, "Ignore").errors:
            yield from untyped(child, _at(path, keyword, name))


def tidy(schema: Obj) -> None:
    """Bring the schemas that the types of the API leave open into the form that the others have come in."""
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            checked = check(_props(), schema[word], "Ignore")
            if not checked.errors:
                schema[word] = checked.obj
                tidy(checked.obj)
    branches = [branch for word in ("allOf", "anyOf", "oneOf") for branch in schema.get(word) or ()]
    for child in (*branches, schema.get("not"), *(schema.get("properties") or {}).values()):
        if isinstance(child, dict):
            tidy(child)


@cache
def _props() -> Node:
    node = find(compiled("apiextensions.k8s.io/v1", "CustomResourceDefinition"), "spec.versions.schema.openAPIV3Schema")
    assert node is not None
    return node


def structural(schema: Obj, path: str) -> Errors:
    """Yield what keeps the schema of a version from being structural."""
    if schema.get("type") and schema["type"] != "object":
        yield invalid_value(f"{path}.type", schema["type"], "must be object at the root")
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    yield from _defaults(schema, path)
    yield from _part(schema, path, _AT_ROOT["type"], root=True)


def _defaults(schema: Obj, path: str) -> Errors:
    """Every default has to be valid itself."""
    if schema.get("default") is not None:
        for error in openapi_check.check({k: v for k, v in schema.items() if k != "default"}, schema["default"]):
            where = f"{path}.default" + (f".{error.field}" if error.field else "")
            yield FieldError(where, error.reason, error.message)
    for keyword, name, child in _below(schema):
        yield from _defaults(child, _at(path, keyword, name))


def _below(schema: Obj) -> list[tuple[str, str, Obj]]:
    return sorted(children(schema), key=lambda found: found[:2])


def _at(path: str, keyword: str, name: str) -> str:
    return f"{path}.{keyword}[{name}]" if keyword == "properties" else f"{path}.{keyword}"


def _part(schema: Obj, path: str, no_type: str, *, root: bool = False) -> Errors:
    kind = schema.get("type")
    if kind and kind not in TYPES:
        yield unsupported(f"{path}.type", kind, TYPES)
    for word, why in _NOT_HERE.items():
        if schema.get(word):
            yield forbidden(f"{path}.{word}", why)
    if schema.get("uniqueItems"):
        yield forbidden(f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity "
                        "becomes quadratic")
    if schema.get(INT_OR_STRING):
        if kind:
            yield forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")
    elif not kind and not (schema.get(PRESERVE) and not root):
        yield required(f"{path}.type", no_type)
    yield from _containers(schema, path)
    yield from _lists(schema, path)
    yield from _values(schema, path)
    yield from _metadata(schema, path, root=root)
    for keyword, name, child in _below(schema):
        told = "must not be empty for specified array items" if keyword == "items" else \
            "must not be empty for specified object fields"
        yield from _part(child, _at(path, keyword, name), told)


def _containers(schema: Obj, path: str) -> Errors:
    kind, more = schema.get("type"), schema.get("additionalProperties")
    if schema.get("properties") and more:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if more is False:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    if kind == "array" and not schema.get("items"):
        yield required(f"{path}.items", "must be specified")
    if schema.get(EMBEDDED):
        if kind != "object":
            yield invalid_value(f"{path}.type", kind or "", "must be object if x-kubernetes-embedded-resource is true")
        if not schema.get(PRESERVE) and not schema.get("properties"):
            yield required(f"{path}.properties", "must not be empty if x-kubernetes-embedded-resource is true without "
                           "x-kubernetes-preserve-unknown-fields")
    if schema.get(PRESERVE) is False:
        yield invalid_value(f"{path}.{PRESERVE}", False, "must be true or undefined")


def _lists(schema: Obj, path: str) -> Errors:
    kind, list_type, keys = schema.get("type"), schema.get("x-kubernetes-list-type"), \
        schema.get("x-kubernetes-list-map-keys")
    map_type = schema.get("x-kubernetes-map-type")
    if map_type and map_type not in MAP_TYPES:
        yield unsupported(f"{path}.x-kubernetes-map-type", map_type, MAP_TYPES)
    if list_type and kind != "array":
        yield invalid_value(f"{path}.type", kind or "", f"must be array if x-kubernetes-list-type is {list_type}")
    if list_type and list_type not in LIST_TYPES:
        yield unsupported(f"{path}.x-kubernetes-list-type", list_type, LIST_TYPES)
    if list_type == "map" and not keys:
        yield required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if keys and list_type != "map":
        yield invalid_value(f"{path}.x-kubernetes-list-type", list_type or "", "must be map if "
                            "x-kubernetes-list-map-keys is non-empty")
    items = schema.get("items") or {}
    if list_type == "map" and isinstance(items, dict):
        known, needed = items.get("properties") or {}, items.get("required") or ()
        for i, key in enumerate(keys or ()):
            if key not in known:
                yield invalid_value(f"{path}.x-kubernetes-list-map-keys[{i}]", key,
                                    "must be one of the properties of items")
            elif key not in needed and "default" not in known[key]:
                yield required(f"{path}.items.properties[{key}].default", "this property is in "
                               "x-kubernetes-list-map-keys, so it must have a default or be a required property")
    if list_type == "set" and isinstance(items, dict) and items.get("nullable"):
        yield forbidden(f"{path}.items.nullable", "cannot be nullable when x-kubernetes-list-type is set")


def _values(schema: Obj, path: str) -> Errors:
    why = openapi_check.regex_error(schema["pattern"]) if schema.get("pattern") else ""
    if why:
        yield invalid_value(f"{path}.pattern", schema["pattern"],
                            f"must be a valid regular expression, but isn't: {why}")
    for word in ("allOf", "anyOf", "oneOf"):
        if schema.get(INT_OR_STRING) and schema.get(word) == _INT_OR_STRING:
            continue
        for i, branch in enumerate(schema.get(word) or ()):
            yield from _branch(branch, f"{path}.{word}[{i}]")
    if isinstance(schema.get("not"), Mapping):
        yield from _branch(schema["not"], f"{path}.not")


def _branch(schema: Obj, path: str) -> Errors:
    """A branch may say more of the values that the structure knows, and nothing of the structure."""
    for word in _STRUCTURE:
        if schema.get(word) not in (None, "", False):
            yield forbidden(f"{path}.{word}", _EMPTY_HERE)
    for keyword, name, child in _below(schema):
        if keyword != "additionalProperties":
            yield from _branch(child, _at(path, keyword, name))
    yield from _values(schema, path)


def _metadata(schema: Obj, path: str, *, root: bool) -> Errors:
    given = (schema.get("properties") or {}).get("metadata")
    if not given or not (root or schema.get(EMBEDDED)):
        return
    named: Sequence[str] = [*(given.get("properties") or {})]
    if any(name not in ("name", "generateName") for name in named) or given.get("additionalProperties"):
        yield forbidden(f"{path}.properties[metadata]", "must not specify anything other than name and generateName, "
                        "but metadata is implicitly specified")
