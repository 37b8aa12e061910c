"""Values against OpenAPI schemas, as Kubernetes does it for custom resources, in the words of its validator.

    check(schema, value, old, "spec") ─► [FieldError("spec.size", "Invalid value: 0: spec.size in body should be ...")]

Invariant: what an update leaves as it was is not complained of again (ratcheting).
Models:    k8s.io/kube-openapi/pkg/validation, apiextensions-apiserver/pkg/apiserver/validation and schema/listtype
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import orjson

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required, shown
from kubelab.machinery.formats import has_format
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import INT_OR_STRING, child_of

Errors = Iterator[FieldError]
MISSING: Any = object()
"""The old value of what was not there, or of what cannot be told to be the same thing as before."""


def check(schema: Obj, value: Any, old: Any = MISSING, path: str = "") -> Errors:
    """Yield everything that is wrong with a value."""
    if old is not MISSING and old == value:
        return
    if value is None:
        if not schema.get("nullable") and _types(schema):
            yield _wrong_type(path, "null", _types(schema)[0])
        return
    types, actual = _types(schema), type_of(value)
    if types and actual not in types and not (actual == "integer" and "number" in types):
        yield _wrong_type(path, actual, ",".join(types))
        return
    if isinstance(value, str):
        yield from _string(schema, value, path)
    elif isinstance(value, list):
        yield from _list(schema, value, old, path)
    elif isinstance(value, dict):
        yield from _object(schema, value, old, path)
    elif not isinstance(value, bool):
        yield from _number(schema, value, path)
    choices = schema.get("enum")
    if choices is not None and value not in choices:
        texts = ", ".join(orjson.dumps(c if isinstance(c, str) else orjson.dumps(c).decode()).decode() for c in choices)
        yield FieldError(path, "FieldValueNotSupported",
                         f"Unsupported value: {shown(value)}: supported values: {texts}")
    yield from _junctors(schema, value, path)


def _types(schema: Obj) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def type_of(value: Any) -> str:
    """Return the JSON schema type of a value."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
        case None:
            return "null"
    return "object"


def _wrong_type(path: str, actual: str, wanted: str) -> FieldError:
    text = f'{path} in body must be of type {wanted}: "{actual}"'
    return FieldError(path, "FieldValueTypeInvalid", f'Invalid value: "{actual}": {text}')


def _says(path: str, value: Any, words: str) -> FieldError:
    return invalid_value(path, value, f"{path} in body {words}")


def _too_many(path: str, count: int, limit: int) -> FieldError:
    return FieldError(path, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} items")


def _string(schema: Obj, value: str, path: str) -> Errors:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        yield FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {longest} bytes")
    if shortest is not None and len(value) < shortest:
        yield _says(path, value, f"should be at least {shortest} chars long")
    pattern = schema.get("pattern")
    if pattern and not _regex(pattern).search(value):
        yield _says(path, value, f"should match '{pattern}'")
    format_ = schema.get("format")
    if format_ and not has_format(format_, value):
        text = f"{path} in body must be of type {format_}: {shown(value)}"
        yield FieldError(path, "FieldValueTypeInvalid", f"Invalid value: {shown(value)}: {text}")


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    """Compile a Go regular expression. Raises `re.error`."""
    return re.compile(pattern.replace(r"\z", r"\Z"))


def regex_error(pattern: str) -> str:
    """Return why a pattern is none, or "" """
    try:
        _regex(pattern)
    except re.error as error:
        return f"error parsing regexp: {error}: `{pattern}`"
    return ""


def _number(schema: Obj, value: float, path: str) -> Errors:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        yield _says(path, value, f"should be greater than {'' if schema.get('exclusiveMinimum') else 'or equal to '}"
                    f"{shown(low)}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        yield _says(path, value, f"should be less than {'' if schema.get('exclusiveMaximum') else 'or equal to '}"
                    f"{shown(high)}")
    if step and value / step % 1:
        yield _says(path, value, f"should be a multiple of {shown(step)}")


