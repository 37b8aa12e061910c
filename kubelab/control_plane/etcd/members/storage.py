"""What a member has to know again after a crash: its hard state, its log, and the snapshot before it.

    Ready ─► entries, hard state ─► append ─► flushed() ─► the promise may leave        (Disk: a Wal; Memory: a list)
             every so often       ─► save(snapshot, what comes after it) ─► older records are gone

    record  =  'E' entry │ 'H' term u64, vote u64, commit u64        snapshot  =  Raft's, with the machine as its data

Invariant: what `flushed` has returned for is there after kill -9, what came after may be lost, but only from the end;
           `commit` never says more than the log that is there: a snapshot may not have come to the disk before its end.
Models:    etcdserver's storage.go over its wal and snap packages
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from kubelab.control_plane.etcd.errors import StoreFailed
from kubelab.control_plane.etcd.members.machine import member_of
from kubelab.control_plane.etcd.raft.codec import decode_entry, decode_snapshot, encode_entry, encode_snapshot
from kubelab.control_plane.etcd.raft.types import Entry, HardState, Snapshot, SnapshotMeta
from kubelab.control_plane.etcd.server_api import MemberInfo
from kubelab.control_plane.etcd.wal import CorruptLog, Wal
from kubelab.machinery.clock import Clock

_HARD = struct.Struct("<QQQ")
MakeData = Callable[[], bytes]  # the machine's state as bytes, made only when they are written


class Stored(NamedTuple):
    """What was found: nothing at all for a member that has never run."""

    snapshot: Snapshot | None
    hard: HardState
    entries: Sequence[Entry]


class Storage(Protocol):
    """One member's disk. `since_snapshot` counts the records that a start would have to go through."""

    @property
    def since_snapshot(self) -> int: ...

    def open(self) -> Stored:
        """Take the disk and read it. Raises DataDirInUse, CorruptLog."""
        ...

    def append(self, entries: Sequence[Entry], hard: HardState | None) -> None:
        """Put entries and the hard state after what is there; entries replace those at and after the first of them.

        Raises StoreFailed.
        """
        ...

    async def flushed(self) -> None:
        """Wait until everything appended is on disk. Raises StoreFailed."""
        ...

    def save(self, meta: SnapshotMeta, data: MakeData, hard: HardState, after: Sequence[Entry]) -> asyncio.Future[None]:
        """Begin anew with a snapshot and the entries after it; done when it is on disk."""
        ...

    async def close(self, *, crash: bool = False) -> None:
        """Let go of the disk; in a crash what is not on its way there yet is lost."""
        ...


class Disk:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._wal: Wal | None = None

    @property
    def wal(self) -> Wal:
        assert self._wal is not None, "open it first"
        return self._wal

    @property
    def since_snapshot(self) -> int:
        return self.wal.records_since_snapshot

    def open(self) -> Stored:
        self._wal = Wal(self.folder)
        kept, payloads = self._wal.read()
        try:
            snapshot = decode_snapshot(kept)[0] if kept is not None else None
            return _replay(snapshot, payloads)
        except (struct.error, ValueError, IndexError) as error:
            raise CorruptLog(f"{self.folder} does not hold a member's log ({error}): restore it from a copy, or remove "
                             "the member, delete the folder and add it again") from None

    def append(self, entries: Sequence[Entry], hard: HardState | None) -> None:
        for entry in entries:
            self.wal.append(b"E" + encode_entry(entry))
        if hard is not None:
            self.wal.append(b"H" + _HARD.pack(*hard))

    async def flushed(self) -> None:
        await self.wal.flushed()

    def save(self, meta: SnapshotMeta, data: MakeData, hard: HardState, after: Sequence[Entry]) -> asyncio.Future[None]:
        done = self.wal.snapshot_soon(partial(_snapshot_bytes, meta, data))
        self.append(after, hard)  # in the same turn of the loop: the new segment must not begin without them
        return done

    async def close(self, *, crash: bool = False) -> None:
        wal, self._wal = self._wal, None
        if wal is not None:
            if crash:
                wal.abandon()
            await wal.close()


