"""What the common storage of all kinds answers: taken names, versions, owners, marks that only the server sets."""

from __future__ import annotations

import pytest

from .conftest import World, config_map, pod
from .test_protocol import APPLY, MAPS, MERGE, send, status


async def test_a_name_that_is_taken(world: World) -> None:
    """It is said when its holder is about to go, and when a name was wished for beside one to be generated."""
    await world.client.create("cm", {"metadata": {"name": "a", "finalizers": ["a.b/c"]}})
    await world.client.delete("cm", "a")
    taken = 'object is being deleted: configmaps "a" already exists'
    assert status(await send(world, "POST", MAPS, config_map("a"))) == (409, taken)
    assert status(await send(world, "POST", f"{MAPS}?dryRun=All", config_map("a"))) == (409, taken)
    await world.client.create("cm", config_map("b"))
    both = await send(world, "POST", MAPS, {"metadata": {"name": "b", "generateName": "b-"}})
    assert status(both) == (409, 'configmaps "b" already exists, the server was not able to generate a unique name for '
                                 "the object")
    assert both.headers["retry-after"] == "1"


@pytest.mark.parametrize(("path", "kind"), [
    ("/apis/policy/v1/namespaces/default/poddisruptionbudgets/x", "poddisruptionbudgets.policy"),
    ("/apis/coordination.k8s.io/v1/namespaces/default/leases/x", "leases.coordination.k8s.io")])
async def test_kinds_of_which_an_update_must_know_the_version(world: World, path: str, kind: str) -> None:
    """Such an update is invalid, and names the resource where others name the kind."""
    await send(world, "POST", path.removesuffix("/x"), {"metadata": {"name": "x"}})
    assert status(await send(world, "PUT", path, {"metadata": {"name": "x"}})) == (
        422, f'{kind} "x" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update')


async def test_an_update_that_creates(world: World) -> None:
    """Some kinds are made by it, none of an object that a uid says is gone."""
    body = {"metadata": {"name": "a"}, "spec": {"limits": []}}
    limits = "/api/v1/namespaces/default/limitranges/a"
    assert (await send(world, "PUT", limits, body)).status == 201
    assert status(await send(world, "PUT", f"{MAPS}/a", config_map("a")))[0] == 404
    gone = body | {"metadata": {"name": "b", "uid": "u"}}
    assert status(await send(world, "PUT", limits[:-1] + "b", gone)) == (
        409, 'Operation cannot be fulfilled on limitranges "b": StorageError: invalid object, Code: 4, Key: '
             "/registry/limitranges/default/b, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in "
             "precondition: u, UID in object meta: ")


async def test_version_zero_is_no_version(world: World) -> None:
    """An object may be made with it, and an update with it depends on nothing."""
    body = config_map("a") | {"metadata": {"name": "a", "resourceVersion": "0"}}
    assert [(await send(world, method, path, body)).status for method, path in (("POST", MAPS), ("PUT", f"{MAPS}/a"))] \
        == [201, 200]
    body = config_map("b") | {"metadata": {"name": "b", "resourceVersion": "1"}}
    assert (await send(world, "POST", MAPS, body)).status == 400


async def test_bytes_that_are_no_protobuf(world: World) -> None:
    """What they should have been is said, beside what they are."""
    media = "application/vnd.kubernetes.protobuf"
    assert status(await send(world, "POST", MAPS, b"k8s", media)) == (
        400, "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a "
             "protobuf message, expected prefix [107 56 115 0] (6b3873)")
    assert status(await send(world, "DELETE", f"{MAPS}/a", b"k8s", media))[1].startswith("provided data does not")


async def test_options_of_an_eviction_are_judged_and_a_stream_is_never_dry(world: World) -> None:
    """A policy that is none, and a dry run of what cannot be undone."""
    await world.client.create("pods", pod("p"))
    path = "/api/v1/namespaces/default/pods/p"
    refused = await send(world, "POST", f"{path}/eviction", {
        "metadata": {"name": "p"}, "deleteOptions": {"propagationPolicy": "X"}})
    assert refused.status == 422 and status(refused)[1].startswith('DeleteOptions.meta.k8s.io "" is invalid')
    assert status(await send(world, "POST", f"{path}/exec?command=x&dryRun=All")) == (400, "dryRun is not supported")


