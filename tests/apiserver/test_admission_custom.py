"""Admission of custom resources: webhooks and policies know them as they know the built-in kinds."""

from __future__ import annotations

import pytest

from kubelab.machinery.request import Obj, Response

from .conftest import World
from .webhook_server import configuration, patch, webhook

MUTATING, VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
V1, V2 = (f"/apis/e.com/{version}/namespaces/default/foos" for version in ("v1", "v2"))
MERGE = {"content-type": "application/merge-patch+json"}
RULE = {"operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": ["e.com"], "apiVersions": ["v1"],
        "resources": ["foos"]}
STRICT = {"type": "object", "properties": {"data": {"type": "object", "properties": {
    "start": {"type": "string"}, "known": {"type": "string"}, "given": {"type": "string", "default": "d"}}}}}
LOOSE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CRD: Obj = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "foos.e.com"}, "spec": {
                "group": "e.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"}, "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": STRICT}},
                    {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": LOOSE}}]}}


def foo(name: str, start: str = "yes") -> Obj:
    return {"apiVersion": "e.com/v1", "kind": "Foo", "metadata": {"name": name}, "data": {"start": start}}


def deny(request: Obj) -> Obj:
    return {"allowed": False, "status": {"message": "no"}}


def data_of(response: Response) -> Obj:
    body = response.body
    assert body is not None and not isinstance(body, bytes)
    found: Obj = (body if isinstance(body, dict) else body.obj)["data"]
    return found


@pytest.fixture
async def served(world: World) -> World:
    """Serve a custom kind."""
    assert (await world.send("POST", DEFINITIONS, CRD)).status == 201
    return world


async def test_a_definition_can_be_denied(world: World) -> None:
    """A CustomResourceDefinition is an object like any other."""
    rule = {**RULE, "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"]}
    async with webhook(deny) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "x", hook, rules=[rule]))
        assert (await world.send("POST", DEFINITIONS, CRD)).status == 400


async def test_custom_resources_can_be_denied(served: World) -> None:
    """Created, changed by either version, and deleted: each is refused, and shown in the version asked for."""
    assert (await served.send("POST", V1, foo("a"))).status == 201
    async with webhook(deny) as hook:
        await served.client.create(VALIDATING, configuration("Validating", "x", hook, rules=[RULE]))
        assert (await served.send("POST", V1, foo("b"))).status == 400
        for path in (V1, V2):
            assert (await served.send("PATCH", f"{path}/a", {"data": {"start": "n"}}, headers=MERGE)).status == 400
        assert (await served.send("DELETE", f"{V1}/a")).status == 400
    assert [(r["operation"], r["requestKind"]["version"]) for r in hook.seen] == [
        ("CREATE", "v1"), ("UPDATE", "v1"), ("UPDATE", "v2"), ("DELETE", "v1")]
    assert all(r["kind"] == {"group": "e.com", "version": "v1", "kind": "Foo"} for r in hook.seen)
    for request in hook.seen:
        for obj in (request["object"], request["oldObject"]):
            assert obj is None or obj["apiVersion"] == "e.com/v1"


async def test_custom_resources_can_be_changed(served: World) -> None:
    """What the schema knows stays, the rest is pruned, defaults are there; a patch by another version works too."""
    async with webhook(lambda request: patch({"op": "add", "path": "/data/known", "value": "yes"},
                                             {"op": "add", "path": "/data/unknown", "value": "yes"})) as hook:
        await served.client.create(MUTATING, configuration("Mutating", "x", hook, rules=[RULE]))
        made = await served.send("POST", V1, foo("a"))
        assert data_of(made) == {"start": "yes", "known": "yes", "given": "d"}
        changed = await served.send("PATCH", f"{V2}/a", {"data": {"start": "z"}}, headers=MERGE)
        assert changed.status == 200
        assert data_of(changed)["start"] == "z"


async def test_policies_know_custom_resources(served: World) -> None:
    """Rules in CEL, by group and plural."""
    await served.client.create("validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "object.data.start != 'no'"}]}})
    await served.client.create("validatingadmissionpolicybindings", {
        "metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}})
    assert (await served.send("POST", V1, foo("a", "no"))).status == 422
    assert (await served.send("POST", V1, foo("a"))).status == 201
