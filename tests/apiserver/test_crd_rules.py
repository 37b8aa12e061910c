"""CEL rules of custom resources: compiled with the definition, asked on every write, told in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.request import Obj

from .conftest import World
from .crds import CRDS, WIDGETS, crd, of_spec, version, widget
from .test_crd import body, patch

pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")

INTEGER, STRING = {"type": "integer"}, {"type": "string"}


def ruled(*rules: Obj, **properties: Any) -> Obj:
    schema = of_spec(**properties)
    schema["properties"]["spec"]["x-kubernetes-validations"] = list(rules)
    return crd(version(schema=schema))


async def refusal(world: World, definition: Obj, spec: Obj) -> str:
    """Define, create a widget with this spec, and return why it is refused ("" when it is not)."""
    body(await world.send("POST", CRDS, definition), 201)
    response = await world.send("POST", WIDGETS, widget(spec=spec))
    if response.status == 201:
        return ""
    return str(body(response, 422)["message"]).removeprefix('Widget.example.com "w" is invalid: ')


async def test_a_rule_refuses_with_its_message(world: World) -> None:
    """`message` is told at the place of the rule."""
    definition = ruled({"rule": "self.min <= self.max", "message": "min above max"}, min=INTEGER, max=INTEGER)
    assert await refusal(world, definition, {"min": 3, "max": 2}) == "spec: Invalid value: min above max"
    body(await world.send("POST", WIDGETS, widget("good", spec={"min": 1, "max": 2})), 201)


@pytest.mark.parametrize(("rule", "told"), [
    ({"rule": "self.a > 1"}, "spec: Invalid value: failed rule: self.a > 1"),
    ({"rule": "self.a > 1", "messageExpression": "'a is ' + string(self.a)"}, "spec: Invalid value: a is 1"),
    ({"rule": "self.a > 1", "fieldPath": ".a", "reason": "FieldValueForbidden", "message": "no"},
     "spec.a: Forbidden: no"),
    ({"rule": "self.a > 1", "fieldPath": ".b", "reason": "FieldValueRequired", "message": "b then"},
     "spec.b: Required value: b then"),
    ({"rule": "self.b.size() > 1"}, 'spec: Invalid value: "object": no such key: b evaluating rule: self.b.size() > 1'),
    ({"rule": "has(self.b) || self.a == 1"}, ""),
    ({"rule": "quantity('1Gi').isGreaterThan(quantity('1Mi')) && isIP('10.0.0.1')"}, ""),
    ({"rule": "[1, 2].isSorted() && 'abc'.matches('^a') && 'x y'.split(' ').size() == 2"}, ""),
])
async def test_how_a_rule_says_no(world: World, rule: Obj, told: str) -> None:
    """Messages, reasons and field paths, and what has no value."""
    assert await refusal(world, ruled(rule, a=INTEGER, b=STRING), {"a": 1}) == told


async def test_transition_rules_see_the_old_value(world: World) -> None:
    """oldSelf is asked on updates alone; optionalOldSelf on creation, too."""
    definition = ruled({"rule": "self.a == oldSelf.a", "message": "a is immutable"},
                       {"rule": "oldSelf.hasValue() || self.a == 1", "optionalOldSelf": True,
                        "message": "begin with 1"}, a=INTEGER)
    assert await refusal(world, definition, {"a": 2}) == "spec: Invalid value: begin with 1"
    body(await world.send("POST", WIDGETS, widget(spec={"a": 1})), 201)
    refused = body(await patch(world, f"{WIDGETS}/w", {"spec": {"a": 2}}), 422)
    assert refused["message"].endswith("a is immutable")
    body(await patch(world, f"{WIDGETS}/w", {"metadata": {"labels": {"a": "b"}}}))


async def test_elements_of_map_lists_know_what_they_were(world: World) -> None:
    """A transition rule on an element compares it with the one of the same key."""
    item = {"type": "object", "required": ["name"], "properties": {"name": STRING, "v": INTEGER},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "only up"}]}
    listed = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    body(await world.send("POST", CRDS, crd(version(schema=of_spec(items=listed)))), 201)
    body(await world.send("POST", WIDGETS, widget(spec={"items": [{"name": "a", "v": 1}, {"name": "b", "v": 5}]})), 201)
    moved = {"spec": {"items": [{"name": "b", "v": 4}, {"name": "a", "v": 2}]}}
    refused = body(await patch(world, f"{WIDGETS}/w", moved), 422)
    assert [c["field"] for c in refused["details"]["causes"]] == ["spec.items[0]"]


async def test_names_that_cel_keeps_for_itself_are_escaped(world: World) -> None:
    """Fields called `namespace` or `a-b` are asked for under their escaped names; times are times."""
    definition = ruled({"rule": "self.__namespace__ == 'x' && self.a__dash__b == 1"},
                       {"rule": "self.at < timestamp('2030-01-01T00:00:00Z')", "message": "too late"},
                       namespace=STRING, **{"a-b": INTEGER, "at": {"type": "string", "format": "date-time"}})
    spec = {"namespace": "x", "a-b": 1, "at": "2031-01-01T00:00:00Z"}
    assert await refusal(world, definition, spec) == "spec: Invalid value: too late"


async def test_rules_are_not_asked_of_what_is_invalid_already(world: World) -> None:
    """A wrong type is told, and that rules were not checked."""
    told = await refusal(world, ruled({"rule": "self.a > 1"}, a=INTEGER), {"a": "x"})
    assert "must be of type integer" in told and "some validation rules were not checked" in told


@pytest.mark.parametrize(("rule", "told"), [
    ({"rule": "self.nope > 1"},
     "compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope > 1\n | ....^"),
    ({"rule": "self.a == 'x'"},
     "compilation failed: ERROR: <input>:1:8: found no matching overload for '_==_' applied to "
     "'(int, string)'\n | self.a == 'x'\n | .......^"),
    ({"rule": "self.a.b"}, "compilation failed: ERROR: <input>:1:7: type 'int' does not support field selection"),
    ({"rule": "self.a.startsWith(1)"}, "found no matching overload for 'startsWith' applied to 'int.(int)'"),
    ({"rule": "me.a.b == 1"},
     "ERROR: <input>:1:1: undeclared reference to 'me' (in container '')\n | me.a.b == 1\n | ^"),
    ({"rule": "true", "messageExpression": "self.b"},
     "messageExpression compilation failed: ERROR: <input>:1:5: undefined field 'b'"),
    ({"rule": "true", "optionalOldSelf": True},
     "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"),
    ({"rule": "self.a +"}, "compilation failed: ERROR: <input>:1:9: Syntax error"),
    ({"rule": "1 + 1"}, "cel expression must evaluate to a bool"),
    ({"rule": "true", "messageExpression": "1"}, "messageExpression must evaluate to a string"),
    ({"rule": " "}, "rule is not specified"),
])
async def test_a_definition_with_a_wrong_rule_is_refused(world: World, rule: Obj, told: str) -> None:
    """What does not compile, or does not say yes or no, is refused with the definition."""
    refused = body(await world.send("POST", CRDS, ruled(rule, a=INTEGER)), 422)
    assert told in refused["message"]
    assert "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]" in refused["message"]


async def test_rules_that_may_cost_too_much_are_refused(world: World) -> None:
    """Lists without bounds within lists are too many for one rule, and for all together; bounds make them few."""
    def nested(**bound: int) -> Obj:
        rows = {"type": "array", "items": {"type": "array", "items": STRING | {"maxLength": 10}, **bound}, **bound}
        return ruled({"rule": "self.rows.all(row, row.all(text, text.contains('x')))"}, rows=rows)

    place = "spec.validation.openAPIV3Schema"
    hint = ("(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and "
            "strings are declared)")
    refused = body(await world.send("POST", CRDS, nested()), 422)
    assert [(cause["field"], cause["message"]) for cause in refused["details"]["causes"]] == [
        (f"{place}.properties[spec].x-kubernetes-validations[0].rule",
         f"Forbidden: estimated rule cost exceeds budget by factor of more than 100x {hint}"),
        (f"{place}.properties[spec].x-kubernetes-validations[0].rule",
         "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"),
        (place, "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds "
                f"budget by factor of more than 100x {hint}")]
    body(await world.send("POST", CRDS, nested(maxItems=50)), 201)


async def test_without_the_package_rules_are_refused_with_what_to_install(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A definition with rules says what to install; one without is served."""
    from kubelab.machinery import cel, cel_types

    def missing(*_: object) -> None:
        raise cel.CelError(cel.MISSING)

    monkeypatch.setattr(cel_types, "environment", missing)
    refused = body(await world.send("POST", CRDS, ruled({"rule": "self.a > 1"}, a=INTEGER)), 422)
    assert "pip install 'kubelab[cel]'" in refused["message"]
    body(await world.send("POST", CRDS, crd()), 201)
