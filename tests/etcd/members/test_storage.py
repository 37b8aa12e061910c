"""What a member finds on its disk after it ended, however it ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.control_plane.etcd.api import StoreFailed
from kubelab.control_plane.etcd.members.storage import Disk, Memory, SlowDisk, Storage, Stored, recall, remember
from kubelab.control_plane.etcd.raft.types import ConfState, Entry, HardState, SnapshotMeta
from kubelab.control_plane.etcd.server_api import MemberInfo
from kubelab.control_plane.etcd.wal import CorruptLog
from kubelab.machinery.clock import RealClock, SteppedClock

META = SnapshotMeta(3, 1, ConfState(frozenset((1, 2, 3))))


def entries(low: int, high: int, term: int = 1) -> list[Entry]:
    return [Entry(term, index, "normal", b"%d/%d" % (term, index)) for index in range(low, high + 1)]


@pytest.fixture(params=["disk", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Memory() if request.param == "memory" else Disk(tmp_path / "m0")


async def again(storage: Storage, *, crash: bool) -> Stored:
    await storage.close(crash=crash)
    return storage.open()


async def test_a_crash_loses_only_what_was_not_flushed(storage: Storage) -> None:
    """What `flushed` returned for is there, and what came after it is not, all of it or from some place on."""
    empty = storage.open()
    assert (empty.snapshot, empty.hard, list(empty.entries)) == (None, HardState(), [])
    storage.append(entries(1, 3), HardState(1, 2, 0))
    await storage.flushed()
    storage.append(entries(4, 5), HardState(1, 2, 3))
    found = await again(storage, crash=True)
    assert (found.hard, list(found.entries)) == (HardState(1, 2, 0), entries(1, 3))
    await storage.close()


async def test_an_end_in_order_loses_nothing(storage: Storage) -> None:
    """What was given to it is there, though nobody waited for it."""
    storage.open()
    storage.append(entries(1, 3), HardState(1, 2, 2))
    found = await again(storage, crash=False)
    assert (found.hard, list(found.entries)) == (HardState(1, 2, 2), entries(1, 3))
    await storage.close()


async def test_entries_replace_those_that_another_leader_wrote(storage: Storage) -> None:
    """Everything at and after the first of them is gone."""
    storage.open()
    storage.append(entries(1, 6), HardState(1, 0, 2))
    storage.append(entries(4, 5, term=2), HardState(2, 0, 2))
    await storage.flushed()
    found = await again(storage, crash=True)
    assert list(found.entries) == entries(1, 3) + entries(4, 5, term=2)
    await storage.close()


async def test_a_snapshot_replaces_what_made_it(storage: Storage) -> None:
    """A start begins with it and what came after it."""
    storage.open()
    storage.append(entries(1, 5), HardState(1, 0, 3))
    await storage.flushed()
    done = storage.save(META, lambda: b"the state", HardState(1, 0, 4), entries(4, 5))
    assert storage.since_snapshot <= 3
    storage.append(entries(6, 6), None)
    await storage.flushed()
    await done
    found = await again(storage, crash=True)
    assert found.snapshot is not None
    assert (found.snapshot.meta, found.snapshot.data) == (META, b"the state")
    assert (found.hard, list(found.entries)) == (HardState(1, 0, 4), entries(4, 6))
    await storage.close()


async def test_a_snapshot_that_never_came_to_the_disk_commits_nothing(tmp_path: Path) -> None:
    """The commit index that came with it must not make another leader's entries count."""
    disk = Disk(tmp_path)
    disk.open()
    disk.append(entries(1, 5), HardState(1, 0, 2))
    await disk.flushed()
    before = (tmp_path / "wal-00000000").read_bytes()
    done = disk.save(META._replace(index=9), lambda: b"the state", HardState(2, 0, 9), ())
    await disk.flushed()
    await done
    await disk.close()
    (tmp_path / "snap-00000001").unlink()  # as if kill -9 had come before it had its name
    (tmp_path / "wal-00000000").write_bytes(before)
    found = disk.open()
    assert (found.hard, list(found.entries)) == (HardState(2, 0, 0), entries(1, 5))
    await disk.close()


async def test_a_torn_end_is_cut_off_and_damage_before_it_is_told(tmp_path: Path) -> None:
    """A frame that was being written was promised to nobody; one in the middle was."""
    disk = Disk(tmp_path)
    disk.open()
    for index in range(1, 4):
        disk.append(entries(index, index), None)
        await disk.flushed()
    await disk.close()
    file = tmp_path / "wal-00000000"
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    torn = Disk(tmp_path)
    assert list(torn.open().entries) == entries(1, 2)
    await torn.close()
    file.write_bytes(whole[:12] + b"?" + whole[13:])
    damaged = Disk(tmp_path)
    with pytest.raises(CorruptLog, match="restore it from a copy"):
        damaged.open()
    await damaged.close()


async def test_records_of_anything_else_are_told(tmp_path: Path) -> None:
    """A folder of an etcd that is alone is no member's."""
    disk = Disk(tmp_path)
    disk.open()
    disk.wal.append(b"Zanything")
    await disk.flushed()
    await disk.close()
    with pytest.raises(CorruptLog, match="does not hold a member's log"):
        disk.open()
    await disk.close()


APPENDS = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 4), st.booleans()), max_size=12)


@settings(max_examples=60, deadline=None)
@given(APPENDS)
def test_memory_and_disk_agree(tmp_path_factory: pytest.TempPathFactory, appends: list[tuple[int, int, bool]]) -> None:
    """Whatever is appended, flushed and lost, both remember the same."""
    async def run(storage: Storage) -> list[Entry]:
        storage.open()
        last = 0
        for term, (start, length, flush) in enumerate(appends, 1):
            low = min(start, last + 1)
            last = low + length - 1
            storage.append(entries(low, last, term), HardState(term, 0, 0))
            if flush:
                await storage.flushed()
        await storage.flushed()
        found = await again(storage, crash=True)
        await storage.close()
        assert found.hard.term == len(appends)
        return list(found.entries)

    folder = tmp_path_factory.mktemp("disk")
    assert asyncio.run(run(Memory())) == asyncio.run(run(Disk(folder)))


async def test_a_slow_disk_takes_its_time_and_a_broken_one_nothing() -> None:
    """The time is the clock's; a broken disk refuses entries, snapshots, and what waits to be written."""
    clock = SteppedClock()
    disk = SlowDisk(Memory(), clock)
    disk.open()
    disk.delay_s = 2.0
    disk.append(entries(1, 1), None)
    flushed = asyncio.ensure_future(disk.flushed())
    await clock.step(1.9)
    assert not flushed.done()
    await clock.step(0.2)
    await flushed
    disk.broken = True
    for write in (lambda: disk.append(entries(2, 2), None), lambda: disk.save(META, bytes, HardState(), ())):
        with pytest.raises(StoreFailed, match="the disk refuses"):
            write()
    with pytest.raises(StoreFailed, match="the disk refuses"):
        await SlowDiskNow(disk).flushed()


class SlowDiskNow(SlowDisk):
    """A broken disk in front of another, without delay."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner, RealClock())
        self.broken = True


def test_a_folder_remembers_whose_it_is(tmp_path: Path) -> None:
    """A member's id is chosen once."""
    assert recall(tmp_path / "m0") is None
    me = MemberInfo(7, "m0", ("in-process://m0",), ("http://127.0.0.1:1",), True)
    remember(tmp_path / "m0", (9, me))
    assert recall(tmp_path / "m0") == (9, me)
