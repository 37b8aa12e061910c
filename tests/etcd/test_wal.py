"""The log on disk: what was acknowledged is there after whatever happened."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kubelab.control_plane.etcd import wal
from kubelab.control_plane.etcd.api import DeleteRange, Put, StoreFailed, WatchedEvent, prefix_end
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.etcd.wal import CorruptLog, DataDirInUse
from kubelab.machinery.clock import SteppedClock


async def opened(folder: Path, **options: int) -> EmbeddedEtcd:
    etcd = EmbeddedEtcd(folder, SteppedClock(), **options)
    await etcd.start()
    return etcd


async def test_everything_comes_back(tmp_path: Path) -> None:
    """Keys, their revisions, history, leases and the compaction survive a restart."""
    etcd = await opened(tmp_path)
    lease = await etcd.lease_grant(60)
    await etcd.put(b"a", b"1")
    await etcd.txn((), [Put(b"a", b"2"), Put(b"b", b"x" * 5000, lease)])
    await etcd.delete_range(b"a")
    await etcd.compact(3)
    before = await etcd.range(b"", b"\0")
    await etcd.stop()

    etcd = await opened(tmp_path)
    assert (await etcd.range(b"", b"\0")) == before
    assert (etcd.revision, etcd.compact_revision) == (4, 3)
    assert (await etcd.range(b"a", revision=3)).kvs[0].value == b"2"
    assert (await etcd.lease_time_to_live(lease)) == (60, 60, [b"b"])
    await etcd.put(b"c", b"1")
    assert etcd.revision == 5
    await etcd.stop()


async def test_snapshots_replace_the_log(tmp_path: Path) -> None:
    """After enough entries a snapshot is written and older segments go; a start from it has the same keys."""
    etcd = await opened(tmp_path, snapshot_every=50)
    for i in range(220):
        await etcd.put(b"k%d" % (i % 7), b"%d" % i)
    expected = await etcd.range(b"", b"\0")
    await etcd.stop()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name[:4] for name in names] == ["lock", "snap", "wal-"]

    etcd = await opened(tmp_path)
    assert (await etcd.range(b"", b"\0")) == expected
    await etcd.stop()


async def test_many_writers_share_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes that come while the disk is busy are committed together."""
    syncs = []
    real = wal._sync
    monkeypatch.setattr(wal, "_sync", lambda fd: (syncs.append(fd), real(fd)))
    etcd = await opened(tmp_path)
    await asyncio.gather(*(etcd.put(b"k%d" % i, b"v") for i in range(200)))
    assert len(syncs) <= 20
    assert (await etcd.range(b"k", prefix_end(b"k"))).count == 200
    await etcd.stop()


