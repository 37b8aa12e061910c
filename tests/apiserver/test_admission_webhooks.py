"""Admission webhooks: a real HTTPS server is asked, and its word counts."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.request import Obj

from .conftest import World, config_map, pod, refused
from .webhook_server import Hook, configuration, patch, webhook

MUTATING, VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"


def allow(request: Obj) -> Obj:
    return {"allowed": True}


def deny(request: Obj) -> Obj:
    return {"allowed": False, "status": {"message": "the configmap contains unwanted key and value", "reason": "No"}}


async def test_what_a_webhook_denies_is_not_stored(world: World) -> None:
    """The refusal names the webhook and gives its words; without a code it is 400."""
    async with webhook(deny) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "no", hook))
        error = await refused(world.client.create("cm", config_map("a")))
        assert error.message == ('admission webhook "no.example.com" denied the request: the configmap contains '
                                 "unwanted key and value")
        assert (error.code, error.reason) == (400, "No")
        request = hook.seen[0]
        assert (request["operation"], request["name"], request["namespace"]) == ("CREATE", "a", "default")
        assert request["object"]["data"] == {"a": "b"}
        assert request["oldObject"] is None
        assert request["userInfo"]["username"] == "kubernetes-admin"
        assert request["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert request["options"]["kind"] == "CreateOptions"
        assert (await refused(world.client.get("cm", "a"))).code == 404
        await world.client.delete(VALIDATING, "no")
        await world.client.create("cm", config_map("a"))


async def test_a_webhook_may_change_an_object(world: World) -> None:
    """Its patch is applied and completed with defaults, the next webhook sees the outcome, nobody owns what it adds."""
    def first(request: Obj) -> Obj:
        return patch({"op": "add", "path": "/data/first", "value": "1"})

    def second(request: Obj) -> Obj:
        return patch({"op": "add", "path": "/data/second", "value": "2"}) if "first" in request["object"]["data"] \
            else {"allowed": True}

    async with webhook(first) as one, webhook(second) as two:
        await world.client.create(MUTATING, configuration("Mutating", "a", one))
        await world.client.create(MUTATING, configuration("Mutating", "b", two))
        made = await world.client.create("cm", config_map("m"))
        assert made["data"] == {"a": "b", "first": "1", "second": "2"}
        owned = made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]
        assert owned == {".": {}, "f:a": {}}


async def test_a_review_shows_the_write_as_it_is_at_that_moment(world: World) -> None:
    """Who may change a new object sees it without identity, who may refuse it sees it whole; options are as given."""
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    async with webhook(allow) as mutating, webhook(allow) as validating:
        await world.client.create(MUTATING, configuration("Mutating", "a", mutating, rules=[rule]))
        await world.client.create(VALIDATING, configuration("Validating", "b", validating, rules=[rule]))
        made = await world.client.create("cm", {**config_map("m"), "metadata": {"generateName": "g-"}})
        name = made["metadata"]["name"]
        await world.client.patch("cm", name, {"data": {"a": "2"}}, "default", field_manager="me")
        await world.client.delete("cm", name, "default", propagation="Background")
    early, late = mutating.seen[0], validating.seen[0]
    assert not {"name", "uid", "creationTimestamp", "resourceVersion"} & early["object"]["metadata"].keys()
    assert "name" not in early and late["name"] == name == late["object"]["metadata"]["name"]
    assert late["object"]["metadata"]["uid"] and "resourceVersion" not in late["object"]["metadata"]
    options = [request["options"] for request in mutating.seen]
    assert options == [{"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
                       {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"},
                       {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"}]


async def test_what_a_webhook_adds_is_defaulted_and_pruned(world: World) -> None:
    """An init container gets its defaults and its token; an unknown field goes; built-in plugins run again."""
    def answer(request: Obj) -> Obj:
        return patch({"op": "add", "path": "/spec/initContainers", "value": [{"name": "i", "image": "x", "foo": 1}]})

    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    async with webhook(answer) as hook:
        await world.client.create(MUTATING, configuration("Mutating", "pods", hook, rules=[rule]))
        container = (await world.client.create("pods", pod("p")))["spec"]["initContainers"][0]
    assert container["terminationMessagePolicy"] == "File"
    assert container["volumeMounts"]
    assert "foo" not in container


async def test_a_webhook_is_asked_again_when_a_later_one_changed_the_object(world: World) -> None:
    """reinvocationPolicy IfNeeded means once more, and only where there is something new to see."""
    async with webhook(allow) as early, webhook(
            lambda request: patch({"op": "add", "path": "/data/x", "value": "y"})) as late:
        for name, hook, policy in (("a", early, "IfNeeded"), ("b", late, "IfNeeded")):
            await world.client.create(MUTATING, configuration("Mutating", name, hook, reinvocationPolicy=policy))
        await world.client.create("cm", config_map("m"))
    assert (len(early.seen), len(late.seen)) == (2, 1)
    assert early.seen[1]["object"]["data"]["x"] == "y"


@pytest.mark.parametrize(("fields", "asked"), [
    ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, False),
    ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, True),
    ({"objectSelector": {"matchLabels": {"app": "x"}}}, False),
    ({"matchConditions": [{"name": "c", "expression": "object.metadata.name == 'other'"}]}, False),
    ({"matchConditions": [{"name": "c", "expression": "namespaceObject == null"}]}, True),
    ({"matchConditions": [{"name": "c", "expression": "request.operation == 'CREATE' && authorizer.group('')"
                           ".resource('pods').namespace('default').check('get').allowed()"}]}, True),
    ({"rules": [{"operations": ["UPDATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]}, False),
    ({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]}, True),
    ({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"],
                 "scope": "Cluster"}]}, False),
])
async def test_a_webhook_is_asked_about_what_it_names(world: World, fields: dict[str, Any], asked: bool) -> None:
    """Rules, selectors and match conditions decide."""
    async with webhook(deny) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "v", hook, **fields))
        call = world.client.create("cm", config_map("a"))
        if asked:
            await refused(call)
        else:
            await call
        assert bool(hook.seen) == asked


async def test_a_webhook_that_hangs(world: World) -> None:
    """Beyond its time-out the write fails, unless the policy is to go on without it."""
    async with webhook(allow) as hook:
        hook.delay_s = 3
        await world.client.create(VALIDATING, configuration("Validating", "slow", hook, timeoutSeconds=1))
        error = await refused(world.client.create("cm", config_map("a")))
        assert error.message == (f'Internal error occurred: failed calling webhook "slow.example.com": failed to call '
                                 f'webhook: Post "https://127.0.0.1:{hook.port}/check?timeout=1s": context deadline '
                                 "exceeded")
        assert (error.code, error.reason) == (500, "InternalError")
        await world.client.patch(VALIDATING, "slow", [{"op": "replace", "path": "/webhooks/0/failurePolicy",
                                                       "value": "Ignore"}], type="json")
        await world.client.create("cm", config_map("a"))


async def test_a_webhook_proves_itself(world: World) -> None:
    """A certificate of another authority is no proof."""
    async with webhook(allow) as hook, webhook(allow) as other:
        hook.ca = other.ca
        await world.client.create(VALIDATING, configuration("Validating", "forged", hook))
        error = await refused(world.client.create("cm", config_map("a")))
    assert "tls: failed to verify certificate: x509: " in error.message


async def test_a_webhook_that_is_not_there(world: World) -> None:
    """Nobody listens: the write fails, and says where it was tried."""
    async with webhook(allow) as hook:
        pass
    await world.client.create(VALIDATING, configuration("Validating", "gone", hook))
    error = await refused(world.client.create("cm", config_map("a")))
    assert error.message.endswith(f'Post "https://127.0.0.1:{hook.port}/check?timeout=10s": dial tcp '
                                  f"127.0.0.1:{hook.port}: connect: connection refused")


async def test_a_webhook_behind_a_service(world: World) -> None:
    """The endpoints of the Service are called, under the Service's name; without any the write fails."""
    async with webhook(deny, "hook.default.svc") as hook:
        client = {"caBundle": hook.ca, "service": {"name": "hook", "namespace": "default", "path": "/x"}}
        await world.client.create(VALIDATING, configuration("Validating", "svc", hook, clientConfig=client))
        error = await refused(world.client.create("cm", config_map("a")))
        assert error.message.endswith('Post "https://hook.default.svc:443/x?timeout=10s": service "hook" not found')
        await world.client.create("svc", {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}})
        error = await refused(world.client.create("cm", config_map("a")))
        assert error.message.endswith('no endpoints available for service "hook"')
        await world.client.create("endpointslices", {
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.77.0.9"]}], "ports": [{"name": "", "port": hook.port}]})
        error = await refused(world.client.create("cm", config_map("a")))
        assert "denied the request" in error.message


async def test_deletes_and_connections_are_admitted_too(world: World) -> None:
    """DELETE brings the old object; CONNECT the options of the connection; a webhook may refuse both."""
    rule = {"operations": ["DELETE", "CONNECT"], "apiGroups": ["*"], "apiVersions": ["*"],
            "resources": ["configmaps", "pods/attach"]}
    await world.client.create("cm", config_map("a"))
    await world.client.create("pods", pod("p"))
    async with webhook(deny) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "v", hook, rules=[rule]))
        assert (await refused(world.client.delete("cm", "a"))).code == 400
        assert (await world.send("DELETE", "/api/v1/namespaces/default/configmaps")).status == 400
        attach = await world.send("POST", "/api/v1/namespaces/default/pods/p/attach?container=c")
        assert attach.status == 400
    delete, _, connect = hook.seen
    assert (delete["operation"], delete["object"], delete["oldObject"]["metadata"]["name"]) == ("DELETE", None, "a")
    assert (connect["operation"], connect["subResource"], connect["kind"]["kind"]) == (
        "CONNECT", "attach", "PodAttachOptions")
    assert connect["object"]["container"] == "c"


