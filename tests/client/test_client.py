"""The client's verbs as the requests they become."""

from __future__ import annotations

import pytest

from kubelab.client.client import Client
from kubelab.client.transport import InProcess
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import caused_by
from kubelab.machinery.request import Request, User
from tests.client.fake import FakeApi, configmap


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def client(api: FakeApi) -> Client:
    return Client(InProcess(api.handle, User("u"), "tester"), user_agent="tester")


async def test_in_process_objects_are_passed_as_they_are(api: FakeApi, client: Client) -> None:
    """What the handler returns is what the caller gets: no encoding, no copy; the user is set."""
    made = await client.create("configmaps", configmap("a", k="v"))
    assert made is api.objects["default/a"]
    assert await client.get("configmaps", "a") is made
    assert (await client.list("configmaps", "default"))["items"] == [made]
    assert api.requests[0].user == User("u")
    assert api.requests[0].headers["user-agent"] == "tester"


async def test_errors_are_raised_as_the_status_says(client: Client) -> None:
    """An error answer becomes ApiError, whether its body is a dict or JSON."""
    with pytest.raises(ApiError, match='configmaps "b" not found') as missing:
        await client.get("configmaps", "b")
    assert (missing.value.code, missing.value.reason) == (404, "NotFound")
    await client.create("configmaps", configmap("a"))
    with pytest.raises(ApiError) as taken:
        await client.create("configmaps", configmap("a"))
    assert taken.value.reason == "AlreadyExists"


def sent(api: FakeApi) -> Request:
    return api.requests[-1]


async def test_paths_and_queries(api: FakeApi, client: Client) -> None:
    """Namespaces come from the argument, else from the object; options become the query Kubernetes knows."""
    await client.list("pods", selector="app=web", field_selector="spec.nodeName=n", limit=5, continue_="t")
    assert sent(api).path == "/api/v1/pods"
    assert sent(api).query == {"labelSelector": "app=web", "fieldSelector": "spec.nodeName=n", "limit": "5",
                               "continue": "t"}
    await client.update("deployments", {"metadata": {"name": "web", "namespace": "shop"}}, subresource="status")
    assert (sent(api).method, sent(api).path) == ("PUT", "/apis/apps/v1/namespaces/shop/deployments/web/status")
    await client.patch("pods", "p", {"metadata": {}}, "ns", type="apply", force=True, dry_run=True)
    assert sent(api).path == "/api/v1/namespaces/ns/pods/p"
    assert sent(api).query == {"fieldManager": "tester", "force": "true", "dryRun": "All"}
    assert sent(api).headers["content-type"] == "application/apply-patch+yaml"
    await client.patch("nodes", "n", [], type="json")
    assert (sent(api).path, sent(api).headers["content-type"]) == ("/api/v1/nodes/n", "application/json-patch+json")


async def test_delete_options(api: FakeApi, client: Client) -> None:
    """Grace period, propagation and preconditions go into DeleteOptions; without them there is no body."""
    api.put(configmap("a"))
    await client.delete("configmaps", "a", grace_period_s=0, propagation="Foreground", uid="u", resource_version="7")
    assert sent(api).body == {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                              "propagationPolicy": "Foreground", "preconditions": {"uid": "u", "resourceVersion": "7"}}
    await client.delete("configmaps", "a")
    assert sent(api).body is None
    await client.create("pods", {"metadata": {"name": "p", "namespace": "ns"}}, name="p", subresource="binding")
    assert sent(api).path == "/api/v1/namespaces/ns/pods/p/binding"


async def test_a_watch_yields_events_and_raises_errors(api: FakeApi, client: Client) -> None:
    """A watch gives events from a revision on; an ERROR event is raised; leaving the loop ends the watch."""
    api.put(configmap("a"))
    watch = client.watch("configmaps", resource_version="10")
    event = await anext(watch)
    assert (event.type, event.obj["metadata"]["name"]) == ("ADDED", "a")
    assert api.watches
    await watch.aclose()
    assert not api.watches
    api.expire()
    with pytest.raises(ApiError) as expired:
        await anext(client.watch("configmaps", resource_version="10"))
    assert expired.value.code == 410


async def test_the_cause_travels_with_the_request(api: FakeApi, client: Client) -> None:
    """A request names the journal entry under which it was made."""
    api.put(configmap("a"))
    with caused_by(42):
        await client.get("configmaps", "a")
    assert sent(api).cause == 42
