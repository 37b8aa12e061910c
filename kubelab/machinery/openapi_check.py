"""Values against OpenAPI schemas, as Kubernetes does it for custom resources, in the words of its validator.

    check(schema, value, old, "spec") ─► [FieldError("spec.size", "Invalid value: 0: spec.size in body should be ...")]

Invariant: what an update leaves as it was is not complained of again (ratcheting).
Models:    k8s.io/kube-openapi/pkg/validation, apiextensions-apiserver/pkg/apiserver/validation and schema/listtype
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kubelab.machinery import go_regex
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required, shown
from kubelab.machinery.formats import has_format, is_known
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import INT_OR_STRING, child_of

Errors = Iterator[FieldError]
NOWHERE = "<nil>"
EPSILON, MAX_FLOAT32 = 1e-9, 3.4028234663852886e38
MISSING: Any = object()
"""The old value of what was not there, or of what cannot be told to be the same thing as before."""


def check(schema: Obj, value: Any, old: Any = MISSING, path: str = "") -> Errors:
    """Yield everything that is wrong with a value."""
    yield from _checked(schema, value, old, path)[0]


def _checked(schema: Obj, value: Any, old: Any, path: str) -> tuple[list[FieldError], int]:
    """Return what is wrong with a value, and how much of it fits, by which the best of several schemas is told."""
    if old is not MISSING and old == value:
        return [], 0
    errors, fits = _type(schema, value, path)
    found = [*errors, *_junctors(schema, value, old, path)]
    if isinstance(value, str):
        found += [*_string(schema, value, path), *_format(schema, value, path)]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found += _number(schema, value, path)
    elif isinstance(value, list):
        below, more = _list(schema, value, old, path)
        found, fits = found + below, fits + more
    choices = schema.get("enum")
    if choices and not any(type(c) is type(value) and c == value for c in choices if c is not None):
        texts = ", ".join(shown(c if isinstance(c, str) else shown(c)) for c in choices)
        found.append(FieldError(path, "FieldValueNotSupported",
                                f"Unsupported value: {shown(value)}: supported values: {texts}"))
    if isinstance(value, dict):
        below, more = _object(schema, value, old, path)
        found, fits = found + below, fits + more
    return found, fits


def _type(schema: Obj, value: Any, path: str) -> tuple[list[FieldError], int]:
    types, format_ = _types(schema), _known_format(schema)
    if value is None:
        return ([_wrong_type(path, "null", ",".join(types))] if types and not schema.get("nullable") else []), 0
    if not types and not format_:
        return [], 0
    actual, texts = type_of(value), isinstance(value, (str, list))
    fits = actual in types or (actual == "integer" and "number" in types)
    if not texts and format_ and not fits:
        return [_wrong_type(path, _go_type(value), format_)], 0
    if (texts and format_ and not {"number", "integer"} & {*types}) or fits:
        return [], 1
    return [_wrong_type(path, actual, ",".join(types))], 0


def _types(schema: Obj) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _known_format(schema: Obj) -> str:
    format_ = schema.get("format") or ""
    return format_ if format_ and is_known(format_, schema.get("type") or "") else ""


def _go_type(value: Any) -> str:
    return "" if isinstance(value, (bool, dict)) else "int64" if isinstance(value, int) else "float64"


def type_of(value: Any) -> str:
    """Return the JSON schema type of a value."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case None:
            return "null"
    return "object"


def _wrong_type(path: str, actual: str, wanted: str) -> FieldError:
    text = f'{path} in body must be of type {wanted}: "{actual}"'
    return FieldError(_field(path), "FieldValueTypeInvalid", f'Invalid value: "{actual}": {text}')


def _says(path: str, value: Any, words: str) -> FieldError:
    return invalid_value(_field(path), value, f"{path} in body {words}")


def _of_all(text: str) -> FieldError:
    """What is said of the whole and not of a field."""
    return invalid_value(NOWHERE, "", text)


def _field(path: str) -> str:
    return path.removeprefix(".")


def _too_many(path: str, count: int, limit: int) -> FieldError:
    return FieldError(_field(path), "FieldValueTooMany", f"Too many: {count}: must have at most {limit} "
                      + ("item" if limit == 1 else "items"))


def _string(schema: Obj, value: str, path: str) -> Errors:
    """The first thing that is wrong with a string, its format aside."""
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        yield FieldError(_field(path), "FieldValueTooLong", f"Too long: may not be more than {longest} bytes")
    elif shortest is not None and len(value) < shortest:
        yield _says(path, value, f"should be at least {shortest} chars long")
    elif pattern and not go_regex.compiled(pattern).search(value):
        yield _says(path, value, f"should match '{pattern}'")


def _format(schema: Obj, value: str, path: str) -> Errors:
    format_ = _known_format(schema)
    if format_ and schema.get("type") not in ("integer", "number") and not has_format(format_, value):
        text = f"{path} in body must be of type {format_}: {shown(value)}"
        yield FieldError(_field(path), "FieldValueTypeInvalid", f"Invalid value: {shown(value)}: {text}")