async def test_watches_hear_of_durable_writes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch is told of a write when it is on disk, not before."""
    calls: list[list[WatchedEvent]] = []
    told_at_sync = []
    real = wal._sync
    monkeypatch.setattr(wal, "_sync", lambda fd: (told_at_sync.append(len(calls)), real(fd)))
    etcd = await opened(tmp_path)
    etcd.watch(b"k", on_events=calls.append)
    await etcd.put(b"k", b"v")
    assert told_at_sync == [0]
    assert len(calls) == 1
    await etcd.stop()


@pytest.mark.parametrize("cut", [1, 3, 8, 9, 20])
async def test_a_torn_tail_is_cut(tmp_path: Path, cut: int) -> None:
    """A last frame that is not whole was never acknowledged: it is cut off and the store goes on."""
    etcd = await opened(tmp_path)
    await etcd.put(b"a", b"1")
    await etcd.put(b"b", b"1")
    await etcd.stop()
    path = tmp_path / "wal-00000000"
    path.write_bytes(path.read_bytes()[:-cut])

    etcd = await opened(tmp_path)
    assert [kv.key for kv in (await etcd.range(b"", b"\0")).kvs] == [b"a"]
    await etcd.put(b"c", b"1")
    await etcd.stop()
    etcd = await opened(tmp_path)
    assert [kv.key for kv in (await etcd.range(b"", b"\0")).kvs] == [b"a", b"c"]
    await etcd.stop()


async def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    """A frame that was acknowledged and no longer matches its checksum stops the start, with the place in the file."""
    etcd = await opened(tmp_path)
    for i in range(3):
        await etcd.put(b"k%d" % i, b"value")
    await etcd.stop()
    path = tmp_path / "wal-00000000"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptLog, match="wal-00000000 is damaged at byte 0"):
        await opened(tmp_path)


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """The folder belongs to one process at a time, and the message names who has it."""
    etcd = await opened(tmp_path)
    with pytest.raises(DataDirInUse, match=f"in use by process {os.getpid()}"):
        await opened(tmp_path)
    await etcd.stop()
    await (await opened(tmp_path)).stop()


async def test_a_full_disk_acknowledges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses a write the caller is told, and the store comes back with what the disk has."""
    etcd = await opened(tmp_path)
    await etcd.put(b"a", b"1")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(wal, "_sync", full)
        with pytest.raises(StoreFailed, match="No space left"):
            await etcd.put(b"b", b"1")
        with pytest.raises(StoreFailed):
            await etcd.put(b"c", b"1")
    again = asyncio.Event()
    etcd.on_state.append(lambda component: again.set() if component.state == "running" else None)
    await asyncio.wait_for(again.wait(), 10)
    await asyncio.sleep(0)  # the supervised run begins, and with it the new log
    while etcd._wal is None or etcd._wal.failure is not None:  # noqa: ASYNC110 - a disk has no event
        await asyncio.sleep(0.01)
    await etcd.put(b"d", b"1")
    assert b"c" not in [kv.key for kv in (await etcd.range(b"", b"\0")).kvs]
    await etcd.stop()


WRITER = """
import asyncio, sys
from pathlib import Path
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock

async def write(etcd, writer, start):
    for i in range(start, 1_000_000):
        await etcd.put(b"w%d/%08d" % (writer, i), b"x" * 100)
        sys.stdout.write(f"{writer} {i}\\n"); sys.stdout.flush()

async def main():
    etcd = EmbeddedEtcd(Path(sys.argv[1]), RealClock(), snapshot_every=300)
    await etcd.start()
    await asyncio.gather(*(write(etcd, w, int(sys.argv[2])) for w in range(8)))

asyncio.run(main())
"""


def write_and_kill(folder: Path, start: int, lines_to_see: int) -> set[bytes]:
    """Let a process write until it has acknowledged so much, kill it, return the keys that it acknowledged."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(start)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(lines_to_see)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    told = [line.split() for line in lines if line.endswith(b"\n")]
    return {b"w%d/%08d" % (int(writer), int(number)) for writer, number in told}


async def test_kill_9_in_a_loop_of_writes_loses_nothing(tmp_path: Path) -> None:
    """Killed again and again while eight writers write, the store has every write that it had acknowledged."""
    acknowledged: set[bytes] = set()
    for turn in range(5):
        start = turn * 100_000
        acknowledged |= await asyncio.to_thread(write_and_kill, tmp_path, start, 300 + 170 * turn)
        etcd = await opened(tmp_path)
        there = {kv.key for kv in (await etcd.range(b"w", prefix_end(b"w"), keys_only=True)).kvs}
        assert acknowledged <= there
        await etcd.stop()
    assert len(acknowledged) > 1000


async def test_deletions_are_logged(tmp_path: Path) -> None:
    """A range deletion in a transaction is replayed key by key."""
    etcd = await opened(tmp_path)
    for i in range(5):
        await etcd.put(b"k%d" % i, b"v")
    await etcd.txn((), [DeleteRange(b"k1", b"k4"), Put(b"z", b"")])
    await etcd.stop()
    etcd = await opened(tmp_path)
    found = await etcd.range(b"", b"\0")
    assert [(kv.key, kv.value) for kv in found.kvs] == [(b"k0", b"v"), (b"k4", b"v"), (b"z", b"")]
    await etcd.stop()
