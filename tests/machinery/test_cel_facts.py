"""CEL rules of custom resources: what a real API server 1.36 answered to values that break them."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.cel_rules import RULES, Where, compile_errors, rule_errors

TEXT = {"type": "string", "maxLength": 20}
FIELDS: dict[str, Any] = {
    "a": TEXT, "n": {"type": "integer"}, "f": {"type": "number"}, "nul": {**TEXT, "nullable": True},
    "l": {"type": "array", "maxItems": 10, "items": TEXT}, "ios": {"x-kubernetes-int-or-string": True},
    "m": {"type": "object", "maxProperties": 5, "additionalProperties": TEXT}, "namespace": TEXT}


def schema(rule: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": FIELDS, RULES: [{"rule": rule, **more}]}


@pytest.mark.parametrize(("rule", "value", "wanted"), [
    ({"rule": "self.a == 'x'"}, {"a": "q"}, "spec: Invalid value: failed rule: self.a == 'x'"),
    ({"rule": "self.a == 'x'", "messageExpression": "'got ' + self.a"}, {"a": "q"}, "spec: Invalid value: got q"),
    ({"rule": "self.a == 'x'", "message": "m", "messageExpression": "self.l[5]"}, {"a": "q", "l": []},
     "spec: Invalid value: m"),
    ({"rule": "self.a == 'x'", "reason": "FieldValueDuplicate", "fieldPath": ".a"}, {"a": "q"},
     "spec.a: Duplicate value"),
    ({"rule": "self.a == 'x'", "message": "no", "fieldPath": ".m['k.k']"}, {"a": "q"},
     "spec.m[k.k]: Invalid value: no"),
    ({"rule": "int(self.a) > 1"}, {"a": "q"}, "spec: Invalid value: \"object\": type conversion error from 'string' to "
                                              "'int' evaluating rule: int(self.a) > 1"),
    ({"rule": "self.ios > 5"}, {"ios": "x"}, "spec: Invalid value: \"object\": 'no such overload': call arguments did "
     "not match a supported operator, function or macro signature for rule: self.ios > 5"),
    ({"rule": "self.l[3] == 'x'"}, {"l": ["a"]},
     "spec: Invalid value: \"object\": index out of bounds: 3 evaluating rule: self.l[3] == 'x'"),
    ({"rule": "self.nul == 'x'"}, {"nul": None},
     "spec: Invalid value: \"object\": no such key: nul evaluating rule: self.nul == 'x'"),
])
def test_what_is_said_of_an_object(rule: dict[str, Any], value: Any, wanted: str) -> None:
    """An object that breaks a rule is not quoted; one that a rule cannot be asked of is called by its type."""
    whole = {"type": "object", "properties": {"spec": {**schema("true"), RULES: [rule]}}}
    assert [str(error) for error in rule_errors(whole, {"spec": value})] == [wanted]


def test_a_plain_value_is_quoted() -> None:
    """Strings and numbers that break a rule of their own are shown."""
    own = {"type": "object", "properties": {"s": {**TEXT, RULES: [{"rule": "self.size() > 2"}]}}}
    assert [str(e) for e in rule_errors(own, {"s": "a"})] == ['s: Invalid value: "a": failed rule: self.size() > 2']


@pytest.mark.parametrize("rule", [
    "self.f > 1", "self.f > self.n", "type(self.ios) == int", 'quantity("1") == quantity("1")',
    'sets.contains(self.l, ["a"])', 'self.namespace == "x"', 'self.__namespace__ == "x"', 'self.?a.orValue("x") == "x"',
])
def test_rules_that_may_be_written(rule: str) -> None:
    """Numbers compare across types, and what has no size costs one step."""
    assert list(compile_errors(schema(rule), "spec", Where(), [])) == []


@pytest.mark.parametrize(("value", "holds"), [(["a", "b"], True), (["b"], False)])
def test_sets(value: list[str], holds: bool) -> None:
    """Lists are compared as sets by functions of that name."""
    one = schema('sets.contains(self.l, ["a"]) && sets.equivalent(self.l, ["b", "a", "a"]) '
                 '&& sets.intersects(self.l, ["b"])')
    assert (list(rule_errors(one, {"l": value})) == []) is holds