def regex_error(pattern: str) -> str:
    """Return why a pattern is none, or "" """
    try:
        go_regex.compiled(pattern)
    except go_regex.GoRegexError as error:
        return str(error)
    return ""


def _number(schema: Obj, value: float, path: str) -> Errors:
    kind, format_ = schema.get("type"), _known_format(schema)
    whole = isinstance(value, int)
    limit = 1 << (31 if format_ == "int32" else 63)
    if kind == "integer" and not (whole and -limit <= value < limit):
        yield _of_all(f"Checked value must be of type integer {_named(format_)} in {path}")
    elif kind == "number" and format_ == "float" and abs(value) > MAX_FLOAT32:
        yield _of_all(f"Checked value must be of type number with format float in {path}")
    low, high, step = (int(bound) if whole and bound is not None else bound
                       for bound in (schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")))
    if step is not None and step <= 0:
        yield invalid_value(_field(path), step,
                            f"factor MultipleOf declared for {path} must be positive: {shown(step)}")
    elif step is not None and (value % step if whole else _off_step(value, step)):
        yield _says(path, value, f"should be a multiple of {shown(step)}")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        yield _says(path, value, f"should be greater than {'' if schema.get('exclusiveMinimum') else 'or equal to '}"
                    f"{shown(low)}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        yield _says(path, value, f"should be less than {'' if schema.get('exclusiveMaximum') else 'or equal to '}"
                    f"{shown(high)}")


def _named(format_: str) -> str:
    return f"with format {format_}" if format_ else "(default format)"


def _off_step(value: float, step: float) -> bool:
    times = 1 / step * value if step < 1 else value / step
    return abs(times - round(times)) > EPSILON * max(abs(times), 1)


def _list(schema: Obj, value: list[Any], old: Any, path: str) -> tuple[list[FieldError], int]:
    most, least, items = schema.get("maxItems"), schema.get("minItems"), schema.get("items")
    errors, fits = list[FieldError](), 0
    if isinstance(items, dict):
        before = old_items(schema, old)
        for i, item in enumerate(value):
            below, more = _checked(items, item, before(item), f"{path}[{i}]")
            errors, fits = errors + below, fits + more
    if least is not None and len(value) < least:
        errors.append(_says(path, len(value), f"should have at least {least} items"))
    if most is not None and len(value) > most:
        errors.append(_too_many(path, len(value), most))
    return errors, fits


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
            for key in schema.get("x-kubernetes-list-map-keys") or ()
            if key in item or (defaults.get(key) or {}).get("default") is not None}


def old_items(schema: Obj, old: Any) -> Callable[[Any], Any]:
    """Return what finds the old element of a new one: by its keys, in a map list alone."""
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return lambda item: MISSING
    by_key = {shown(map_key(schema, item)): item for item in old}
    return lambda item: by_key.get(shown(map_key(schema, item)), MISSING)


def _object(schema: Obj, value: Obj, old: Any, path: str) -> tuple[list[FieldError], int]:
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    errors, fits = list[FieldError](), 0
    if least is not None and len(value) < least:
        errors.append(_says(path, len(value), f"should have at least {least} properties"))
    if most is not None and len(value) > most:
        errors.append(_too_many(path, len(value), most))
    before, lead = old if isinstance(old, dict) else {}, f"{path}." if path else ""
    known = schema.get("properties") or {}
    for name, part in value.items():
        child = child_of(schema, name)
        if child is not None:
            where = lead + name if name in known else f"{path}.{name}"
            below, more = _checked(child, part, before.get(name, MISSING), where)
            errors, fits = errors + below, fits + more
    errors += [required(lead + name) for name in schema.get("required") or () if name not in value]
    return errors, fits


def _junctors(schema: Obj, value: Any, old: Any, path: str) -> Errors:
    """What several schemas say together; of those that do not fit, the one is told that fits best."""
    if value is None:
        return
    name = shown(path)
    if schema.get("anyOf"):
        tried = [_checked(branch, value, old, path) for branch in schema["anyOf"]]
        if all(errors for errors, _ in tried):
            yield _of_all(f"{name} must validate at least one schema (anyOf)")
            yield from max(tried, key=lambda one: one[1])[0]
    if schema.get("oneOf"):
        tried = [_checked(branch, value, old, path) for branch in schema["oneOf"]]
        fitting = sum(not errors for errors, _ in tried)
        if fitting != 1:
            found = f"Found {fitting} valid alternatives" if fitting else "Found none valid"
            yield _of_all(f"{name} must validate one and only one schema (oneOf). {found}")
            if not fitting:
                yield from max(tried, key=lambda one: one[1])[0]
    wrong = [_checked(branch, value, old, path)[0] for branch in schema.get("allOf") or ()]
    if any(wrong):
        yield from (error for errors in wrong for error in errors)
        yield _of_all(f"{name} must validate all the schemas (allOf){'. None validated' * all(wrong)}")
    if isinstance(schema.get("not"), dict) and not _checked(schema["not"], value, old, path)[0]:
        yield _of_all(f"{name} must not validate the schema (not)")
