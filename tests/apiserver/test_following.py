"""The caches outlive the watch that they are fed from."""

from __future__ import annotations

import asyncio

from kubelab.control_plane.etcd.api import Compacted, Unavailable
from kubelab.control_plane.etcd.errors import EtcdError

from .conftest import World, config_map, drain

PREFIX = b"/registry/configmaps/default/"


def lose_watch(world: World, why: EtcdError) -> None:
    world.etcd._hub.lose(why)


async def until_followed(world: World) -> None:
    """Step over the pauses between attempts until the cache is where etcd is."""
    while world.server.storage.revision < world.etcd.revision:
        await asyncio.sleep(0)
        await world.clock.step(1)


async def test_a_lost_watch_goes_on_where_it_was(world: World) -> None:
    """What was written while no watch ran is told once, in order, and watches of clients do not notice."""
    watcher = await world.watch("/api/v1/configmaps")
    await world.client.create("cm", config_map("a"))
    value = (await world.etcd.range(PREFIX + b"a")).kvs[0].value
    lose_watch(world, Unavailable())
    await world.etcd.put(PREFIX + b"b", value.replace(b'"name":"a"', b'"name":"b"'))
    await world.etcd.put(PREFIX + b"c", value.replace(b'"name":"a"', b'"name":"c"'))
    await until_followed(world)
    await world.client.create("cm", config_map("d"))
    assert drain(watcher) == [("ADDED", name) for name in "abcd"]


async def test_over_a_gap_in_history_the_difference_is_told(world: World) -> None:
    """Of what nobody can tell any more, open watches hear the sum; who comes with a revision from before gets 410."""
    for name in "abc":
        await world.client.create("cm", config_map(name))
    before = world.etcd.revision
    watcher = await world.watch(f"/api/v1/configmaps?resourceVersion={before}")
    value = (await world.etcd.range(PREFIX + b"a")).kvs[0].value
    lose_watch(world, Unavailable())
    await world.etcd.put(PREFIX + b"a", value.replace(b'"data":{"a"', b'"data":{"z"'))
    await world.etcd.delete_range(PREFIX + b"b")
    await world.etcd.put(PREFIX + b"d", value.replace(b'"name":"a"', b'"name":"d"'))
    await world.etcd.compact(world.etcd.revision)
    await until_followed(world)
    assert drain(watcher) == [("MODIFIED", "a"), ("ADDED", "d"), ("DELETED", "b")]
    listed = await world.client.list("cm", "default")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "c", "d"]
    late = await world.watch(f"/api/v1/configmaps?resourceVersion={before}")
    event = await anext(late)
    assert (event.type, event.obj["code"]) == ("ERROR", 410)


async def test_the_store_may_be_away_when_the_list_is_due(world: World) -> None:
    """A gap is closed as soon as the store answers again."""
    await world.client.create("cm", config_map("a"))
    await world.etcd.stop()
    lose_watch(world, Compacted(1))
    await world.clock.step(3)
    await world.etcd.start()
    await world.etcd.delete_range(PREFIX + b"a")
    await until_followed(world)
    assert (await world.send("GET", "/api/v1/namespaces/default/configmaps/a")).status == 404
