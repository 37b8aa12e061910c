"""The consensus view on a store that really has three members: what its buttons do, and what it then shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.machinery.clock import RealClock
from kubelab.views.consensus import Flights, picture
from kubelab.views.consensus_view import act


@pytest.fixture
async def group() -> AsyncIterator[EtcdGroup]:
    members = EtcdGroup(3, None, RealClock())
    await members.start()
    yield members
    await members.stop()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - members have no event for a view, which looks from time to time
            await asyncio.sleep(0.02)


def states(group: EtcdGroup) -> list[str]:
    return [member["state"] for member in picture(group)["members"]]


async def test_the_picture_is_that_of_the_real_logs(group: EtcdGroup) -> None:
    """Every member shows its role, its term and the keys at the end of its log; messages fly from the leader."""
    flights = Flights()
    unsubscribe = group.messages.subscribe(flights.hear)
    await group.put(b"/registry/pods/default/web-1", b"{}")
    await until(lambda: len({member["applied"] for member in picture(group)["members"]}) == 1)
    unsubscribe()
    shown = picture(group)
    assert [member["role"] for member in shown["members"]] == ["leader", "follower", "follower"]
    assert (shown["leader"], shown["quorum"], shown["groups"]) == ("m0", 2, [])
    for member in shown["members"]:
        assert member["log"][-1][2] == "/registry/pods/default/web-1"
        assert member["log"][-1][1] == member["term"]
    flown = {(sender, receiver, kind) for sender, receiver, kind, _ in flights.take()}
    assert {("m0", "m1", "append"), ("m2", "m0", "append-response")} <= flown


async def test_kill_and_restart(group: EtcdGroup) -> None:
    """The leader is dead, another leads; restarted, it follows."""
    await act(group, {"act": "kill", "member": 0})
    assert states(group) == ["dead", "running", "running"]
    await until(lambda: picture(group)["leader"] in ("m1", "m2"))
    await act(group, {"act": "restart", "member": 0})
    await until(lambda: picture(group)["members"][0]["leader"] == picture(group)["leader"] != "")


async def test_pause_and_resume(group: EtcdGroup) -> None:
    """A leader that stands still is followed no longer, and follows when it goes on."""
    await act(group, {"act": "pause", "member": 0})
    assert states(group)[0] == "paused"
    await until(lambda: picture(group)["leader"] in ("m1", "m2"))
    await group.put(b"/a", b"1")
    await act(group, {"act": "resume", "member": 0})
    await until(lambda: picture(group)["members"][0]["role"] == "follower")
    await until(lambda: len({member["applied"] for member in picture(group)["members"]}) == 1)


async def test_slow_and_fast(group: EtcdGroup) -> None:
    """A member with a slow disk says so, and is well again when its disk is fast."""
    await act(group, {"act": "slow", "member": 1})
    assert states(group) == ["running", "slow", "running"]
    await group.put(b"/a", b"1")
    await act(group, {"act": "fast", "member": 1})
    assert states(group) == ["running"] * 3


async def test_partition_and_heal(group: EtcdGroup) -> None:
    """Cut off, the leader is none any more in the picture; the side with the majority has the next one."""
    await act(group, {"act": "partition", "groups": [[0], [1, 2]]})
    assert picture(group)["groups"] == [[0], [1, 2]]
    await until(lambda: picture(group)["leader"] in ("m1", "m2"))
    await act(group, {"act": "heal"})
    await until(lambda: picture(group)["members"][0]["leader"] == picture(group)["leader"] != "")
    assert picture(group)["groups"] == []
