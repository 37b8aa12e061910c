"""Lists: pages, revisions, selectors."""

from __future__ import annotations

import orjson
import pytest

from .conftest import World, config_map, refused


async def fill(world: World, count: int) -> None:
    for i in range(count):
        await world.client.create("cm", config_map(f"cm-{i:02}"))


def names(page: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    return [item["metadata"]["name"] for item in page["items"]]


async def test_pages_show_one_revision(world: World) -> None:
    """What is written between two pages is not in the second, which has the first one's revision."""
    await fill(world, 5)
    first = await world.client.list("cm", "default", limit=2)
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["cm-00", "cm-01"], 3)
    await world.client.create("cm", config_map("cm-02b"))
    await world.client.delete("cm", "cm-03")
    second = await world.client.list("cm", "default", limit=2, continue_=first["metadata"]["continue"])
    assert names(second) == ["cm-02", "cm-03"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    last = await world.client.list("cm", "default", limit=2, continue_=second["metadata"]["continue"])
    assert names(last) == ["cm-04"]
    assert set(last["metadata"]) == {"resourceVersion"}


async def test_an_expired_token_comes_with_a_fresh_one(world: World) -> None:
    """After compaction a page is 410, and the token in its Status goes on with what is there now."""
    await fill(world, 4)
    page = await world.client.list("cm", "default", limit=2)
    await world.client.delete("cm", "cm-02")
    await world.etcd.compact(world.etcd.revision)
    token = page["metadata"]["continue"]
    response = await world.send("GET", f"/api/v1/namespaces/default/configmaps?limit=2&continue={token}")
    assert isinstance(response.body, dict)
    assert (response.status, response.body["reason"]) == (410, "Expired")
    rest = await world.client.list("cm", "default", continue_=response.body["metadata"]["continue"])
    assert names(rest) == ["cm-03"]


async def test_a_list_of_the_past_is_exact(world: World) -> None:
    """resourceVersionMatch=Exact shows how it was."""
    await fill(world, 2)
    then = world.server.storage.revision
    await world.client.delete("cm", "cm-00")
    query = f"resourceVersion={then}&resourceVersionMatch=Exact"
    response = await world.send("GET", f"/api/v1/namespaces/default/configmaps?{query}")
    assert isinstance(response.body, dict)
    assert names(response.body) == ["cm-00", "cm-01"]


async def test_the_wire_form_of_a_list_is_the_list(world: World) -> None:
    """The bytes joined from the store say the same as the dict, but for the kind of each item."""
    await fill(world, 3)
    response = await world.send("GET", "/api/v1/namespaces/default/configmaps")
    assert response.encode is not None
    assert isinstance(response.body, dict)
    items = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in response.body["items"]]
    assert orjson.loads(response.encode()) == {**response.body, "items": items}


@pytest.mark.parametrize(("query", "code", "message"), [
    ("fieldSelector=nope=1", 400, '"nope" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("continue=!", 400, "invalid continue token: continue key is not valid: illegal base64 data at input byte 0"),
    ("resourceVersion=99999", 504, "Timeout: Too large resource version: 99999, current: "),
    ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
    ("watch=1&sendInitialEvents=true", 422, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
])
async def test_nonsense_is_refused_in_words(world: World, query: str, code: int, message: str) -> None:
    """A bad query is a 4xx that says what is wrong."""
    response = await world.send("GET", f"/api/v1/namespaces/default/configmaps?{query}")
    assert isinstance(response.body, dict)
    assert response.status == code
    assert message in response.body["message"]


async def test_a_namespace_does_not_show_its_neighbour(world: World) -> None:
    """Namespaces whose names begin alike are kept apart."""
    for namespace in ("a", "a-b", "ab"):
        await world.client.create("ns", {"metadata": {"name": namespace}})
        await world.client.create("cm", config_map(f"in-{namespace}"), namespace)
    assert names(await world.client.list("cm", "a")) == ["in-a"]


async def test_a_missing_object_is_not_found(world: World) -> None:
    """404 names the resource and the object."""
    assert (await refused(world.client.get("deploy", "x"))).message == 'deployments.apps "x" not found'
