"""Values against schemas: what a real API server 1.36 answered, keyword by keyword."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.openapi_check import check

INT = {"type": "integer"}
EITHER = [{"required": ["a"]}, {"required": ["b"]}]
AB = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}


def typed(actual: str, wanted: str) -> str:
    return f'x: Invalid value: "{actual}": x in body must be of type {wanted}: "{actual}"'


def whole(text: str) -> str:
    return f'<nil>: Invalid value: "": {text}'


@pytest.mark.parametrize(("schema", "value", "wanted"), [
    (INT, 1.5, [typed("number", "integer"), whole("Checked value must be of type integer (default format) in x")]),
    (INT | {"format": "int32"}, 2**31, [whole("Checked value must be of type integer with format int32 in x")]),
    (INT | {"format": "int64"}, 1.5, [typed("float64", "int64"),
                                      whole("Checked value must be of type integer with format int64 in x")]),
    ({"type": "number", "format": "float"}, 1e39,
     [whole("Checked value must be of type number with format float in x")]),
    ({"type": "string", "format": "date"}, 1, [typed("int64", "date")]),
    ({"type": "number", "minimum": 1.5, "maximum": 2.5}, 1, []),
    ({"type": "number", "minimum": 1.5, "maximum": 2.5}, 3,
     ["x: Invalid value: 3: x in body should be less than or equal to 2"]),
    ({"type": "number", "multipleOf": 0.1}, 0.3, []),
    ({"type": "number", "multipleOf": 0.1}, 1,
     ["x: Invalid value: 0: factor MultipleOf declared for x must be positive: 0"]),
    (INT | {"minimum": 1, "exclusiveMinimum": True}, 1, ["x: Invalid value: 1: x in body should be greater than 1"]),
    ({"type": "string", "pattern": "^a", "enum": ["a", "b"], "minLength": 3}, "c", [
        'x: Invalid value: "c": x in body should be at least 3 chars long',
        'x: Unsupported value: "c": supported values: "a", "b"']),
    (INT | {"enum": [1, 2]}, "x", [
        typed("string", "integer"), 'x: Unsupported value: "x": supported values: "1", "2"']),
    ({"type": "string", "nullable": True, "enum": ["a", None]}, None,
     ['x: Unsupported value: null: supported values: "a", "null"']),
    ({"type": "array", "items": {"type": "string"}, "minItems": 1}, [],
     ["x: Invalid value: 0: x in body should have at least 1 items"]),
    ({"type": "object", "minProperties": 1}, {}, ["x: Invalid value: 0: x in body should have at least 1 properties"]),
    ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, True, [
        typed("boolean", "integer,string"), whole('"x" must validate at least one schema (anyOf)'),
        typed("boolean", "integer")]),
    (INT | {"allOf": [{"minimum": 1}, {"maximum": 5}, {"multipleOf": 2}]}, 7, [
        "x: Invalid value: 7: x in body should be less than or equal to 5",
        "x: Invalid value: 7: x in body should be a multiple of 2",
        whole('"x" must validate all the schemas (allOf)')]),
    (AB | {"oneOf": EITHER}, {}, [whole('"x" must validate one and only one schema (oneOf). Found none valid'),
                                  "x.a: Required value"]),
    (AB | {"oneOf": EITHER}, {"a": "", "b": ""},
     [whole('"x" must validate one and only one schema (oneOf). Found 2 valid alternatives')]),
    (AB | {"not": {"required": ["a"]}}, {"a": ""}, [whole('"x" must not validate the schema (not)')]),
    ({"type": "array", "items": {"type": "string"}}, {"a": 1}, [typed("object", "array")]),
])
def test_what_is_said_of_a_value(schema: dict[str, Any], value: Any, wanted: list[str]) -> None:
    """Nothing more, nothing less, in this order."""
    assert [str(error) for error in check(schema, value, path="x")] == wanted
