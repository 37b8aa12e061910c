"""Admission policies: what may be written, each mistake in its place."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.meta import copy_obj
from kubelab.units.admissionbinding import VALIDATING_ADMISSION_POLICY_BINDING as BINDING
from kubelab.units.admissionpolicy import MUTATING_ADMISSION_POLICY as MUTATING
from kubelab.units.admissionpolicy import VALIDATING_ADMISSION_POLICY as POLICY
from kubelab.units.catalogue import Kind

pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")

MATCH = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}
PARAMS = {"apiVersion": "v1", "kind": "ConfigMap"}


def told(kind: Kind, spec: dict[str, Any]) -> list[str]:
    obj = {"metadata": {"name": "p"}, "spec": copy_obj(spec)}
    kind.default(obj)
    return [str(error) for error in kind.validate(obj)]


def checked(expression: str, **spec: Any) -> list[str]:
    """Return what is told of the expression of a policy's one validation."""
    path = "spec.validations[0].expression: "
    found = told(POLICY, {"matchConstraints": MATCH, "validations": [{"expression": expression}], **spec})
    return [text.removeprefix(path) for text in found]


@pytest.mark.parametrize(("expression", "spec", "message"), [
    ("object.spec.x", {}, 'Invalid value: "object.spec.x": must evaluate to bool but got dyn'),
    ("1 + 1", {}, 'Invalid value: "1 + 1": must evaluate to bool but got int'),
    ("params.x == 1", {}, "undeclared reference to 'params' (in container '')"),
    ("params.x == 1", {"paramKind": PARAMS}, ""),
    ("request.nope == 1", {}, "ERROR: <input>:1:8: undefined field 'nope'"),
    ("request.dryRun == 1", {}, "found no matching overload for '_==_' applied to '(bool, int)'"),
    ("request.userInfo.groups.exists(g, g == 'x') && request.options.a == 1", {}, ""),
    ("namespaceObject.metadata.labels['a'] == 'b'", {}, ""),
    ("namespaceObject.spec.x == 1", {}, "undefined field 'x'"),
    ("variables.a == 1", {}, "undeclared reference to 'variables' (in container '')"),
    ("variables.a == 1", {"variables": [{"name": "a", "expression": "1"}]}, ""),
    ("variables.a == 'x'", {"variables": [{"name": "a", "expression": "1"}]},
     "found no matching overload for '_==_' applied to '(int, string)'"),
    ("variables.b == 1", {"variables": [{"name": "a", "expression": "1"}]}, "undefined field 'b'"),
    ("authorizer.group('apps').resource('deployments').check('create').allowed()", {}, ""),
])
def test_what_an_expression_may_name(expression: str, spec: dict[str, Any], message: str) -> None:
    """Names have types as far as those are known before a request comes; the whole comes to yes or no."""
    found = checked(expression, **spec)
    assert [message in text for text in found] == ([True] if message else []), found


@pytest.mark.parametrize(("spec", "messages"), [
    ({"validations": [{"expression": "true", "messageExpression": "1"}]},
     ['spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int']),
    ({"validations": [{"expression": "true", "messageExpression": "authorizer.x"}]},
     ["spec.validations[0].messageExpression: Invalid value: \"authorizer.x\": compilation failed: ERROR: <input>:1:1: "
      "undeclared reference to 'authorizer' (in container '')\n | authorizer.x\n | ^"]),
    ({"auditAnnotations": [{"key": "k", "valueExpression": " 1 "}]},
     ['spec.auditAnnotations[0].valueExpression: Invalid value: " 1 ": must evaluate to one of [string null_type] but '
      "got int"]),
    ({"auditAnnotations": [{"key": "k", "valueExpression": "'" + "x" * 5120 + "'"}]},
     ["spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in length"]),
    ({"validations": [{"expression": "true"}], "matchConditions": [{"name": "", "expression": " 1"}]},
     ['spec.matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int',
      "spec.matchConditions[0].name: Required value"]),
    ({"validations": [{"expression": "true"}], "variables": [{"name": "in", "expression": "x"}]},
     ['spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier',
      'spec.variables[0].expression: Invalid value: "x": compilation failed: ERROR: <input>:1:1: undeclared reference '
      "to 'x' (in container '')\n | x\n | ^"]),
    ({}, [f"spec.{part}: Required value: validations or auditAnnotations must contain at least one item"
          for part in ("validations", "auditAnnotations")]),
])
def test_each_mistake_stands_in_its_place(spec: dict[str, Any], messages: list[str]) -> None:
    """Expressions are told of where they stand, not after all else."""
    assert told(POLICY, {"matchConstraints": MATCH, **spec}) == messages


def test_mutations_are_compiled_too() -> None:
    """A mutation that names what is not there is refused."""
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: nope}"}}
    found, = told(MUTATING, {"matchConstraints": MATCH, "mutations": [mutation]})
    assert found.startswith("spec.mutations[0].applyConfiguration.expression: Invalid value")
    assert "undeclared reference to 'nope'" in found


def test_what_a_mutating_policy_may_not_say() -> None:
    """Only what is written is changed, in one way, and the policy says whether it looks again."""
    match = {"resourceRules": [MATCH["resourceRules"][0] | {"operations": ["CREATE", "DELETE"]}]}
    assert told(MUTATING, {"matchConstraints": match, "reinvocationPolicy": "Sometimes", "mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": " "}, "applyConfiguration": {"expression": "x"}},
        {"patchType": "ApplyConfiguration"}, {"patchType": "X"}]}) == [
        'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "CREATE", '
        '"UPDATE"', "spec.mutations[0].jsonPatch.expression: Required value",
        'spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when '
        "patchType is JSONPatch",
        "spec.mutations[1].applyConfiguration: Required value: must be specified when patchType is ApplyConfiguration",
        'spec.mutations[2].patchType: Unsupported value: "X": supported values: "ApplyConfiguration", "JSONPatch"',
        'spec.reinvocationPolicy: Unsupported value: "Sometimes": supported values: "IfNeeded", "Never"']


def test_what_is_told_of_a_policy_names_its_place() -> None:
    """A warning has a text and a path; conditions are as everywhere."""
    status = {"typeChecking": {"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning": "w"},
                                                      {"fieldRef": "spec[", "warning": ""}, {"warning": "w"}]}}
    found = [str(error) for error in POLICY.validate_part({"status": status}, {}, "status")]
    place = "status.typeChecking.expressionWarnings"
    assert found[0] == f"{place}[1].warning: Required value"
    assert found[1].startswith(f'{place}[1].fieldRef: Invalid value: "spec[": invalid JSONPath: ')
    assert found[2:] == [f"{place}[2].fieldRef: Required value"]


def test_bindings() -> None:
    """A binding names a policy, what its parameters are, and what to do."""
    assert told(BINDING, {"policyName": "P", "paramRef": {"name": "x", "parameterNotFoundAction": "X"},
                          "matchResources": {"matchPolicy": "X"}, "validationActions": ["Deny", "Warn", "Deny"]}) == [
        'spec.policyName: Invalid value: "P": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
        "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
        "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        'spec.paramRef.parameterNotFoundAction: Unsupported value: "X": supported values: "Deny", "Allow"',
        'spec.matchResources.matchPolicy: Unsupported value: "X": supported values: "Equivalent", "Exact"',
        'spec.validationActions[2]: Duplicate value: "Deny"',
        'spec.validationActions: Invalid value: ["Deny","Warn","Deny"]: must not contain both Deny and Warn (repeating '
        "the same validation failure information in the API response and headers serves no purpose)"]
