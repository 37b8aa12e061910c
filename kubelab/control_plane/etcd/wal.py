"""The write-ahead log: what the store acknowledged is on disk, whatever happens next.

    append(record) ─► batch ─► one frame ─► write + fsync (in a thread) ─► everyone in the batch goes on
                       ▲                        │ while it runs, the next batch gathers: group commit
                       └────────────────────────┘

    data_dir/  lock              held while a process uses the folder
               snap-00000002     the whole state before wal-00000002 (one frame)
               wal-00000002      frames since then

    frame   =  length u32 │ crc32 u32 │ payload           payload = records of the owner's, one after the other

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
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from kubelab.control_plane.etcd.api import StoreFailed

_FRAME = struct.Struct("<II")


class CorruptLog(Exception):
    """Acknowledged data on disk is damaged; starting from the rest would silently lose writes."""


class DataDirInUse(Exception):
    """Another process holds this data directory."""


# ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────────


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
    """The open log of one data directory. `on_durable(mark)` is called on the loop after each batch."""

    def __init__(self, data_dir: Path, on_durable: Callable[[int], None] = lambda mark: None) -> None:
        """Take the folder. Raises DataDirInUse."""
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.data_dir, self._on_durable = data_dir, on_durable
        self._lock = _lock(data_dir)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="etcd-wal")  # one commits, one writes snapshots
        self._file: IO[bytes] | None = None
        self._segment = 0
        self._batch: list[bytes] = []
        self._batch_mark = 0
        self._batch_done: asyncio.Future[None] | None = None  # the batch that gathers
        self._writing: asyncio.Future[None] | None = None  # the batch that is being written
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_snapshot: tuple[Callable[[], bytes], asyncio.Future[None]] | None = None
        self.records_since_snapshot = 0
        self.failure: StoreFailed | None = None  # once set, nothing is written any more
        self.failed = asyncio.Event()

    def read(self) -> tuple[bytes | None, list[bytes]]:
        """Return the newest snapshot and the payloads since, then be open for appending. Raises CorruptLog.

        Records that the snapshot already holds may come again.
        """
        for leftover in self.data_dir.glob("*.tmp"):
            leftover.unlink()
        base = max(self._numbers("snap"), default=0)
        snapshot = read_frames(self._path("snap", base), may_be_torn=False)[0] if base else None
        self._forget_before(base)
        segments = sorted(self._numbers("wal"))
        self._segment = segments[-1] if segments else base
        payloads: list[bytes] = []
        for n in segments:
            payloads += read_frames(self._path("wal", n), may_be_torn=n == self._segment)
        self._open_segment(self._segment)
        return snapshot, payloads

    def append(self, record: bytes, mark: int = 0) -> None:
        """Put a record into the batch that gathers. Raises StoreFailed.

        `on_durable` is told the newest `mark`; 0 leaves it as it was.
        """
        if self.failure is not None:
            raise self.failure
        self._batch.append(record)
        self.records_since_snapshot += 1
        self._batch_mark = mark or self._batch_mark
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
            data, done, mark = frame(b"".join(self._batch)), self._batch_done, self._batch_mark
            self._batch, self._batch_done, self._writing = [], None, done
            try:
                if self._next_snapshot is not None:
                    self._rotate(*self._next_snapshot)
                await loop.run_in_executor(self._threads, self._write, data)  # after this the batch is durable
            except OSError as error:
                self._fail(error, done)
                return
            self._writing = None
            self._on_durable(mark)
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

    def snapshot_soon(self, make: Callable[[], bytes]) -> asyncio.Future[None]:
        """Have the state so far written beside a new segment, and the segments before it forgotten.

        `make` gives its bytes, in a thread; the new segment begins with the batch that gathers now. The future is done
        when the snapshot is on disk; when it never comes there, `failure` says why.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next_snapshot = (make, done)
        self.records_since_snapshot = 0
        return done

    def _rotate(self, make: Callable[[], bytes], done: asyncio.Future[None]) -> None:
        self._next_snapshot = None
        self._open_segment(self._segment + 1)
        self._spawn(self._save(self._segment, make, done))

    async def _save(self, segment: int, make: Callable[[], bytes], done: asyncio.Future[None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._write_snapshot, segment, make)
        except OSError as error:
            self._fail(error, done)
        else:
            done.set_result(None)

    def _write_snapshot(self, segment: int, make: Callable[[], bytes]) -> None:
        temporary = self.data_dir / f"snap-{segment:08d}.tmp"
        with open(temporary, "wb", opener=_private) as file:
            file.write(frame(make()))
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

    def abandon(self) -> None:
        """Forget what is not on its way to the disk yet, as the death of the process would; then `close`."""
        gathering, self._batch, self._batch_done = self._batch_done, [], None
        if gathering is not None:
            gathering.cancel()

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