def _list(schema: Obj, value: list[Any], old: Any, path: str) -> Errors:
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)
    if least is not None and len(value) < least:
        yield _says(path, value, f"should have at least {least} items")
    items = schema.get("items")
    if isinstance(items, dict):
        before = old_items(schema, old)
        for i, item in enumerate(value):
            yield from check(items, item, before(item), f"{path}[{i}]")


def twins(schema: Obj, value: Any, path: str = "") -> Errors:
    """Yield the elements of lists of type set or map that stand there twice."""
    if isinstance(value, dict):
        for name, part in value.items():
            child = child_of(schema, name)
            if child is not None and isinstance(part, (dict, list)):
                known = name in (schema.get("properties") or {})
                yield from twins(child, part, (f"{path}.{name}" if path else name) if known else f"{path}[{name}]")
    elif isinstance(value, list):
        kind = schema.get("x-kubernetes-list-type")
        if kind in ("set", "map"):
            yield from _twins(schema, value, path, kind)
        if isinstance(schema.get("items"), dict):
            for i, part in enumerate(value):
                yield from twins(schema["items"], part, f"{path}[{i}]")


def _twins(schema: Obj, value: list[Any], path: str, kind: str) -> Errors:
    seen: dict[str, int] = {}
    for i, item in enumerate(value):
        if kind == "map" and item is not None and not isinstance(item, dict):
            yield invalid_value(f"{path}[{i}]", item, "must be an object for an array of list-type map")
            return
        identity = map_key(schema, item) if kind == "map" else item
        text = shown(identity)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield duplicate(f"{path}[{i}]", identity)


def map_key(schema: Obj, item: Any) -> Any:
    """Return what tells the elements of a map list apart."""
    if not isinstance(item, dict):
        return item
    defaults = (schema.get("items") or {}).get("properties") or {}
    return {key: item.get(key, (defaults.get(key) or {}).get("default"))
            for key in schema.get("x-kubernetes-list-map-keys") or () if key in item or key in defaults}


def old_items(schema: Obj, old: Any) -> Callable[[Any], Any]:
    """Return what finds the old element of a new one: by its keys, in a map list alone."""
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return lambda item: MISSING
    by_key = {shown(map_key(schema, item)): item for item in old}
    return lambda item: by_key.get(shown(map_key(schema, item)), MISSING)


def _object(schema: Obj, value: Obj, old: Any, path: str) -> Errors:
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)
    if least is not None and len(value) < least:
        yield _says(path, value, f"should have at least {least} properties")
    lead = f"{path}." if path else ""
    for name in schema.get("required") or ():
        if name not in value:
            yield required(lead + name)
    before = old if isinstance(old, dict) else {}
    for name, part in value.items():
        child = child_of(schema, name)
        if child is not None:
            yield from check(child, part, before.get(name, MISSING), lead + name)


def _junctors(schema: Obj, value: Any, path: str) -> Errors:
    def wrong(branch: Obj) -> list[FieldError]:
        return list(check(branch, value, path=path))

    name = shown(path)
    if schema.get("allOf"):
        errors = [error for branch in schema["allOf"] for error in wrong(branch)]
        if errors:
            yield invalid_value(path, "", f"{name} must validate all the schemas (allOf)")
            yield from errors
    if schema.get("anyOf"):
        tried = [wrong(branch) for branch in schema["anyOf"]]
        if all(tried):
            yield invalid_value(path, "", f"{name} must validate at least one schema (anyOf)")
            yield from min(tried, key=len)
    if schema.get("oneOf"):
        tried = [wrong(branch) for branch in schema["oneOf"]]
        fitting = sum(not errors for errors in tried)
        if fitting != 1:
            found = f"Found {fitting} valid alternatives" if fitting else "Found none valid"
            yield invalid_value(path, "", f"{name} must validate one and only one schema (oneOf). {found}")
            if not fitting:
                yield from min(tried, key=len)
    if isinstance(schema.get("not"), dict) and not wrong(schema["not"]):
        yield invalid_value(path, "", f"{name} must not validate the schema (not)")
