"""Types of CEL from schemas."""

from __future__ import annotations

import sys

import pytest

from kubelab.machinery.cel import MISSING, CelError
from kubelab.machinery.cel_types import Typed, shape_of
from kubelab.machinery.request import Obj

STRING, INTEGER = {"type": "string"}, {"type": "integer"}
SCHEMA: Obj = {"type": "object", "properties": {
    "a": INTEGER, "a-b": STRING, "in": STRING, "foo_bar": STRING, "fooBar": STRING, "$odd": STRING,
    "any": {"x-kubernetes-int-or-string": True}, "labels": {"type": "object", "additionalProperties": STRING},
    "rows": {"type": "array", "items": {"type": "array", "items": INTEGER}},
    "at": {"type": "string", "format": "date-time"}, "untold": {"x-kubernetes-preserve-unknown-fields": True}}}


@pytest.mark.parametrize(("expression", "type_"), [
    ("self.a + 1", "int"), ("self.a__dash__b + self.__in__", "string"), ("self.foo_bar + self.fooBar", "string"),
    ("self.any == 1 || self.any == 'x'", "bool"), ("self.labels['x'] + ''", "string"),
    ("self.labels.all(k, k.size() > 1)", "bool"), ("self.rows.all(r, r.all(n, n > 1))", "bool"),
    ("self.at < timestamp('2030-01-01T00:00:00Z')", "bool"), ("self.metadata.name + self.kind", "string"),
])
def test_fields_have_the_types_of_their_schema(expression: str, type_: str) -> None:
    """Names that CEL cannot write are escaped; a resource has a kind and a name whatever its schema says."""
    pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")
    shape = shape_of(SCHEMA, resource=True)
    assert shape is not None
    assert Typed({"self": shape}).compile(expression).returns == type_


@pytest.mark.parametrize("expression", [
    "self.untold", "self.metadata.labels", "self.nope", "self.a.b", "self.at == 'x'"])
def test_what_has_no_type_is_no_field(expression: str) -> None:
    """What a schema says nothing of cannot be named."""
    pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")
    shape = shape_of(SCHEMA, resource=True)
    assert shape is not None
    with pytest.raises(CelError):
        Typed({"self": shape}).compile(expression)


@pytest.mark.parametrize(("schema", "most", "least"), [
    (STRING, 3145726, 2), (STRING | {"maxLength": 5}, 20, 2), (STRING | {"enum": ["ab", "é"]}, 2, 2), (INTEGER, 0, 1),
    ({"type": "array", "items": INTEGER}, 1572863, 2), ({"type": "object", "additionalProperties": INTEGER}, 449389, 2),
    ({"type": "object", "properties": {"ab": STRING}, "required": ["ab"]}, 0, 10),
    (STRING | {"format": "duration"}, 30, 4),
])
def test_bounds_come_from_the_schema_or_from_what_a_request_holds(schema: Obj, most: int, least: int) -> None:
    """How many elements there can be, and how few bytes a value takes."""
    shape = shape_of(schema)
    assert shape is not None and (shape.most, shape.bytes) == (most, least)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment cannot be made, and that is no crash."""
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(CelError, match="pip install") as missing:
        Typed({"self": "int"})
    assert str(missing.value) == MISSING
