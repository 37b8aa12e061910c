"""Values against OpenAPI schemas, in the words of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.openapi_check import check, twins


def told(schema: dict[str, Any], value: Any, old: Any = None) -> list[str]:
    return [str(e) for e in check(schema, value, *([] if old is None else [old]), path="spec.x")]


@pytest.mark.parametrize(("schema", "value", "message"), [
    ({"type": "integer"}, "a", 'Invalid value: "string": spec.x in body must be of type integer: "string"'),
    ({"type": "integer"}, True, 'Invalid value: "boolean": spec.x in body must be of type integer: "boolean"'),
    ({"type": "string"}, None, 'Invalid value: "null": spec.x in body must be of type string: "null"'),
    ({"x-kubernetes-int-or-string": True}, True,
     'Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean"'),
    ({"type": "integer", "minimum": 1}, 0, "Invalid value: 0: spec.x in body should be greater than or equal to 1"),
    ({"type": "integer", "maximum": 1, "exclusiveMaximum": True}, 1,
     "Invalid value: 1: spec.x in body should be less than 1"),
    ({"type": "integer", "multipleOf": 5}, 7, "Invalid value: 7: spec.x in body should be a multiple of 5"),
    ({"type": "string", "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
    ({"type": "string", "minLength": 2}, "a", 'Invalid value: "a": spec.x in body should be at least 2 chars long'),
    ({"type": "string", "pattern": "^b"}, "a", 'Invalid value: "a": spec.x in body should match \'^b\''),
    ({"type": "string", "format": "ipv4"}, "a", 'Invalid value: "a": spec.x in body must be of type ipv4: "a"'),
    ({"type": "string", "format": "date-time"}, "2026", 'Invalid value: "2026": spec.x in body must be of type '
     'date-time: "2026"'),
    ({"type": "string", "enum": ["b", "a"]}, "c", 'Unsupported value: "c": supported values: "b", "a"'),
    ({"type": "array", "maxItems": 1}, [1, 2], "Too many: 2: must have at most 1 item"),
    ({"type": "array", "minItems": 1}, [], "Invalid value: 0: spec.x in body should have at least 1 items"),
    ({"type": "object", "maxProperties": 0}, {"a": 1}, "Too many: 1: must have at most 0 items"),
    ({"type": "object", "minProperties": 1}, {}, "Invalid value: 0: spec.x in body should have at least 1 properties"),
])
def test_each_keyword_in_its_words(schema: dict[str, Any], value: Any, message: str) -> None:
    """What a keyword refuses is told with path, value and rule."""
    assert told(schema, value) == [f"spec.x: {message}"]


def test_branches() -> None:
    """anyOf, oneOf and allOf say how many fitted, and what was wrong with the nearest."""
    either = [{"required": ["a"]}, {"required": ["b"]}]
    assert told({"anyOf": either}, {"a": 1}) == []
    first = told({"anyOf": either}, {})[0]
    assert first == '<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)'
    assert "Found 2 valid alternatives" in told({"oneOf": either}, {"a": 1, "b": 1})[0]
    assert told({"allOf": either}, {"a": 1})[0] == "spec.x.b: Required value"


def test_paths_of_parts() -> None:
    """Fields, elements and map values are named where they stand."""
    inner = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    assert told({"type": "array", "items": inner}, [{"n": 1}, {}]) == ["spec.x[1].n: Required value"]
    assert told({"type": "object", "additionalProperties": inner}, {"k": {}}) == ["spec.x.k.n: Required value"]


def test_sets_and_maps_hold_nothing_twice() -> None:
    """The second of two equal elements is the duplicate."""
    plain = {"type": "array", "x-kubernetes-list-type": "set"}
    assert [str(error) for error in twins(plain, ["a", "b", "a", "a"], "spec.x")] == [
        'spec.x[2]: Duplicate value: "a"']
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
             "items": {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer"}}}}
    found = twins({"type": "object", "properties": {"x": keyed}}, {"x": [{"n": "a"}, {"n": "a", "v": 2}]})
    assert [str(error) for error in found] == ['x[1]: Duplicate value: {"n":"a"}']


def test_what_was_wrong_before_is_not_told_again() -> None:
    """An update may leave an invalid field as it was, and may not make another one invalid."""
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"type": "integer",
                                                                                           "minimum": 1}}}
    assert told(schema, {"a": 0, "b": 1}, {"a": 0, "b": 2}) == []
    assert told(schema, {"a": 0, "b": 0}, {"a": 0, "b": 2}) == [
        "spec.x.b: Invalid value: 0: spec.x.b in body should be greater than or equal to 1"]
