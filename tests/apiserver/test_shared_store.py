"""Two API servers on one store, the second of which hears of changes when the test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.apiserver.watch import Watcher
from kubelab.control_plane.etcd.api import OnEvents, WatchedEvent
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.request import Encoded, Request, Response

from .conftest import ADMIN, World, config_map, drain

CONFIG_MAPS, SERVICES = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/services"


class Late:
    """The same store, as one hears of it over a slow wire."""

    shared = True

    def __init__(self, etcd: EmbeddedEtcd) -> None:
        self._etcd, self._kept, self.holds = etcd, list[WatchedEvent](), False
        self._tell: OnEvents = self._kept.extend

    def watch(self, key: bytes, end: bytes, start: int, *, on_events: OnEvents, **others: Any) -> Any:
        self._tell = on_events
        return self._etcd.watch(key, end, start, on_events=self._hear, **others)

    def _hear(self, events: list[WatchedEvent]) -> None:
        if self.holds:
            self._kept.extend(events)
        else:
            self._tell(events)

    def ask_progress(self) -> None:
        """Nothing comes before the events that are held."""

    def release(self) -> None:
        self.holds = False
        kept, self._kept = self._kept, []
        self._tell(kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._etcd, name)


class Second:
    """The second server."""

    def __init__(self, world: World) -> None:
        self.store = Late(world.etcd)
        self.server = ApiServer(self.store, clock=world.clock, journal=world.journal)

    async def send(self, method: str, path: str, body: object = None) -> Response:
        return await self.server.handle(Request(method, path, {}, {}, body, ADMIN))

    async def late(self, method: str, path: str, body: object = None) -> Response:
        """Send a request and let the news come only when the server has done what it can without."""
        task = asyncio.ensure_future(self.send(method, path, body))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not task.done(), "it did not wait for the news"
        self.store.release()
        return await task


@pytest.fixture
async def second(world: World) -> AsyncIterator[Second]:
    made = Second(world)
    await made.server.start()
    yield made
    made.store.release()
    await made.server.stop()


def body(response: Response) -> dict[str, Any]:
    found = response.body.obj if isinstance(response.body, Encoded) else response.body
    assert isinstance(found, dict), found
    return found


async def test_a_get_sees_what_another_server_acknowledged(world: World, second: Second) -> None:
    """It waits until the cache is as new as the store was when it was asked; so do lists."""
    second.store.holds = True
    await world.client.create("cm", config_map("a"))
    assert (await second.late("GET", f"{CONFIG_MAPS}/a")).status == 200
    second.store.holds = True
    await world.client.create("cm", config_map("b"))
    assert [item["metadata"]["name"] for item in body(await second.late("GET", CONFIG_MAPS))["items"]] == ["a", "b"]


async def test_a_revision_from_another_server_is_waited_for(world: World, second: Second) -> None:
    """A client may list here and watch there: the watch begins when the news has come, at that revision."""
    second.store.holds = True
    await world.client.create("cm", config_map("a"))
    asked = {"watch": "1", "resourceVersion": str(world.etcd.revision)}
    opening = asyncio.ensure_future(second.server.handle(Request("GET", CONFIG_MAPS, asked, {}, None, ADMIN)))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not opening.done()
    second.store.release()
    watcher = (await opening).events
    assert isinstance(watcher, Watcher)
    await world.client.create("cm", config_map("b"))
    assert drain(watcher) == [("ADDED", "b")]


async def test_who_is_content_with_an_old_state_does_not_wait(world: World, second: Second) -> None:
    """resourceVersion=0 is answered from the cache at once."""
    second.store.holds = True
    await world.client.create("cm", config_map("a"))
    answer = await second.server.handle(Request("GET", CONFIG_MAPS, {"resourceVersion": "0"}, {}, None, ADMIN))
    assert body(answer)["items"] == []


async def test_an_address_given_by_another_server_is_not_given_again(world: World, second: Second,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the moment before this server has heard of it: the transaction finds that someone else allocated."""

    async def at_once() -> None:
        """As if the question had been asked before the other server's write."""

    monkeypatch.setattr(second.server.storage, "current", at_once)
    spec = {"type": "NodePort", "clusterIP": "127.96.200.7", "ports": [{"port": 80, "nodePort": 30123}]}
    second.store.holds = True
    await world.client.create("svc", {"metadata": {"name": "a"}, "spec": spec})
    refused = await second.late("POST", SERVICES, {"metadata": {"name": "b"}, "spec": spec})
    assert refused.status == 422
    assert "provided IP is already allocated" in body(refused)["message"]
    free = {"type": "NodePort", "ports": [{"port": 80}]}
    second.store.holds = True
    await world.client.create("svc", {"metadata": {"name": "c"}, "spec": free})
    made = body(await second.late("POST", SERVICES, {"metadata": {"name": "d"}, "spec": free}))
    first = await world.client.get("svc", "c")
    assert made["spec"]["clusterIP"] != first["spec"]["clusterIP"]
