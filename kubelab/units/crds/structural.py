"""Is a schema structural? What its shape may be, so that it can be pruned, defaulted and merged without a doubt.

    schema ─► every part of the structure ─► its junctors (allOf, anyOf, oneOf, not), which may speak of values alone

Invariant: what passes can be read without asking which of several branches applies; errors come sorted by their text.
Models:    apiextensions-apiserver/pkg/apiserver/schema: convert, validation, complete
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubelab.machinery import openapi_check
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import EMBEDDED, INT_OR_STRING, PRESERVE, children
from kubelab.units.rules import Errors, forbidden

INT_OR_STRING_TYPES = [{"type": "integer"}, {"type": "string"}]
RULES = "x-kubernetes-validations"
_NO_TYPE = {"root": "must not be empty at the root", "item": "must not be empty for specified array items",
            "field": "must not be empty for specified object fields"}
_UNSUPPORTED = (("id", "id"), ("$schema", "schema"), ("$ref", "$ref"), ("patternProperties", "patternProperties"),
                ("dependencies", "dependencies"), ("additionalItems", "additionalItems"),
                ("definitions", "definitions"))
_NOT_IN_BRANCH = (("type", "empty"), ("default", "undefined"), ("title", "empty"), ("description", "empty"),
                  ("nullable", "false"), (PRESERVE, "false"), (EMBEDDED, "false"), (INT_OR_STRING, "false"),
                  ("x-kubernetes-list-map-keys", "empty"), ("x-kubernetes-list-type", "undefined"),
                  ("x-kubernetes-map-type", "undefined"), (RULES, "empty"))


def branches(schema: Obj) -> Iterator[tuple[str, Obj]]:
    """Yield (path below the schema, branch) of every junctor."""
    for word in ("allOf", "oneOf", "anyOf"):
        for i, branch in enumerate(schema.get(word) or ()):
            yield f"{word}[{i}]", branch
    if isinstance(schema.get("not"), dict):
        yield "not", schema["not"]


def parts(schema: Obj) -> Iterator[tuple[str, Obj]]:
    """Yield (path below the schema, schema) of every part of the structure, in the order of their names."""
    for keyword, name, child in sorted(children(schema), key=lambda found: found[:2]):
        yield f"properties[{name}]" if keyword == "properties" else keyword, child


def outside(schema: Obj) -> str:
    """Return why a schema cannot even be read as a structural one, or "" """
    for word, name in _UNSUPPORTED:
        if schema.get(word) or (word == "additionalItems" and schema.get(word) is not None):
            return f"OpenAPIV3Schema '{name}' is not supported"
    if schema.get(PRESERVE) is False:
        return f"internal error: '{PRESERVE}' must be true or undefined"
    if isinstance(schema.get("items"), list) and schema["items"]:
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    return next((why for _, below in (*branches(schema), *parts(schema)) if (why := outside(below))), "")


def structural_errors(schema: Obj, path: str) -> list[FieldError]:
    """Return what keeps the schema of a version from being structural."""
    return sorted([*_invariants(schema, path, "root"), *_incomplete(schema, schema, path, path)], key=str)


def _invariants(schema: Obj, path: str, level: str) -> Errors:
    kind, embedded, preserves = schema.get("type") or "", schema.get(EMBEDDED), schema.get(PRESERVE)
    if kind == "array" and not isinstance(schema.get("items"), dict):
        yield required(f"{path}.items", "must be specified")
    for where, child in parts(schema):
        yield from _invariants(child, f"{path}.{where}", "item" if where == "items" else "field")
    if schema.get("additionalProperties") is not None:
        if level == "root":
            yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if embedded:
            yield forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set")
    if schema.get(INT_OR_STRING):
        for word in (PRESERVE, EMBEDDED):
            if schema.get(word):
                yield invalid_value(f"{path}.{word}", True, f"must be false if {INT_OR_STRING} is true")
    first = (schema.get("allOf") or [{}])[0]
    yield from _values(schema, path, {"anyOf" * (schema.get("anyOf") == INT_OR_STRING_TYPES),
                                      "allOf" * (first.get("anyOf") == INT_OR_STRING_TYPES)})
    if embedded and kind != "object":
        text = f"must be object if {EMBEDDED} is true"
        yield invalid_value(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)
    elif not kind and not schema.get(INT_OR_STRING) and not preserves:
        yield required(f"{path}.type", _NO_TYPE[level])
    if level == "root" and kind not in ("", "object"):
        yield invalid_value(f"{path}.type", kind, "must be object at the root")
    yield from _resource(schema, path, level == "root")
    if embedded and not preserves and not schema.get("properties"):
        yield required(f"{path}.properties", f"must not be empty if {EMBEDDED} is true without {PRESERVE}")


def _resource(schema: Obj, path: str, root: bool) -> Errors:
    """What is known of every object, apiVersion, kind and metadata, a schema may narrow a little."""
    known, is_object = schema.get("properties") or {}, root or schema.get(EMBEDDED)
    for name, kind in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if is_object and name in known and known[name].get("type") != kind:
            yield invalid_value(f"{path}.properties[{name}].type", known[name].get("type") or "", f"must be {kind}")
    metadata = known.get("metadata")
    if root and metadata is not None:
        more = set(metadata.get("properties") or ()) - {"name", "generateName"}
        if more or any(_is_set(value) for word, value in metadata.items()
                       if word not in ("type", "default", "properties")):
            yield forbidden(f"{path}.properties[metadata]", "must not specify anything other than name and "
                            "generateName, but metadata is implicitly specified")


def _is_set(value: Any) -> bool:
    return bool(value) or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _values(schema: Obj, path: str, excused: set[str]) -> Errors:
    """What the junctors say; `excused` names those that tell in the known way that a value is an int or a string."""
    for where, branch in branches(schema):
        if "anyOf" in excused and where.startswith("anyOf"):
            continue
        known = {"anyOf"} if "allOf" in excused and where == "allOf[0]" else set[str]()
        yield from _branch(branch, f"{path}.{where}", known)
    why = openapi_check.regex_error(schema["pattern"]) if schema.get("pattern") else ""
    if why:
        yield invalid_value(f"{path}.pattern", schema["pattern"],
                            f"must be a valid regular expression, but isn't: {why}")


def _branch(branch: Obj, path: str, excused: set[str]) -> Errors:
    """A branch may say more of the values that the structure knows, and nothing of the structure."""
    yield from _values(branch, path, excused)
    for where, child in parts(branch):
        if where != "additionalProperties":
            yield from _branch(child, f"{path}.{where}", set())
    if branch.get("additionalProperties"):
        yield forbidden(f"{path}.additionalProperties", "must be undefined to be structural")
    for word, what in _NOT_IN_BRANCH:
        value = branch.get(word)
        if value or (what == "undefined" and value is not None):
            yield forbidden(f"{path}.{word}", f"must be {what} to be structural")
    if "metadata" in (branch.get("properties") or ()):
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _incomplete(branch: Obj, schema: Obj | None, path: str, told_at: str) -> Errors:
    """Yield what a branch speaks of that the structure does not have; the junctors of the root alone are asked."""
    if schema is None:
        yield required(path, f"because it is defined in {told_at}")
        return
    for where, inner in branches(branch):
        yield from _incomplete_parts(inner, schema, path, f"{told_at}.{where}")


def _incomplete_parts(branch: Obj, schema: Obj, path: str, told_at: str) -> Errors:
    yield from _incomplete(branch, schema, path, told_at)
    there = dict(parts(schema))
    for where, child in parts(branch):
        if where == "additionalProperties":
            continue
        if where not in there:
            yield required(f"{path}.{where}", f"because it is defined in {told_at}.{where}")
        else:
            yield from _incomplete_parts(child, there[where], f"{path}.{where}", f"{told_at}.{where}")
