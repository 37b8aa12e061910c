"""The log of one container: a file that the runtime writes, and that any number of readers follow.

    container ─► pipe ─► LogFile.write ─► 2026-01-02T03:04:05.678901234Z stdout F line     (CRI's log format)
                              └─► wakes those who follow; each reads on from the file at its own pace

Invariant: a reader never holds the container up and never misses a line; at most two files of `max_bytes` exist.
Models:    the kubelet's container log files, kuberuntime/logs
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from kubelab.machinery.clock import parse_timestamp

MAX_BYTES = 10 << 20
MAX_LINE_BYTES = 16 << 10
STREAMS = {1: b"stdout", 2: b"stderr"}


class LogFile:
    """Written by one runtime, read by many. A line waits until it is ended, or long."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path, self.max_bytes = path, max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._partial = {1: b"", 2: b""}
        self._size = self._file.tell()
        self._waiting: set[asyncio.Future[None]] = set()
        self.closed = False

    def write(self, stream: int, data: bytes, now: float) -> None:
        """Add what the container wrote to stream 1 or 2 at `now` (Unix seconds)."""
        if self.closed:
            return
        *lines, rest = (self._partial[stream] + data).split(b"\n")
        head = stamp(now) + b" " + STREAMS[stream]
        out = [head + b" F " + line + b"\n" for line in lines]
        while len(rest) > MAX_LINE_BYTES:
            out.append(head + b" P " + rest[:MAX_LINE_BYTES] + b"\n")
            rest = rest[MAX_LINE_BYTES:]
        self._partial[stream] = rest
        if out:
            self._append(b"".join(out))

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)
        if self._size > self.max_bytes:
            self._rotate()
        self._wake()

    def _rotate(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("ab", buffering=0)
        self._size = 0

    def close(self, now: float) -> None:
        """The container has ended: write what is left of its last line, and let the followers end."""
        if self.closed:
            return
        for stream, rest in self._partial.items():
            if rest:
                self._append(stamp(now) + b" " + STREAMS[stream] + b" F " + rest + b"\n")
        self.closed = True
        self._file.close()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _grown(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    async def read(self, *, follow: bool = False, tail_lines: int | None = None, since: float | None = None,
                   timestamps: bool = False, limit_bytes: int | None = None) -> AsyncIterator[bytes]:
        """Yield whole lines; with `follow` until the container ends. `since` is in Unix seconds."""
        left = limit_bytes
        file = self.path.open("rb")
        try:
            if tail_lines is not None:
                file.seek(_tail(file, tail_lines))
            while True:
                ended, number = self.closed, os.fstat(file.fileno()).st_ino
                for line in _entries(file, since, timestamps):
                    part = line if left is None else line[:left]
                    left = None if left is None else left - len(part)
                    if part:
                        yield part
                    if left == 0:
                        return
                if os.stat(self.path).st_ino != number:  # it was rotated, and this one is read to its end
                    file.close()
                    file = self.path.open("rb")
                elif ended or not follow:
                    return
                elif file.tell() >= self._size and not self.closed:
                    await self._grown()
        finally:
            file.close()


def _entries(file: BinaryIO, since: float | None, timestamps: bool) -> Iterator[bytes]:
    for line in file:
        when, _, rest = line.partition(b" ")
        _, kind, text = rest.split(b" ", 2)
        if since is not None and parse_timestamp(when.decode()) < since:
            continue
        if kind == b"P":
            text = text[:-1]
        yield when + b" " + text if timestamps else text


def _tail(file: BinaryIO, lines: int, block: int = 65536) -> int:
    """Return the offset at which the last `lines` lines begin."""
    at = file.seek(0, os.SEEK_END)
    missing = lines + 1  # line feeds to find, the one that ends the last line too
    while at > 0:
        start = max(0, at - block)
        file.seek(start)
        data = file.read(at - start)
        count = data.count(b"\n")
        if count >= missing:
            found = len(data)
            for _ in range(missing):
                found = data.rindex(b"\n", 0, found)
            return start + found + 1
        missing -= count
        at = start
    return 0


def stamp(now: float) -> bytes:
    """Write a time as RFC 3339 with nanoseconds."""
    seconds, nanos = divmod(round(now * 1e9), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanos:09d}Z".encode()
