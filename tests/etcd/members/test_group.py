"""A group as a whole: what one can count on when members end, hang, join and leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from kubelab.control_plane.etcd.errors import LeaderFailed, LearnerNotReady, LeaseNotFound, TimedOut, Unavailable
from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.control_plane.etcd.members.member import INBOX_BYTES
from kubelab.control_plane.etcd.members.parcels import Proposal
from kubelab.control_plane.etcd.members.replica import Settings
from kubelab.machinery.clock import RealClock, SteppedClock

from .conftest import Seeded

SMALL = Settings(snapshot_every=50, keep=10)


class Stepped:
    """A group of three in memory, and its time."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.group = EtcdGroup(3, None, self.clock, settings=SMALL)

    async def live(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.ensure_future(work)
        for _ in range(2_000):
            if task.done():
                break
            await self.clock.step(0.03, settle=20)
        assert task.done(), "it never ends"
        return task.result()


@pytest.fixture
async def stepped(seeded: Seeded) -> AsyncIterator[Stepped]:
    seeded(1)
    made = Stepped()
    await made.live(made.group.start())
    yield made
    await made.live(made.group.stop())


async def test_without_a_majority_a_write_ends_in_etcds_error_and_comes_back_with_it(stepped: Stepped) -> None:
    """After the request's time, not before; the survivors take up again."""
    group = stepped.group
    for place in (1, 2):
        await group.kill(place)
    began = stepped.clock.monotonic()
    with pytest.raises((TimedOut, LeaderFailed)):
        await stepped.live(group.put(b"k", b"lost?"))
    assert 6.9 < stepped.clock.monotonic() - began < 7.5
    with pytest.raises((TimedOut, LeaderFailed)):
        await stepped.live(group.range(b"k"))
    await group.restart(1)
    await stepped.live(group.put(b"k", b"v"))
    assert (await stepped.live(group.range(b"k"))).kvs[0].value == b"v"


async def test_who_asks_one_member_reads_its_own_write_there(stepped: Stepped) -> None:
    """Also from what that member alone knows."""
    for number in range(20):
        member = stepped.group.running[number % 3]
        await stepped.live(member.put(b"k", b"%d" % number))
        found = member.machine.store.get(b"k")
        assert found is not None
        assert found.value == b"%d" % number


async def test_a_lease_outlives_its_leader_and_ends_once(stepped: Stepped) -> None:
    """The next leader gives it its whole time, then its keys go at one revision."""
    group = stepped.group
    lease = await stepped.live(group.lease_grant(5))
    await stepped.live(group.put(b"k", b"v", lease=lease))
    await stepped.clock.step(3)
    await group.kill(group.leader)
    await stepped.clock.step(3.5)
    assert (await stepped.live(group.range(b"k"))).count == 1
    before = group.revision
    await stepped.clock.step(4)
    assert (await stepped.live(group.range(b"k"))).count == 0
    assert group.revision == before + 1
    with pytest.raises(LeaseNotFound):
        await stepped.live(group.lease_time_to_live(lease))


async def test_a_member_that_lags_comes_back_by_a_snapshot(stepped: Stepped) -> None:
    """What it missed is no longer in anyone's log."""
    group = stepped.group
    away = (group.leader + 1) % 3
    await group.kill(away)
    for number in range(120):
        await stepped.live(group.put(b"k", b"%d" % number))
    assert group.running[group.leader].replica.node.log.first > 50
    await group.restart(away)
    await stepped.clock.step(2)
    back = group.running[away]
    assert (await back.hash_kv()) == (await group.running[group.leader].hash_kv())


async def test_a_member_that_stands_still_keeps_as_much_as_a_socket_would(stepped: Stepped) -> None:
    """What does not fit is lost; what waits is heard when it goes on."""
    group = stepped.group
    still = group.running[(group.leader + 1) % 3]
    still.pause()
    for number in range(2_000):
        still.receive(Proposal(number, 1, "normal", bytes(10_000)))
    assert sum(len(parcel.data) for parcel in still._inbox if isinstance(parcel, Proposal)) <= INBOX_BYTES
    still.resume()
    assert not still._inbox


async def test_the_leader_is_removed_and_the_others_go_on(stepped: Stepped) -> None:
    """It hands over first, so that whoever asked hears of it."""
    group = stepped.group
    gone = group.running[group.leader]
    await stepped.live(group.remove_member(group.leader))
    await stepped.live(group.put(b"k", b"v"))
    assert gone not in group.running
    assert gone.me.id not in {member.id for member in await stepped.live(group.member_list())}


async def test_a_learner_joins_and_is_given_its_vote(stepped: Stepped) -> None:
    """It comes by a snapshot, answers nobody, and then counts."""
    group = stepped.group
    for number in range(80):
        await stepped.live(group.put(b"k", b"%d" % number))
    place = await stepped.live(group.add_member(learner=True))
    await stepped.clock.step(2)
    with pytest.raises(Unavailable, match="learner"):
        await stepped.live(group.running[place].range(b"k"))
    await stepped.live(group.promote(place))
    await stepped.clock.step(1)
    assert group.members[place].role == "follower"
    assert (await stepped.live(group.running[place].range(b"k"))).kvs[0].value == b"79"


async def test_a_learner_that_lags_is_not_promoted(stepped: Stepped) -> None:
    """Its vote would be missing where one is needed."""
    group = stepped.group
    place = await stepped.live(group.add_member(learner=True))
    await group.kill(place)
    for number in range(40):
        await stepped.live(group.put(b"k", b"%d" % number))
    with pytest.raises(LearnerNotReady):
        await stepped.live(group.promote(place))


async def test_a_watch_is_refused_whose_past_nobody_alive_knows_yet(stepped: Stepped) -> None:
    """Rather than to begin with a hole; a moment later it is told everything."""
    group, told = stepped.group, []  # type: EtcdGroup, list[int]
    for number in range(30):
        await stepped.live(group.put(b"k", b"%d" % number))
    for place in range(3):
        await group.kill(place)
    group._recent.clear()  # as if it were long ago
    await group.restart(0)
    with pytest.raises(Unavailable):
        group.watch(b"k", None, 2, on_events=lambda events: None)
    await group.restart(1)
    await stepped.live(group.put(b"k", b"last"))
    group.watch(b"k", None, 2, on_events=lambda events: told.extend(event.kv.mod_revision for event in events))
    assert told == list(range(2, 33))


async def test_a_disk_that_refuses_ends_its_member_visibly(tmp_path: Path) -> None:
    """The others go on; it comes back when its disk does."""
    group = EtcdGroup(3, tmp_path, RealClock())
    await group.start()
    broken = group.running[group.leader]
    group._disks[broken.name].broken = True
    await group.put(b"k", b"v")
    while not broken.restarts:
        await RealClock().sleep(0.01)
    assert "the disk refuses" in str(broken.last_error)
    group._disks[broken.name].broken = False
    while broken.machine.store.get(b"k") is None:
        await RealClock().sleep(0.01)
    await group.stop()


async def test_a_whole_group_is_there_again_after_its_end(tmp_path: Path) -> None:
    """With who joined, which had nothing yet, as one that joined, and without who left."""
    group = EtcdGroup(3, tmp_path, RealClock())
    await group.start()
    await group.put(b"k", b"v")
    place = await group.add_member()
    joined = group.running[place].me
    await group.stop()
    for file in (tmp_path / joined.name).glob("*-0*"):
        file.unlink()  # as if it had ended before it was sent anything
    again = EtcdGroup(3, tmp_path, RealClock())
    await again.start()
    assert (await again.range(b"k")).kvs[0].value == b"v"
    back = next(member for member in again.running if member.me.id == joined.id)
    while back.machine.store.get(b"k") is None:
        await RealClock().sleep(0.01)
    assert back.machine.state().members == again.running[0].machine.state().members
    await again.stop()
