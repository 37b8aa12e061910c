"""Watches: who hears of a change, as what, and what it costs."""

from __future__ import annotations

from collections.abc import Callable

from kubelab.control_plane.apiserver.watch import QUEUE_LIMIT, Change, Watcher, at_revision
from kubelab.machinery.request import Encoded

from .conftest import Growth, World, config_map, drain, pod


async def test_a_change_of_selector_is_added_and_deleted(world: World) -> None:
    """Moving into a selector arrives as ADDED, out of it as DELETED with the old object at the new revision."""
    events = drain(await world.watch("/api/v1/configmaps?labelSelector=x%3Dy".replace("%3D", "=")))
    await world.client.create("cm", config_map("a"))
    await world.client.patch("cm", "a", {"metadata": {"labels": {"x": "y"}}})
    await world.client.patch("cm", "a", {"data": {"n": "1"}})
    last = await world.client.patch("cm", "a", {"metadata": {"labels": None}})
    assert events == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert int(last["metadata"]["resourceVersion"]) == world.server.storage.revision


async def test_watchers_share_one_event(world: World) -> None:
    """The bytes of an event are made once, however many watch."""
    watchers = [await world.watch("/api/v1/configmaps") for _ in range(3)]
    seen: list[object] = []
    for watcher in watchers:
        watcher.drain_to(seen.append)
    seen.clear()
    await world.client.create("cm", config_map("a"))
    assert len(seen) == 3
    assert len({id(event) for event in seen}) == 1


async def test_events_are_counted(world: World) -> None:
    """Each event that a client is sent is counted with its size, by what it asked to watch."""
    growth, labels = await Growth.of(world), 'group="",version="v1",resource="configmaps"'
    drain(await world.watch("/api/v1/configmaps"))
    drain(await world.watch("/api/v1/namespaces/other/configmaps"))
    await growth.now()
    before = growth[f"apiserver_watch_events_total{{{labels}}}"]
    await world.client.create("cm", config_map("big", text="x" * 5000))
    await growth.now()
    assert growth[f"apiserver_watch_events_total{{{labels}}}"] == before + 1
    assert growth[f'apiserver_watch_events_sizes_bucket{{{labels},le="4096"}}'] == before
    assert growth[f'apiserver_watch_events_sizes_bucket{{{labels},le="8192"}}'] == before + 1


async def test_a_pod_event_reaches_only_its_node(world: World) -> None:
    """A watch by spec.nodeName is offered the pods of that node and no others, also when they get there by binding."""
    watchers = {n: await world.watch(f"/api/v1/pods?fieldSelector=spec.nodeName={n}") for n in ("n1", "n2")}
    offered: list[str] = []
    for name, watcher in watchers.items():
        def offer(change: Change, name: str = name, inner: Callable[[Change], None] = watcher.offer) -> None:
            offered.append(name)
            inner(change)

        watcher.offer = offer  # type: ignore[method-assign]
    await world.client.create("pods", pod("p"))
    await world.client.create("pods", {"target": {"name": "n1"}, "metadata": {"name": "p"}}, "default", name="p",
                              subresource="binding")
    assert offered == ["n1"]
    assert drain(watchers["n1"]) == [("ADDED", "p")]


async def test_a_watch_goes_on_from_a_list(world: World) -> None:
    """Watching from a list's revision tells what came after it and nothing else."""
    await world.client.create("cm", config_map("before"))
    page = await world.client.list("cm", "default")
    await world.client.create("cm", config_map("after"))
    watcher = await world.watch(f"/api/v1/configmaps?resourceVersion={page['metadata']['resourceVersion']}")
    assert drain(watcher) == [("ADDED", "after")]


async def test_a_watch_from_long_ago_is_told_so(world: World) -> None:
    """A revision that the history no longer holds is a 410 ERROR event, and the watch ends."""
    await world.client.create("cm", config_map("a"))
    world.server.storage.of("", "configmaps").floor = world.server.storage.revision
    events = [event async for event in await world.watch("/api/v1/configmaps?resourceVersion=1")]
    assert [(event.type, event.obj["code"], event.obj["reason"]) for event in events] == [("ERROR", 410, "Expired")]


async def test_a_streaming_list_ends_with_a_marked_bookmark(world: World) -> None:
    """sendInitialEvents gives what exists, then the bookmark that current informers wait for, then live events."""
    await world.client.create("cm", config_map("a"))
    watcher = await world.watch("/api/v1/namespaces/default/configmaps?sendInitialEvents=true"
                                "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
    events: list[tuple[str, object]] = []
    watcher.drain_to(lambda event: events.append((event.type, event.obj["metadata"].get("annotations"))))
    await world.client.create("cm", config_map("b"))
    assert events == [("ADDED", None), ("BOOKMARK", {"k8s.io/initial-events-end": "true"}), ("ADDED", None)]


async def test_a_watch_ends_in_time(world: World) -> None:
    """timeoutSeconds closes a watch cleanly."""
    watcher = await world.watch("/api/v1/pods?timeoutSeconds=5")
    await world.clock.step(5)
    assert [event async for event in watcher] == []


async def test_an_idle_watch_gets_bookmarks(world: World) -> None:
    """Every minute a watch that asked for it is told the present revision."""
    watcher = await world.watch("/api/v1/pods?allowWatchBookmarks=true")
    await world.clock.step(61)
    assert drain(watcher) == [("BOOKMARK", "")]


def test_a_watcher_that_does_not_read_is_dropped() -> None:
    """What existed at the start may be as much as it is; after that a queue has an end, and the watcher is closed."""
    watcher = Watcher()
    obj = {"metadata": {"name": "a", "resourceVersion": "1"}}
    change = Change(1, Encoded(obj, b"{}"), None)
    for _ in range(QUEUE_LIMIT + 1):
        watcher.offer(change)
    watcher.live()
    assert len(watcher.backlog(500)) == 500
    for _ in range(QUEUE_LIMIT + 500):
        watcher.offer(change)
    assert not watcher.closed
    watcher.offer(change)
    assert watcher.closed


def test_the_last_word_has_its_own_revision() -> None:
    """What is deleted is told with the revision of its end, in the dict and in the bytes."""
    body = Encoded({"metadata": {"resourceVersion": "3"}}, b'{"metadata":{"resourceVersion":"3"}}')
    last = at_revision(body, 9)
    assert last is not None
    assert (last.obj["metadata"]["resourceVersion"], last.raw) == ("9", b'{"metadata":{"resourceVersion":"9"}}')


async def test_an_event_names_its_cause(world: World) -> None:
    """The trace journal leads from the watch event back to the request that wrote."""
    causes: list[int | None] = []
    (await world.watch("/api/v1/configmaps")).drain_to(lambda event: causes.append(event.cause))
    causes.clear()
    await world.client.create("cm", config_map("a"))
    chain = world.journal.chain(causes[0] or 0)
    assert (chain[-1].seam, chain[-1].verb, chain[-1].actor) == ("request", "create", "kubernetes-admin")
