"""Clients that want a leader are not kept waiting by a member that was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from kubelab.control_plane.etcd import remote
from kubelab.control_plane.etcd.api import EtcdError, Unavailable, WatchedEvent
from kubelab.control_plane.etcd.endpoints import EtcdEndpoints
from kubelab.control_plane.etcd.errors import NoLeader
from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.control_plane.etcd.remote import RemoteEtcd
from kubelab.control_plane.etcd.wire import server
from kubelab.control_plane.etcd.wire.fronts import Fronts
from kubelab.machinery.clock import RealClock


class World(NamedTuple):
    group: EtcdGroup
    fronts: Fronts

    def client(self, *places: int) -> RemoteEtcd:
        return RemoteEtcd(EtcdEndpoints(tuple(self.fronts.endpoints[place] for place in places)), RealClock())


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(server, "LEADERLESS_S", 0.3)
    monkeypatch.setattr(remote, "PATIENCE_S", 0.5)
    group = EtcdGroup(3, None, RealClock())
    await group.start()
    fronts = Fronts(group, "127.0.0.1:0", clock=RealClock())
    await fronts.start()
    yield World(group, fronts)
    await fronts.stop()
    await group.stop()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the network between members has no event for us
            await asyncio.sleep(0.02)


async def test_a_member_that_was_cut_off_refuses_at_once(world: World) -> None:
    """It says that there is no leader, and does not wait until the client gives up; healed, it serves."""
    client = world.client(0)
    await client.start()
    await client.put(b"/registry/a", b"1")
    await world.group.partition([0], [1, 2])
    await until(lambda: not world.group.running[0].has_leader)
    with pytest.raises(NoLeader):
        await client.put(b"/registry/a", b"2")
    await world.group.heal()
    await until(lambda: world.group.running[0].has_leader)
    await client.put(b"/registry/a", b"3")
    await client.stop()


async def test_a_watch_at_a_member_that_was_cut_off_is_ended(world: World) -> None:
    """Its stream ends, so that the client opens it at another member, where it goes on without a gap."""
    client = world.client(0, 1, 2)
    await client.start()
    seen: list[bytes] = []
    lost: list[EtcdError] = []

    def told(events: list[WatchedEvent]) -> None:
        seen.extend(event.kv.value for event in events)

    revision = (await client.put(b"/registry/a", b"0")).revision

    def watch() -> None:
        client.watch(b"/registry/a", None, revision + 1 + len(seen), on_events=told, on_lost=lost.append)

    watch()
    for number in range(1, 4):
        cut = number - 1
        await world.group.partition([cut], [place for place in range(3) if place != cut])
        await until(lambda at=cut: not world.group.running[at].has_leader)  # type: ignore[misc]
        async with asyncio.timeout(20):
            while True:
                try:
                    await client.put(b"/registry/a", b"%d" % number)
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
        try:
            await until(lambda count=number: len(seen) >= count or lost)  # type: ignore[misc]
        finally:
            await world.group.heal()
        if lost:
            lost.clear()
            watch()
        await until(lambda count=number: len(seen) >= count)  # type: ignore[misc]
    assert seen == [b"1", b"2", b"3"]
    await client.stop()
