"""Type checks of policies: what an expression would not find in the kinds that it is for."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.units import by_path
from kubelab.units.admission_typecheck import Type, built_in, custom, warnings

pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")

WIDGET = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}


def find(group: str, version: str, plural: str) -> str | None:
    kind = by_path(group, version, plural)
    return kind.kind if kind is not None else "Widget" if plural == "widgets" else None


def shape(type_: Type) -> Any:
    return custom(WIDGET) if type_[2] == "Widget" else built_in(type_)


def told(expression: str, resources: dict[str, list[str]], **spec: Any) -> list[str]:
    """Return the warnings of a policy with this validation for resources by group."""
    rules = [{"apiGroups": [group], "apiVersions": ["v1"], "resources": plurals, "operations": ["*"]}
             for group, plurals in resources.items()]
    spec |= {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": expression}]}
    return [found["warning"] for found in warnings({"spec": spec}, find, shape)]


@pytest.mark.parametrize("expression", [
    "object.spec.replicas > 1 && object.metadata.labels['a'] == 'b'",
    "object.spec.template.spec.containers.all(c, c.name != '' && quantity(c.resources.limits['cpu']).sign() > 0)",
    "oldObject == null || object.spec.strategy.rollingUpdate.maxSurge == 1",
    "object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')",
    "variables.x == 'a'",
])
def test_what_is_there_is_not_warned_of(expression: str) -> None:
    """Fields of a built-in kind, deep ones and those of open types, are known."""
    assert told(expression, {"apps": ["deployments"]}, variables=[{"name": "x", "expression": "object.kind"}]) == []


def test_each_kind_that_lacks_a_field_is_named() -> None:
    """A warning has a paragraph for each kind, in their order."""
    assert told("object.spec.replicas > 1", {"": ["pods"], "apps": ["deployments", "daemonsets"]}) == [
        "/v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'replicas'\n | object.spec.replicas > 1\n | ...........^\n"
        "\napps/v1, Kind=DaemonSet: ERROR: <input>:1:12: undefined field 'replicas'\n | object.spec.replicas > 1\n"
        " | ...........^\n"]


def test_custom_kinds_and_parameters_have_types_too() -> None:
    """A custom resource has its schema's fields and full metadata; parameters are of their kind."""
    assert told("object.spec.size < 3 && object.metadata.annotations.size() > 0", {"example.com": ["widgets"]}) == []
    wrong, = told("object.spec.size < params.data['max']", {"example.com": ["widgets"]},
                  paramKind={"apiVersion": "v1", "kind": "ConfigMap"})
    assert "example.com/v1, Kind=Widget: ERROR: <input>:1:18: found no matching overload for '_<_'" in wrong


@pytest.mark.parametrize("rule", [
    {"": ["*"]}, {"*": ["pods"]}, {"": ["pods/status"]}, {"": ["nothing"]},
])
def test_what_names_no_kind_is_not_checked(rule: dict[str, list[str]]) -> None:
    """Wildcards, subresources and resources that nobody serves say nothing of a type."""
    assert told("object.nope", rule) == []
