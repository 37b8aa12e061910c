"""The open ends of container processes: pipes or a terminal, their readers and writers on the event loop.

    process ─► pipe ─► Reader ─► log, attached clients       a container: read always, whoever listens
    process ─► pipe ─► Reader ─► queue ─► output()           exec: read only as fast as the client takes it

Invariant: every file descriptor opened here is closed when its process has ended and its reader is done.
Models:    the streaming half of CRI, cri/streaming
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import struct
import termios
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

CHUNK = 65536
BEHIND_BYTES = 4 << 20
"""How far an attached client may fall behind before it is let go: the container does not wait for it."""
DRAIN_S = 0.5
"""How long output is still awaited after the process has ended, should something else hold its pipe open."""


class Reader:
    """Reads a descriptor whenever there is something, until its end."""

    def __init__(self, fd: int, on_data: Callable[[bytes], None]) -> None:
        self.fd, self._on_data = fd, on_data
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._reading = False
        os.set_blocking(fd, False)
        self.resume()

    def resume(self) -> None:
        if not self._reading and self.fd >= 0:
            self._reading = True
            self._loop.add_reader(self.fd, self._on_readable)

    def pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self.fd)

    def _on_readable(self) -> None:
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the last process on the terminal is gone
                raise
            data = b""
        if data:
            self._on_data(data)
        else:
            self.close()

    def close(self) -> None:
        self.pause()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if not self.ended.done():
            self.ended.set_result(None)


class Writer:
    """Writes to a descriptor, waiting while the other side does not read."""

    def __init__(self, fd: int, *, tty: bool) -> None:
        self._fd, self._tty = fd, tty
        os.set_blocking(fd, False)
        self._turn = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        async with self._turn:
            view = memoryview(data)
            while view and self._fd >= 0:
                try:
                    view = view[os.write(self._fd, view):]
                except BlockingIOError:
                    await self._writable()
                except OSError:
                    self._close()  # the process no longer reads: the rest has no taker

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        free: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._fd, lambda: None if free.done() else free.set_result(None))
        try:
            await free
        finally:
            loop.remove_writer(self._fd)

    async def end(self) -> None:
        """Tell the process that no more comes."""
        if self._tty:
            await self.write(b"\x04")
        else:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    close = _close

    def resize(self, width: int, height: int) -> None:
        if self._tty and self._fd >= 0:
            fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


@dataclass(slots=True)
class Ends:
    """Both sides of a process's three streams, before the far ones are given away."""

    far: list[int]  # stdin, stdout, stderr of the process
    outputs: list[tuple[int, int]]  # (stream number, descriptor to read)
    input: int = -1

    def give_away(self) -> None:
        """Close the far ends once the process has its own copies."""
        for fd in set(self.far):
            os.close(fd)
        self.far.clear()

    def close(self) -> None:
        for fd in {*self.far, self.input, *(fd for _, fd in self.outputs)} - {-1}:
            os.close(fd)


def open_ends(*, tty: bool, stdin: bool) -> Ends:
    """Make a terminal, or pipes; without `stdin` the process reads from /dev/null."""
    if tty:
        master, slave = pty.openpty()
        return Ends([slave, slave, slave], [(1, master)], os.dup(master))
    out, err = os.pipe(), os.pipe()
    if stdin:
        far_in, near_in = os.pipe()
    else:
        far_in, near_in = os.open(os.devnull, os.O_RDONLY), -1
    return Ends([far_in, out[1], err[1]], [(1, out[0]), (2, err[0])], near_in)


class Client:
    """What `exec` and `attach` return: `Streams` over a queue of output."""

    def __init__(self, exit_code: Callable[[], Awaitable[int]], writer: Writer | None, *, limit: int = 0,
                 keep_stdin: bool = False) -> None:
        self._exit_code, self.writer, self._limit, self._keep_stdin = exit_code, writer, limit, keep_stdin
        self._chunks: deque[tuple[int, bytes]] = deque()
        self.held_bytes = 0  # bytes in the queue
        self._more = asyncio.Event()
        self._ended = False
        self.readers: list[Reader] = []  # that this client paces
        self.on_close: list[Callable[[], Awaitable[None] | None]] = []

    def feed(self, stream: int, data: bytes) -> None:
        if self._ended:
            return
        self._chunks.append((stream, data))
        self.held_bytes += len(data)
        self._more.set()
        if self._limit and self.held_bytes > self._limit:
            self.end()
        elif self.held_bytes > CHUNK:
            for reader in self.readers:
                reader.pause()

    def end(self) -> None:
        self._ended = True
        self._more.set()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            while self._chunks:
                stream, data = self._chunks.popleft()
                self.held_bytes -= len(data)
                if self.held_bytes <= CHUNK:
                    for reader in self.readers:
                        reader.resume()
                yield stream, data
            if self._ended:
                return
            self._more.clear()
            await self._more.wait()

    async def write_stdin(self, data: bytes) -> None:
        if self.writer is not None:
            await self.writer.write(data)

    async def close_stdin(self) -> None:
        if self.writer is not None and not self._keep_stdin:  # a container's stdin outlives the client, unless once
            await self.writer.end()

    async def resize(self, width: int, height: int) -> None:
        if self.writer is not None:
            self.writer.resize(width, height)

    async def wait(self) -> int:
        return await self._exit_code()

    async def close(self) -> None:
        self.end()
        callbacks, self.on_close = self.on_close, []
        for callback in callbacks:
            waiting = callback()
            if waiting is not None:
                await waiting


@dataclass(slots=True)
class Copier:
    """Carries a container's output to its log and to every attached client."""

    write_log: Callable[[int, bytes], None]
    readers: list[Reader] = field(default_factory=list)
    clients: set[Client] = field(default_factory=set)

    def start(self, ends: Ends) -> None:
        for stream, fd in ends.outputs:
            self.readers.append(Reader(fd, lambda data, stream=stream: self._on_data(stream, data)))  # type: ignore[misc]

    def _on_data(self, stream: int, data: bytes) -> None:
        self.write_log(stream, data)
        for client in tuple(self.clients):
            client.feed(stream, data)

    async def drained(self) -> None:
        """Wait until all output of an ended process was read, but not for ever; then let the clients end."""
        waiting = [reader.ended for reader in self.readers]
        if waiting:
            await asyncio.wait(waiting, timeout=DRAIN_S)
        for reader in self.readers:
            reader.close()
        for client in self.clients:
            client.end()
        self.clients.clear()


def exec_client(ends: Ends, exit_code: asyncio.Future[int], *, tty: bool) -> Client:
    """Make the client of a process that `exec` started, whose reading paces the process's writing."""
    client = Client(lambda: asyncio.shield(exit_code), Writer(ends.input, tty=tty) if ends.input >= 0 else None)
    client.readers = [Reader(fd, lambda data, stream=stream: client.feed(stream, data))  # type: ignore[misc]
                      for stream, fd in ends.outputs]
    return client


async def finish(client: Client, exit_code: asyncio.Future[int]) -> None:
    """End the client when its process has ended and what it said is read, or its pipe stays open but silent."""
    await asyncio.wait([exit_code])
    while waiting := [reader.ended for reader in client.readers if not reader.ended.done()]:
        done, _ = await asyncio.wait(waiting, timeout=DRAIN_S)
        if not done and not client.held_bytes:
            break
    for reader in client.readers:
        reader.close()
    if client.writer is not None:
        client.writer.close()
    client.end()