class Memory:
    """A disk that is as good as the process is: it outlives the member, with what was flushed."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._hard = HardState()
        self._meta: SnapshotMeta | None = None
        self._data: MakeData = bytes
        self._pending: list[tuple[Sequence[Entry], HardState | None]] = []
        self.since_snapshot = 0

    def open(self) -> Stored:
        self._pending = []
        snapshot = None if self._meta is None else Snapshot(self._meta, self._data())
        return Stored(snapshot, self._hard, tuple(self._entries))

    def append(self, entries: Sequence[Entry], hard: HardState | None) -> None:
        self._pending.append((entries, hard))
        self.since_snapshot += len(entries)

    async def flushed(self) -> None:
        pending, self._pending = self._pending, []
        for entries, hard in pending:
            _put(self._entries, entries)
            self._hard = hard or self._hard

    def save(self, meta: SnapshotMeta, data: MakeData, hard: HardState, after: Sequence[Entry]) -> asyncio.Future[None]:
        self._meta, self._data, self._entries, self._hard = meta, data, list(after), hard
        self._pending, self.since_snapshot = [], 0
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def close(self, *, crash: bool = False) -> None:
        if not crash:
            await self.flushed()


class SlowDisk:
    """Another storage behind a disk that takes `delay_s` for each flush, or refuses at all while `broken`."""

    def __init__(self, inner: Storage, clock: Clock) -> None:
        self._inner, self._clock, self.delay_s, self.broken = inner, clock, 0.0, False

    @property
    def since_snapshot(self) -> int:
        return self._inner.since_snapshot

    def open(self) -> Stored:
        return self._inner.open()

    def _check(self) -> None:
        if self.broken:
            raise StoreFailed("etcd cannot write: the disk refuses")

    def append(self, entries: Sequence[Entry], hard: HardState | None) -> None:
        self._check()
        self._inner.append(entries, hard)

    async def flushed(self) -> None:
        if self.delay_s:
            await self._clock.sleep(self.delay_s)
        self._check()
        await self._inner.flushed()

    def save(self, meta: SnapshotMeta, data: MakeData, hard: HardState, after: Sequence[Entry]) -> asyncio.Future[None]:
        self._check()
        return self._inner.save(meta, data, hard, after)

    async def close(self, *, crash: bool = False) -> None:
        await self._inner.close(crash=crash)


def remember(folder: Path, joined: tuple[int, MemberInfo]) -> None:
    """Write down who a folder belongs to, of which etcd: a member's id is chosen once, when it joins."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "member.json.tmp").write_text(json.dumps(joined))
    (folder / "member.json.tmp").rename(folder / "member.json")


def recall(folder: Path) -> tuple[int, MemberInfo] | None:
    """Return which etcd a folder belongs to, and who in it; None for nobody yet."""
    file = folder / "member.json"
    if not file.exists():
        return None
    cluster_id, fields = json.loads(file.read_text())
    return cluster_id, member_of(fields)


def _snapshot_bytes(meta: SnapshotMeta, data: MakeData) -> bytes:
    return encode_snapshot(Snapshot(meta, data()))


def _replay(snapshot: Snapshot | None, payloads: Iterable[bytes]) -> Stored:
    """Go through the records of a log. Raises ValueError, struct.error."""
    hard = HardState()
    entries: list[Entry] = []
    base = snapshot.meta.index if snapshot is not None else 0
    for payload in payloads:
        at = 0
        while at < len(payload):
            kind, at = payload[at:at + 1], at + 1
            if kind == b"E":
                entry, at = decode_entry(payload, at)
                if entry.index > base:
                    _put(entries, (entry,))
            elif kind == b"H":
                hard, at = HardState(*_HARD.unpack_from(payload, at)), at + _HARD.size
            else:
                raise ValueError(f"a record of kind {kind!r}")
    if hard.commit > (entries[-1].index if entries else base):
        hard = hard._replace(commit=base)  # it is of a snapshot that is not here; what is here may be of another leader
    return Stored(snapshot, hard, entries)


def _put(log: list[Entry], entries: Sequence[Entry]) -> None:
    """Put entries into a log, over those that stand at and after the first of them."""
    if entries and log:
        del log[max(0, entries[0].index - log[0].index):]
    log += entries