async def test_webhooks_have_no_say_on_webhooks(world: World) -> None:
    """Whoever made a configuration that refuses everything can remove it."""
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    async with webhook(deny) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "all", hook, rules=[rule]))
        await world.client.create(MUTATING, configuration("Mutating", "all", hook, rules=[rule]))
        await world.client.delete(MUTATING, "all")
        await world.client.delete(VALIDATING, "all")
    assert not hook.seen


async def test_a_dry_run_asks_only_webhooks_without_side_effects(world: World) -> None:
    """One that has effects beyond its answer cannot take part."""
    async with webhook(allow) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "v", hook, sideEffects="NoneOnDryRun"))
        await world.client.create("cm", config_map("a"), dry_run=True)
        assert hook.seen[0]["dryRun"] is True


async def test_warnings_reach_the_client(world: World) -> None:
    """What a webhook warns of stands in a header."""
    async with webhook(lambda request: {"allowed": True, "warnings": ["mind the gap"]}) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "v", hook))
        response = await world.send("POST", "/api/v1/namespaces/default/configmaps", config_map("a"))
    assert response.headers["warning"] == '299 - "mind the gap"'


async def test_an_answer_to_another_question_is_none(world: World) -> None:
    """The uid must be the one that was sent, and a patch must say that it is one."""
    async with webhook(lambda request: {"uid": "x", "allowed": True}) as hook:
        await world.client.create(VALIDATING, configuration("Validating", "v", hook))
        error = await refused(world.client.create("cm", config_map("a")))
    assert 'received invalid webhook response: expected response.uid="' in error.message


async def test_conditions_that_do_not_compile_are_refused(world: World) -> None:
    """The writer of a configuration learns at once."""
    hook = Hook(443, "", allow)
    bad = configuration("Mutating", "v", hook, matchConditions=[{"name": "c", "expression": "object.x =="}])
    error = await refused(world.client.create(MUTATING, bad))
    assert error.code == 422
    assert "webhooks[0].matchConditions[0].expression: Invalid value: " in error.message
    assert "compilation failed: ERROR: <input>:1:12: Syntax error" in error.message
