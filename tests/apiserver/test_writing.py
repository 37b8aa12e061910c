"""Create, update and patch: identity, concurrency, generation, what each endpoint may write."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from kubelab.control_plane.apiserver.storage import Changed
from kubelab.units import Deployment, object_parts

from .conftest import World, config_map, pod, refused


async def test_the_server_gives_identity(world: World) -> None:
    """uid, creationTimestamp and generation are the server's, whatever the client sends."""
    metadata = {"name": "p", "uid": "mine", "generation": 9, "creationTimestamp": "2000-01-01T00:00:00Z"}
    sent = pod("p") | {"metadata": metadata}
    made = (await world.client.create("pods", sent))["metadata"]
    assert (made["generation"], made["creationTimestamp"]) == (1, "2026-01-02T03:04:05Z")
    assert made["uid"] != "mine"


async def test_generated_names_are_tried_again(world: World) -> None:
    """When a generated name is taken, another is generated."""
    await world.client.create("cm", config_map("x-taken"))
    with patch.object(object_parts, "generated_name", side_effect=["x-taken", "x-taken", "x-free"]):
        made = await world.client.create("cm", {"metadata": {"generateName": "x-"}})
    assert made["metadata"]["name"] == "x-free"


async def test_a_stale_update_is_a_conflict(world: World) -> None:
    """An update that names an older resourceVersion is refused with 409."""
    old = await world.client.create("cm", config_map("a"))
    await world.client.patch("cm", "a", {"data": {"x": "1"}})
    error = await refused(world.client.update("cm", old))
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message.endswith("please apply your changes to the latest version and try again")


async def test_concurrent_patches_all_take_effect(world: World) -> None:
    """Patches that name no resourceVersion are applied one upon the other."""
    await world.client.create("cm", config_map("a"))
    await asyncio.gather(*(world.client.patch("cm", "a", {"data": {f"k{i}": "v"}}) for i in range(20)))
    assert len((await world.client.get("cm", "a"))["data"]) == 21


