"""The write-ahead log: what the store acknowledged is on disk, whatever happens next.

    append(entry) ─► batch ─► one frame ─► write + fsync (in a thread) ─► everyone in the batch goes on
                      ▲                        │ while it runs, the next batch gathers: group commit
                      └────────────────────────┘

    data_dir/  lock              held while a process uses the folder
               snap-00000002     the whole state before wal-00000002 (one frame)
               wal-00000002      frames since then

    frame   =  length u32 │ crc32 u32 │ payload           payload = entries, one after the other
    entry   =  'T' revision count, then per change: key, value or none, lease │ 'L' id ttl │ 'R' id │ 'C' revision

Invariants: a frame is written only after the one before it is on disk, so only the last can be torn, and a torn
            frame was never acknowledged; a snapshot is complete before what it replaces is deleted.
Models:     etcd's wal and snap packages
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import zlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

from kubelab.control_plane.etcd.api import KeyValue, StoreFailed

_FRAME = struct.Struct("<II")
_TXN = struct.Struct("<QI")
_CHANGE = struct.Struct("<iiq")  # key length, value length or -1 for a deletion, lease
_LEASE = struct.Struct("<qq")
_ID = struct.Struct("<q")
_SNAP = struct.Struct("<QII")  # revision, number of keys, number of leases
_KEY = struct.Struct("<iiqqqq")  # key length, value length, create revision, mod revision, version, lease


class Txn(NamedTuple):
    revision: int
    changes: Sequence[tuple[bytes, bytes | None, int]]  # key, value or None for a deletion, lease


class Grant(NamedTuple):
    lease: int
    ttl_s: int


class Revoke(NamedTuple):
    lease: int


class Compact(NamedTuple):
    revision: int


Entry = Txn | Grant | Revoke | Compact


class Snapshot(NamedTuple):
    revision: int
    kvs: Sequence[KeyValue]
    leases: Sequence[tuple[int, int]]  # id, ttl


class CorruptLog(Exception):
    """Acknowledged data on disk is damaged; starting from the rest would silently lose writes."""


class DataDirInUse(Exception):
    """Another process holds this data directory."""


# ── entries as bytes ─────────────────────────────────────────────────────────────────────────────────────────────


def encode(entry: Entry) -> bytes:
    if isinstance(entry, Txn):
        parts = [b"T", _TXN.pack(entry.revision, len(entry.changes))]
        for key, value, lease in entry.changes:
            parts += (_CHANGE.pack(len(key), -1 if value is None else len(value), lease), key, value or b"")
        return b"".join(parts)
    if isinstance(entry, Grant):
        return b"L" + _LEASE.pack(*entry)
    return (b"R" if isinstance(entry, Revoke) else b"C") + _ID.pack(entry[0])


def decode(payload: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(payload):
        kind, at = payload[at:at + 1], at + 1
        if kind == b"T":
            revision, count = _TXN.unpack_from(payload, at)
            at += _TXN.size
            changes: list[tuple[bytes, bytes | None, int]] = []
            for _ in range(count):
                key_len, value_len, lease = _CHANGE.unpack_from(payload, at)
                at += _CHANGE.size
                key, at = payload[at:at + key_len], at + key_len
                value = None if value_len < 0 else payload[at:at + value_len]
                at += max(value_len, 0)
                changes.append((key, value, lease))
            yield Txn(revision, changes)
        elif kind == b"L":
            yield Grant(*_LEASE.unpack_from(payload, at))
            at += _LEASE.size
        else:
            yield (Revoke if kind == b"R" else Compact)(*_ID.unpack_from(payload, at))
            at += _ID.size


def encode_snapshot(snapshot: Snapshot) -> bytes:
    parts = [_SNAP.pack(snapshot.revision, len(snapshot.kvs), len(snapshot.leases))]
    for key, value, create, mod, version, lease in snapshot.kvs:
        parts += (_KEY.pack(len(key), len(value), create, mod, version, lease), key, value)
    parts += (_LEASE.pack(*lease) for lease in snapshot.leases)
    return b"".join(parts)


def decode_snapshot(payload: bytes) -> Snapshot:
    revision, keys, leases = _SNAP.unpack_from(payload)
    at = _SNAP.size
    kvs = []
    for _ in range(keys):
        key_len, value_len, create, mod, version, lease = _KEY.unpack_from(payload, at)
        at += _KEY.size
        middle = at + key_len
        kvs.append(KeyValue(payload[at:middle], payload[middle:middle + value_len], create, mod, version, lease))
        at = middle + value_len
    granted = [_LEASE.unpack_from(payload, at + i * _LEASE.size) for i in range(leases)]
    return Snapshot(revision, kvs, [(lease, ttl) for lease, ttl in granted])


def frame(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def read_frames(path: Path, *, may_be_torn: bool) -> list[bytes]:
    """Return the payloads of a file; cut off a torn last frame. Raises CorruptLog for any other damage."""
    data = path.read_bytes()
    payloads: list[bytes] = []
    at = 0
    while at < len(data):
        payload = _payload_at(data, at)
        if payload is None:
            if not may_be_torn or _any_frame_after(data, at):
                raise CorruptLog(f"{path} is damaged at byte {at}, in the middle of acknowledged data: restore it from "
                                 "a copy, or delete the folder to begin with an empty cluster")
            with path.open("r+b") as file:
                file.truncate(at)
                os.fsync(file.fileno())
            break
        payloads.append(payload)
        at += _FRAME.size + len(payload)
    return payloads


def _payload_at(data: bytes, at: int) -> bytes | None:
    if at + _FRAME.size > len(data):
        return None
    length, crc = _FRAME.unpack_from(data, at)
    payload = data[at + _FRAME.size:at + _FRAME.size + length]
    return payload if 0 < length == len(payload) and zlib.crc32(payload) == crc else None


def _any_frame_after(data: bytes, at: int) -> bool:
    """Tell whether the damaged frame at `at` is followed by a whole one: then it is not a torn tail."""
    if at + _FRAME.size > len(data):
        return False
    end = at + _FRAME.size + int(_FRAME.unpack_from(data, at)[0])
    return end < len(data) and _payload_at(data, end) is not None


# ── the folder ───────────────────────────────────────────────────────────────────────────────────────────────────


class Wal:
    """The open log of one data directory. `on_durable(revision)` is called on the loop after each batch."""

    def __init__(self, data_dir: Path, on_durable: Callable[[int], None]) -> None:
        """Take the folder. Raises DataDirInUse."""
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.data_dir, self._on_durable = data_dir, on_durable
        self._lock = _lock(data_dir)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="etcd-wal")  # one commits, one writes snapshots
        self._file: IO[bytes] | None = None
        self._segment = 0
        self._batch: list[bytes] = []
        self._batch_revision = 0
        self._batch_done: asyncio.Future[None] | None = None  # the batch that gathers
        self._writing: asyncio.Future[None] | None = None  # the batch that is being written
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_snapshot: Snapshot | None = None
        self.entries_since_snapshot = 0
        self.failure: StoreFailed | None = None  # once set, nothing is written any more
        self.failed = asyncio.Event()

    def read(self) -> tuple[Snapshot | None, Iterator[Entry]]:
        """Return the newest snapshot and the entries since, then be open for appending. Raises CorruptLog.

        Entries that the snapshot already holds may come again.
        """
        for leftover in self.data_dir.glob("*.tmp"):
            leftover.unlink()
        base = max(self._numbers("snap"), default=0)
        snapshot = None
        if base:
            snapshot = decode_snapshot(read_frames(self._path("snap", base), may_be_torn=False)[0])
        self._forget_before(base)
        segments = sorted(self._numbers("wal"))
        self._segment = segments[-1] if segments else base
        payloads: list[bytes] = []
        for n in segments:
            payloads += read_frames(self._path("wal", n), may_be_torn=n == self._segment)
        self._open_segment(self._segment)
        return snapshot, (entry for payload in payloads for entry in decode(payload))

    def append(self, entry: Entry) -> None:
        """Put an entry into the batch that gathers. Raises StoreFailed."""
        if self.failure is not None:
            raise self.failure
        self._batch.append(encode(entry))
        self.entries_since_snapshot += 1
        if isinstance(entry, Txn):
            self._batch_revision = entry.revision
        if self._batch_done is None:
            loop = asyncio.get_running_loop()
            self._batch_done = loop.create_future()
            if self._writing is None:
                self._spawn(self._commit())

    async def flushed(self) -> None:
        """Wait until everything appended so far is on disk. Raises StoreFailed."""
        if self.failure is not None:
            raise self.failure
        waiting = self._batch_done or self._writing
        if waiting is not None:
            await asyncio.shield(waiting)

    async def _commit(self) -> None:
        """Write batch after batch until nothing gathers any more."""
        loop = asyncio.get_running_loop()
        while self._batch_done is not None:
            data, done, revision = frame(b"".join(self._batch)), self._batch_done, self._batch_revision
            self._batch, self._batch_done, self._writing = [], None, done
            try:
                if self._next_snapshot is not None:
                    self._rotate(self._next_snapshot)
                await loop.run_in_executor(self._threads, self._write, data)  # after this the batch is durable
            except OSError as error:
                self._fail(error, done)
                return
            self._writing = None
            self._on_durable(revision)
            done.set_result(None)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        fd, rest = self._file.fileno(), memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest):]
        _sync(fd)

    def _fail(self, error: OSError, *waiting: asyncio.Future[None]) -> None:
        self.failure = failure = StoreFailed(f"etcd cannot write to {self.data_dir}: {error}")
        self.failed.set()
        gathering, self._batch, self._batch_done, self._writing = self._batch_done, [], None, None
        for future in (*waiting, gathering):
            if future is not None:
                future.set_exception(failure)
                future.exception()  # a waiter may be gone; that is no reason for a warning

    def snapshot_soon(self, snapshot: Snapshot) -> None:
        """Have the state so far written beside a new segment, and the segments before it forgotten."""
        self._next_snapshot = snapshot
        self.entries_since_snapshot = 0

    def _rotate(self, snapshot: Snapshot) -> None:
        self._next_snapshot = None
        self._open_segment(self._segment + 1)
        self._spawn(self._save(self._segment, snapshot))

    async def _save(self, segment: int, snapshot: Snapshot) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._write_snapshot, segment, snapshot)
        except OSError as error:
            self._fail(error)

    def _write_snapshot(self, segment: int, snapshot: Snapshot) -> None:
        temporary = self.data_dir / f"snap-{segment:08d}.tmp"
        with open(temporary, "wb", opener=_private) as file:
            file.write(frame(encode_snapshot(snapshot)))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path("snap", segment))
        _sync_folder(self.data_dir)  # from here on a start begins with this snapshot
        self._forget_before(segment)

    def _forget_before(self, segment: int) -> None:
        for kind in ("snap", "wal"):
            for n in self._numbers(kind):
                if n < segment:
                    self._path(kind, n).unlink()

    def _open_segment(self, segment: int) -> None:
        if self._file is not None:
            self._file.close()
        self._segment = segment
        self._file = open(self._path("wal", segment), "ab", buffering=0, opener=_private)  # noqa: SIM115 - held open
        _sync_folder(self.data_dir)

    def _path(self, kind: str, n: int) -> Path:
        return self.data_dir / f"{kind}-{n:08d}"

    def _numbers(self, kind: str) -> list[int]:
        return [int(path.name.removeprefix(f"{kind}-")) for path in self.data_dir.glob(f"{kind}-" + "[0-9]" * 8)]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Write what is left and let go of the folder."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._threads.shutdown()
        if self._file is not None:
            self._file.close()
        self._lock.close()


def _sync(fd: int) -> None:
    getattr(os, "fdatasync", os.fsync)(fd)


def _private(path: str, flags: int) -> int:
    """Make a file that its owner alone may read: every Secret of the cluster stands in it."""
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can do that."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _lock(data_dir: Path) -> IO[str]:
    """Hold `data_dir/lock` until the file is closed or the process dies. Raises DataDirInUse."""
    path = data_dir / "lock"
    file = path.open("a+")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        who = f"process {holder}" if holder else "another process"
        raise DataDirInUse(f"{data_dir} is in use by {who}: stop that cluster first, or choose another "
                           "--data-dir") from None
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
