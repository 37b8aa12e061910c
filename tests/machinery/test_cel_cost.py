"""What an expression may cost at most: upstream's numbers, worked out from its rules."""

from __future__ import annotations

import pytest

from kubelab.machinery.cel_cost import UNBOUNDED, estimate
from kubelab.machinery.request import Obj

cel_ast = pytest.importorskip("kubelab.machinery.cel_ast")
pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")

INTEGER, STRING, SHORT = {"type": "integer"}, {"type": "string"}, {"type": "string", "maxLength": 10}


def listed(items: Obj, **more: int) -> Obj:
    return {"type": "array", "items": items, **more}


def cost(schema: Obj, expression: str) -> int:
    from kubelab.machinery.cel_types import Typed, shape_of

    shape = shape_of(schema)
    assert shape is not None
    return estimate(cel_ast.tree(Typed({"self": shape}).compile(expression).checked()), {"self": shape})


@pytest.mark.parametrize(("schema", "expression", "most"), [
    (listed(INTEGER), "self.all(x, true)", 4_718_591),
    (listed(INTEGER, maxItems=10), "self.all(x, true)", 32),
    (listed(STRING), "self.all(x, true)", 3_145_727),
    (SHORT, "self == 'abc'", 2), (SHORT, "self.contains('abc')", 5), (SHORT, "self.matches('abcd')", 6),
    (SHORT, "self.startsWith('abcdefghijkl')", 3), (SHORT, "self.lowerAscii() == 'x'", 6),
    (listed(SHORT, maxItems=5), "'x' in self", 6), (listed(INTEGER, maxItems=4), "self.sum() == 1", 6),
    ({"type": "object", "properties": {"a": SHORT}}, "has(self.a)", 1),
    ({"type": "object", "properties": {"a": SHORT, "b": SHORT}}, "self.a + self.b == 'x'", 13),
    ({"type": "object", "properties": {"a": INTEGER}}, "self.a > 1 && self.a < 9 || self.a == 20", 8),
    ({"type": "object", "additionalProperties": INTEGER, "maxProperties": 3}, "self.all(k, self[k] > 1)", 23),
    (SHORT, "[1, 2, 3, 4].slice(1, 3).size() == 2", 25), (SHORT, "lists.range(3).size() == 3", 16),
    (SHORT, "[1, 2, 3, 4].sort() == [1]", 64), (listed(SHORT, maxItems=4), "self.distinct() == self", 48),
    (SHORT, "string(1) + self == 'x'", 11),
    (listed(INTEGER, maxItems=3), "self.map(x, x + 1).all(y, y > 1)", 70),
    (listed(listed(STRING)), "self.all(x, x.all(y, y.contains(y)))", UNBOUNDED),
])
def test_an_estimate_is_upstreams(schema: Obj, expression: str, most: int) -> None:
    """Sizes come from the schema, or from what fits into a request; loops multiply."""
    assert cost(schema, expression) == most