async def test_a_patch_that_was_overtaken_is_computed_anew(world: World) -> None:
    """When another writer was faster, the patch is put on what that writer left."""
    await world.client.create("cm", config_map("a"))
    store, calls = world.server.storage.update, 0

    async def overtaken(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Changed
        return await store(*args)  # type: ignore[arg-type]

    with patch.object(world.server.storage, "update", overtaken):
        await world.client.patch("cm", "a", {"data": {"x": "1"}})
    assert (calls, (await world.client.get("cm", "a"))["data"]) == (2, {"a": "b", "x": "1"})


async def test_a_write_that_changes_nothing_is_none(world: World) -> None:
    """The resourceVersion stays, and no watch hears of it."""
    made = await world.client.create("cm", config_map("a"))
    same = await world.client.patch("cm", "a", {"data": {"a": "b"}})
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_generation_counts_changes_of_the_spec(world: World) -> None:
    """Labels and status do not raise it, the spec does."""
    await world.client.create("deploy", Deployment("w", image="nginx"))
    steps = [{"metadata": {"labels": {"x": "y"}}}, {"spec": {"replicas": 3}}, {"spec": {"replicas": 3}}]
    assert [(await world.client.patch("deploy", "w", s))["metadata"]["generation"] for s in steps] == [1, 2, 2]
    sent = {"status": {"replicas": 7}, "spec": {"replicas": 9}}
    status = await world.client.patch("deploy", "w", sent, subresource="status")
    assert (status["metadata"]["generation"], status["spec"]["replicas"], status["status"]["replicas"]) == (2, 3, 7)


async def test_the_main_resource_does_not_write_status(world: World) -> None:
    """A status sent to the main resource is ignored; labels sent to /status stick."""
    made = await world.client.create("deploy", Deployment("w", image="nginx"))
    put = await world.client.update("deploy", {**made, "status": {"replicas": 5}})
    assert put["status"].get("replicas", 0) == 0
    labelled = {**put, "metadata": {**put["metadata"], "labels": {"a": "b"}}}
    assert (await world.client.update("deploy", labelled, subresource="status"))["metadata"]["labels"] == {"a": "b"}


async def test_stored_objects_are_never_changed_in_place(world: World) -> None:
    """What a reader holds stays as it was, whatever is written after."""
    import orjson

    await world.client.create("deploy", Deployment("w", image="nginx"))
    held = await world.client.get("deploy", "w")
    before = orjson.dumps(held)
    for how in ("merge", "strategic"):
        await world.client.patch("deploy", "w", {"spec": {"template": {"spec": {"dnsPolicy": None}}}}, type=how)
        await world.client.patch("deploy", "w", {"status": {"replicas": 1}}, type=how, subresource="status")
    await world.client.patch("deploy", "w", {"spec": {"replicas": 2}}, subresource="scale")
    await world.client.delete("deploy", "w")
    assert orjson.dumps(held) == before


@pytest.mark.parametrize(("query", "status", "warning"), [
    ("fieldValidation=Strict", 400, ""),
    ("fieldValidation=Warn", 201, '299 - "unknown field \\"dat\\""'),
    ("fieldValidation=Ignore", 201, ""),
    ("", 201, '299 - "unknown field \\"dat\\""'),
    ("fieldValidation=X", 422, ""),
    ("dryRun=X", 422, ""),
])
async def test_unknown_fields_are_treated_as_asked(world: World, query: str, status: int, warning: str) -> None:
    """fieldValidation decides between refusal, a Warning header and silence."""
    response = await world.send("POST", f"/api/v1/namespaces/default/configmaps?{query}", config_map("a") | {"dat": {}})
    assert (response.status, response.headers.get("warning", "")) == (status, warning)


@pytest.mark.parametrize("how", ["merge", "strategic"])
async def test_a_patch_moves_nothing_to_another_namespace(world: World, how: str) -> None:
    """Name and namespace of the URL stay those of the object."""
    await world.client.create("cm", config_map("a"))
    moved = {"metadata": {"namespace": "kube-system"}}
    error = await refused(world.client.patch("cm", "a", moved, "default", type=how))
    assert (error.code, error.message) == (400, "the namespace of the provided object does not match the namespace "
                                                "sent on the request")


async def test_a_dry_run_leaves_nothing(world: World) -> None:
    """Everything is done but the write: the answer is there, the object and its address are not."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    shown = await world.client.create("svc", service, dry_run=True)
    assert shown["spec"]["clusterIP"]
    assert (await refused(world.client.get("svc", "s"))).code == 404
    await world.client.create("svc", service | {"spec": {**service["spec"], "clusterIP": shown["spec"]["clusterIP"]}})  # type: ignore[dict-item]


async def test_server_side_apply_shares_and_defends_fields(world: World) -> None:
    """Two managers apply their own fields; taking one of the other's is a conflict unless forced."""
    await world.client.patch("cm", "s", config_map("s", a="1"), type="apply", field_manager="one")
    both = await world.client.patch("cm", "s", config_map("s", b="2"), type="apply", field_manager="two")
    assert both["data"] == {"a": "1", "b": "2"}
    greedy = config_map("s", a="9", b="2")
    error = await refused(world.client.patch("cm", "s", greedy, type="apply", field_manager="two"))
    assert error.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    taken = await world.client.patch("cm", "s", config_map("s", a="9"), type="apply", field_manager="two", force=True)
    assert taken["data"] == {"a": "9"}


async def test_a_lease_must_be_updated_from_a_version(world: World) -> None:
    """Some kinds refuse an update that does not say which version it replaces."""
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    await world.client.create("leases", lease)
    error = await refused(world.client.update("leases", lease))
    assert (error.code, error.details and error.details["causes"][0]["field"]) == (422, "metadata.resourceVersion")


async def test_too_deep_a_nest_is_refused_and_the_server_goes_on(world: World) -> None:
    """An object that is nested without end is a 400, in process and over the wire."""
    deep: dict[str, object] = {}
    for _ in range(2000):
        deep = {"a": deep}
    response = await world.send("POST", "/api/v1/namespaces/default/configmaps", config_map("a") | {"x": deep})
    assert response.status == 400
    assert (await world.client.create("cm", config_map("a")))["metadata"]["name"] == "a"


@pytest.mark.parametrize(("plural", "spec", "times"), [
    ("configmaps", None, 4), ("resourcequotas", {}, 3), ("limitranges", {"limits": []}, 3),
    ("persistentvolumeclaims", {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}, 5)])
async def test_bad_metadata_of_an_update_is_told_as_often_as_it_is_looked_at(world: World, plural: str, spec: object,
                                                                             times: int) -> None:
    """Once in the message, and once a look among the causes."""
    await world.client.create(plural, {"metadata": {"name": "x"}, **({} if spec is None else {"spec": spec})})
    error = await refused(world.client.patch(plural, "x", {"metadata": {"labels": {"a": "-"}}}))
    assert error.message.count("metadata.labels") == 1
    assert error.details is not None
    assert [cause["field"] for cause in error.details["causes"]] == ["metadata.labels"] * times
