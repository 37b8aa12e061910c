"""One member among others: what it survives, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kubelab.control_plane.etcd.errors import BadTransferee, NotLeader, TooManyRequests, Unavailable
from kubelab.control_plane.etcd.members import group as groups
from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.control_plane.etcd.members.replica import Replica
from kubelab.machinery.clock import RealClock


@pytest.fixture
async def group() -> AsyncIterator[EtcdGroup]:
    members = EtcdGroup(3, None, RealClock())
    await members.start()
    yield members
    await members.stop()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - members have no event for a test
            await asyncio.sleep(0.02)


async def test_a_turn_that_fails_lets_the_member_begin_again(group: EtcdGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was, its absence is seen, the others go on, and it comes back with all that was agreed on."""
    broken = group.running[1]
    turn = Replica.turn

    async def fails(replica: Replica) -> None:
        if replica.me.id == broken.me.id:
            raise RuntimeError("a fault of ours")
        await turn(replica)

    monkeypatch.setattr(Replica, "turn", fails)
    await group.put(b"a", b"1")
    await until(lambda: broken.state == "restarting")
    assert isinstance(broken.last_error, RuntimeError)
    monkeypatch.setattr(Replica, "turn", turn)
    await until(lambda: broken.state == "running" and broken.revision == group.revision)
    assert (await broken.hash_kv()).value == (await group.running[0].hash_kv()).value


async def test_only_the_leader_hands_over_and_only_to_a_voter(group: EtcdGroup) -> None:
    """A follower says that it does not lead; a stranger is no heir."""
    with pytest.raises(NotLeader):
        await group.running[1].move_leader(group.running[2].me.id)
    with pytest.raises(BadTransferee):
        await group.running[0].move_leader(12345)
    await group.move_leader(2)
    assert group.running[2].role == "leader"


async def test_a_stopped_member_turns_everyone_away(group: EtcdGroup) -> None:
    """Who asks, watches or waits there is told so, and does not wait for ever."""
    member, lost = group.running[1], []
    member.watch(b"a", on_events=lambda events: None, on_lost=lost.append)
    member.pause()
    reading = asyncio.create_task(member.confirm())
    writing = asyncio.create_task(member.put(b"a", b"1"))
    await asyncio.sleep(0)
    await member.stop()
    for waiting in (reading, writing):
        with pytest.raises(Unavailable):
            await waiting
    with pytest.raises(Unavailable):
        await member.put(b"a", b"1")
    assert [type(why) for why in lost] == [Unavailable]


async def test_too_many_requests_under_way_are_refused(group: EtcdGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit one is told to come back, and those before go through."""
    monkeypatch.setattr(groups, "MAX_PENDING", 5)
    answers = await asyncio.gather(*(group.put(b"k%d" % i, b"v") for i in range(9)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooManyRequests)]
    assert len(refused) == 4 and not any(isinstance(a, Exception) for a in answers if a not in refused)