async def test_owners_that_stand_twice_are_left_once(world: World) -> None:
    """With a warning that says whose."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    metadata = {"name": "a", "ownerReferences": [owner] * 2}
    made = await send(world, "POST", MAPS, config_map("a") | {"metadata": metadata})
    assert made.headers["warning"].endswith('fix your requests; duplicate UID(s) observed: u"')
    assert (await world.client.get("cm", "a"))["metadata"]["ownerReferences"] == [owner]


async def test_field_managers_are_reset_or_set_by_a_client(world: World) -> None:
    """An empty list resets them; entries that cannot be read change nothing."""
    made = await world.client.create("cm", config_map("a"))
    before = made["metadata"]["managedFields"]
    path = f"{MAPS}/a"
    for wrong in ({"operation": "Other"}, {"fieldsType": ""}, {"apiVersion": ""}):
        body = {"metadata": {"managedFields": [before[0] | wrong]}}
        assert (await send(world, "PATCH", path, body, MERGE)).status == 200
        assert (await world.client.get("cm", "a"))["metadata"]["managedFields"] == before
    assert (await send(world, "PATCH", path, {"metadata": {"managedFields": []}}, MERGE)).status == 200
    assert "managedFields" not in (await world.client.get("cm", "a"))["metadata"]


async def test_a_watch_of_what_is_still_to_come(world: World) -> None:
    """It opens, and hears of nothing up to the revision that it was asked for."""
    made = await world.client.create("cm", config_map("a"))
    later = int(made["metadata"]["resourceVersion"]) + 1
    watcher = await world.watch(f"{MAPS}?resourceVersion={later}")
    for name in "bc":
        await world.client.create("cm", config_map(name))
    assert (await anext(watcher)).obj["metadata"]["name"] == "c"
    await watcher.aclose()
    assert (await send(world, "GET", f"{MAPS}/a?resourceVersion=999")).status == 504


async def test_marks_of_the_server_are_no_clients_to_change(world: World) -> None:
    """A patch that changes the uid, or pretends an end, is invalid; each cause stands there twice."""
    await world.client.create("cm", config_map("a"))
    body = {"metadata": {"uid": "u", "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5,
                         "generation": 7, "creationTimestamp": None}}
    refused = await send(world, "PATCH", f"{MAPS}/a", body, MERGE)
    fields = ['uid: Invalid value: "u"', 'deletionTimestamp: Invalid value: "2020-01-01T00:00:00Z"',
              "deletionGracePeriodSeconds: Invalid value: 5"]
    told = ", ".join(f"metadata.{field}: field is immutable" for field in fields)
    assert status(refused) == (422, f'ConfigMap "a" is invalid: [{told}]')
    assert isinstance(refused.body, dict) and len(refused.body["details"]["causes"]) == 6


async def test_what_does_not_fit_is_told_of_the_patch_as_it_was_sent(world: World) -> None:
    """An apply without a namespace is named without one, and values are written as Go writes them."""
    await world.client.create("cm", config_map("a"))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": [{"a": 1}]}
    assert status(await send(world, "PATCH", f"{MAPS}/a?fieldManager=m", body, APPLY)) == (
        400, "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data: expected map, got &{[map[a:1]]}")


async def test_a_watch_that_ends_leaves_a_last_bookmark(world: World) -> None:
    """Two seconds before, so that its client goes on from there."""
    watcher = await world.watch(f"{MAPS}?timeoutSeconds=10&allowWatchBookmarks=true&resourceVersion=1")
    made = await world.client.create("cm", config_map("a"))
    await world.client.create("pods", pod("elsewhere"))
    await world.clock.step(8)
    events = [await anext(watcher) for _ in range(2)]
    assert [event.type for event in events] == ["ADDED", "BOOKMARK"]
    assert int(events[1].obj["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    await world.clock.step(2)
    assert watcher.closed
