"""Admission policies: CEL that refuses, warns and changes."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.cel_literals import as_maps
from kubelab.machinery.request import Obj
from kubelab.units import Deployment

from .conftest import Growth, World, config_map, refused

V1 = "admissionregistration.k8s.io/v1"


def rules(group: str = "apps", resource: str = "deployments") -> Obj:
    return {"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                               "resources": [resource]}]}


async def policy(world: World, what: str, binding: Obj | None = None, **spec: Any) -> None:
    """Write a policy of Validating or Mutating and its binding, both named `p`."""
    spec.setdefault("matchConstraints", rules())
    plural = f"{what.lower()}admissionpolicies"
    if what == "Mutating":
        spec.setdefault("reinvocationPolicy", "Never")
    bound = {"policyName": "p", **({"validationActions": ["Deny"]} if what == "Validating" else {}), **(binding or {})}
    await world.client.create(plural, {"apiVersion": V1, "kind": f"{what}AdmissionPolicy", "metadata": {"name": "p"},
                                       "spec": spec})
    await world.client.create(f"{what.lower()}admissionpolicybindings", {
        "apiVersion": V1, "kind": f"{what}AdmissionPolicyBinding", "metadata": {"name": "b"}, "spec": bound})


async def test_a_policy_refuses(world: World) -> None:
    """The refusal names policy, binding and expression, and is Invalid unless it says otherwise."""
    await policy(world, "Validating", validations=[{"expression": "object.spec.replicas <= 2"}])
    error = await refused(world.client.create("deploy", Deployment("w", image="nginx", replicas=3)))
    assert error.message == ("deployments.apps \"w\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' "
                             "denied request: failed expression: object.spec.replicas <= 2")
    assert (error.code, error.reason) == (422, "Invalid")
    await world.client.create("deploy", Deployment("w", image="nginx", replicas=2))
    assert (await refused(world.client.patch("deploy", "w", {"spec": {"replicas": 9}}))).code == 422


async def test_a_variable_fails_where_it_is_looked_at(world: World) -> None:
    """One that comes to no value hurts nobody who does not need it; who does is told which one it was."""
    await policy(world, "Validating", variables=[{"name": "none", "expression": "object.spec.nope"}], validations=[
        {"expression": "object.spec.replicas == 1 || variables.none == 1"}])
    await world.client.create("deploy", Deployment("w", image="nginx", replicas=1))
    error = await refused(world.client.create("deploy", Deployment("v", image="nginx", replicas=2)))
    assert error.message.endswith('resulted in error: composited variable "none" fails to evaluate: no such key: nope')


async def test_variables_and_messages(world: World) -> None:
    """Expressions refer to variables, which refer to others; the message may be computed."""
    await policy(world, "Validating", variables=[
        {"name": "n", "expression": "object.spec.replicas"}, {"name": "odd", "expression": "variables.n % 2 == 1"}],
        validations=[{"expression": "!variables.odd", "reason": "Forbidden",
                      "messageExpression": "'replicas must be even, not ' + string(variables.n)"}])
    error = await refused(world.client.create("deploy", Deployment("w", image="nginx", replicas=3)))
    assert error.message.endswith("denied request: replicas must be even, not 3")
    assert (error.code, error.reason) == (403, "Forbidden")


async def test_an_annotation_without_a_value_denies_if_the_policy_may_not_fail(world: World) -> None:
    """What cannot be noted is refused, even where the binding only warns."""
    await policy(world, "Validating", {"validationActions": ["Warn"]}, auditAnnotations=[
        {"key": "k", "valueExpression": "string(object.spec.nope)"}])
    error = await refused(world.client.create("deploy", Deployment("w", image="nginx", replicas=1)))
    assert error.message.endswith("denied request: expression 'string(object.spec.nope)' resulted in error: no such "
                                  "key: nope")
    await world.client.patch("validatingadmissionpolicies", "p", {"spec": {"failurePolicy": "Ignore"}})
    await world.client.create("deploy", Deployment("w", image="nginx", replicas=1))


async def test_parameters_come_from_objects(world: World) -> None:
    """A binding names the object that holds the limits; without it the request is refused."""
    await policy(world, "Validating", {"paramRef": {"name": "limits", "namespace": "default",
                                                    "parameterNotFoundAction": "Deny"}},
                 paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
                 validations=[{"expression": "object.spec.replicas <= int(params.data.max)"}])
    error = await refused(world.client.create("deploy", Deployment("w", image="nginx")))
    assert "no params found for policy binding with `Deny` parameterNotFoundAction" in error.message
    await world.client.create("cm", config_map("limits", max="1"))
    await world.client.create("deploy", Deployment("w", image="nginx"))
    assert (await refused(world.client.create("deploy", Deployment("v", image="nginx", replicas=2)))).code == 422


async def test_an_expression_that_fails_denies_or_not(world: World) -> None:
    """failurePolicy says which."""
    await policy(world, "Validating", validations=[{"expression": "object.spec.nope == 1"}])
    error = await refused(world.client.create("deploy", Deployment("w", image="nginx")))
    assert error.message.endswith("expression 'object.spec.nope == 1' resulted in error: no such key: nope")
    await world.client.patch("validatingadmissionpolicies", "p", {"spec": {"failurePolicy": "Ignore"}})
    await world.client.create("deploy", Deployment("w", image="nginx"))


async def test_a_policy_may_only_warn(world: World) -> None:
    """The write goes through and the client is told."""
    await policy(world, "Validating", {"validationActions": ["Warn", "Audit"]},
                 validations=[{"expression": "false", "message": "so it goes"}])
    response = await world.send("POST", "/apis/apps/v1/namespaces/default/deployments", Deployment("w", image="nginx"))
    assert response.status == 201
    assert response.headers["warning"] == ("299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding "
                                           "'b': so it goes\"")


async def test_checks_are_counted(world: World) -> None:
    """By policy, binding and what came of it: denied, warned of, noted, or let pass in spite of an error."""
    growth, web = await Growth.of(world), Deployment("w", image="nginx")
    await policy(world, "Validating", {"validationActions": ["Deny", "Audit"]}, validations=[{"expression": "false"}])
    await refused(world.client.create("deploy", web))
    await world.client.patch("validatingadmissionpolicies", "p", {
        "spec": {"failurePolicy": "Ignore", "validations": [{"expression": "object.spec.nope == 1"}]}})
    await world.client.create("deploy", web)
    await growth.now()
    name, labels = "apiserver_validating_admission_policy_check", 'policy="p",policy_binding="b",error_type='
    for action in ("deny", "audit"):
        assert growth[f'{name}_total{{{labels}"no_error",enforcement_action="{action}"}}'] == 1
    assert growth[f'{name}_total{{{labels}"invalid_error",enforcement_action="allow"}}'] == 1
    assert growth[f'{name}_duration_seconds_count{{{labels}"no_error",enforcement_action="deny"}}'] == 1


@pytest.mark.parametrize(("constraints", "denied"), [
    ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, False),
    ({"excludeResourceRules": rules()["resourceRules"]}, False),
    ({"objectSelector": {"matchLabels": {"app": "w"}}}, True),
])
async def test_what_a_policy_is_about(world: World, constraints: Obj, denied: bool) -> None:
    """Selectors and exclusions narrow the rules."""
    await policy(world, "Validating", matchConstraints=rules() | constraints, validations=[{"expression": "false"}])
    call = world.client.create("deploy", Deployment("w", image="nginx"))
    assert (await refused(call)).code == 422 if denied else await call


async def test_match_conditions_come_first(world: World) -> None:
    """Where they are false the rest is not looked at."""
    await policy(world, "Validating", matchConditions=[{"name": "c", "expression": "object.metadata.name != 'w'"}],
                 validations=[{"expression": "false"}])
    await world.client.create("deploy", Deployment("w", image="nginx"))
    await refused(world.client.create("deploy", Deployment("v", image="nginx")))


@pytest.mark.parametrize(("spec", "why"), [
    ({"validations": [{"expression": "1"}]},
     'spec.validations[0].expression: Invalid value: "1": must evaluate to bool but got int'),
    ({"validations": [{"expression": "object.x"}, {"expression": "nope"}]},
     "compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')"),
])
async def test_expressions_are_compiled_when_written(world: World, spec: Obj, why: str) -> None:
    """A policy that cannot work is refused."""
    error = await refused(policy(world, "Validating", **spec))
    assert why in error.message


async def test_a_partial_object_is_merged(world: World) -> None:
    """Fields are set, maps merged, and lists with keys merged by them; defaults follow."""
    await policy(world, "Mutating", mutations=[{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
        'Object{metadata: Object.metadata{annotations: {"by": object.metadata.name}}, spec: Object.spec{replicas: 7,'
        'template: Object.spec.template{spec: Object.spec.template.spec{initContainers: ['
        'Object.spec.template.spec.initContainers{name: "i", image: "busybox"}]}}}}'}}])
    made = await world.client.create("deploy", Deployment("w", image="nginx"))
    assert (made["spec"]["replicas"], made["metadata"]["annotations"]["by"]) == (7, "w")
    assert made["metadata"]["labels"] == {"app": "w"}
    spec = made["spec"]["template"]["spec"]
    assert spec["initContainers"][0]["terminationMessagePolicy"] == "File"
    assert spec["containers"][0]["image"] == "nginx"


async def test_a_json_patch_is_computed(world: World) -> None:
    """Operations come from an expression; those of a second mutation see what the first has done."""
    await policy(world, "Mutating", matchConstraints=rules("", "configmaps"), mutations=[
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            '[JSONPatch{op: "add", path: "/metadata/annotations", value: {"x": "y"}}, JSONPatch{op: "add", '
            'path: "/metadata/annotations/" + jsonpatch.escapeKey("a/b"), value: "1"}]'}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            '[JSONPatch{op: "add", path: "/data/n", value: string(size(object.metadata.annotations))}]'}}])
    made = await world.client.create("cm", config_map("m"))
    assert made["metadata"]["annotations"] == {"x": "y", "a/b": "1"}
    assert made["data"] == {"a": "b", "n": "2"}


def test_literals_become_maps() -> None:
    """Only names of fields change; strings and ternaries stay."""
    assert as_maps('Object{spec: Object.spec{a: x ? "b: {c" : d, ?e: f}, g: {"h": i}}') == \
        '{"spec": {"a": x ? "b: {c" : d, ?"e": f}, "g": {"h": i}}'
    assert as_maps('object.Object == {a: 1}') == 'object.Object == {a: 1}'
