"""One gRPC call on a connection: the client's messages, our answers, the status at the end.

    receive(bytes) ─► whole messages ─► route.run(call) ─► send(bytes) ... ─► finish(status)
                                                              │ no window: waits in `_queue`
                                                              └─► DATA frames

Invariant: after `finish` nothing is sent, and the status goes out after every message that was sent before it.
Models:    grpc-go's server.go, one stream
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from kubelab.control_plane.etcd.errors import EtcdError
from kubelab.control_plane.etcd.wire import frames as h2

if TYPE_CHECKING:
    from kubelab.control_plane.etcd.wire.connection import Connection

log = logging.getLogger("kubelab")

MESSAGE_BYTES = 2 << 20  # the largest that we take: 1.5 MiB of request and what stands around it
UNSENT_BYTES = 1 << 20  # of one call, then its route waits


class Refused(EtcdError):
    """The call cannot be carried out at all; `code` is gRPC's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code  # type: ignore[misc]  # each has its own


class Route(NamedTuple):
    """One method: `unary` answers a message with a message, `stream` many with many."""

    unary: Callable[[bytes], Awaitable[bytes]] | None = None
    stream: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]] | None = None


class Call:
    """A call, from its headers to its status."""

    __slots__ = ("_buffer", "_connection", "_ended", "_got", "_messages", "_opened", "_queue", "_queued", "_room",
                 "_route", "_task", "_timer", "_trailers", "_unread", "stream", "window")

    def __init__(self, connection: Connection, stream: int, route: Route | None, timeout: str | None) -> None:
        self._connection, self.stream, self._route = connection, stream, route
        self.window = connection.stream_window
        self._buffer = b""
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._ended = self._opened = False
        self._got: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._trailers = b""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        connection.calls[stream] = self
        if route is None:
            self.finish("UNIMPLEMENTED", "unknown service or method")
            return
        if timeout is not None:
            self._limit(timeout)
        if route.stream is not None:
            self._task = connection.spawn(self._run_stream(route.stream))

    def _limit(self, timeout: str) -> None:
        try:
            self._timer = self._connection.loop.call_later(h2.timeout_s(timeout), self._too_late)
        except ValueError:
            self.finish("INTERNAL", "malformed grpc-timeout")

    def _too_late(self) -> None:
        self.finish("DEADLINE_EXCEEDED", "context deadline exceeded")
        self.cancel()

    # ── what the client sends ────────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, *, ended: bool, taken: int = 0) -> None:
        """Take the payload of a frame, which took `taken` bytes of the stream's window."""
        if self._trailers:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._unread += taken
        try:
            self._split()
        except Refused as error:
            self.finish(error.code, str(error))
            self.cancel()
            return
        self._ended = self._ended or ended
        route = self._route
        if route is not None and route.unary is not None:
            if self._ended and self._task is None:
                self._task = self._connection.spawn(self._run_unary(route.unary))
        elif self._got is not None and not self._got.done():
            self._got.set_result(None)

    def _split(self) -> None:
        """Cut whole messages off the buffer."""
        while len(self._buffer) >= 5:
            compressed, size = h2.PREFIX.unpack_from(self._buffer)
            if compressed:
                raise Refused("UNIMPLEMENTED", "grpc: messages must not be compressed")
            if size > MESSAGE_BYTES:
                raise Refused("RESOURCE_EXHAUSTED",
                              f"grpc: received message larger than max ({size} vs. {MESSAGE_BYTES})")
            if len(self._buffer) < 5 + size:
                return
            self._messages.append(self._buffer[5:5 + size])
            self._buffer = self._buffer[5 + size:]

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield the client's messages until it has no more to say."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                self._give_back()
                yield message
            if self._ended:
                return
            self._got = self._connection.loop.create_future()
            await self._got

    def _give_back(self) -> None:
        """Let the client send as much again as was taken."""
        if self._unread > 64 * 1024:
            self._connection.write(h2.frame(h2.WINDOW_UPDATE, 0, self.stream, h2.U32.pack(self._unread)))
            self._unread = 0

    # ── what it is answered ──────────────────────────────────────────────────────────────────────────────────

    async def _run_unary(self, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        try:
            if len(self._messages) != 1:
                raise Refused("INTERNAL", "grpc: the call takes one message")
            await self._connection.writable()
            self.send(await answer(self._messages[0]))
            self.finish()
        except EtcdError as error:
            self.finish(error.code, str(error))
        except Exception as error:  # a fault of ours is the caller's answer, not the end of the server
            log.exception("a gRPC call failed")
            self.finish("UNKNOWN", repr(error))

    async def _run_stream(self, answer: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]) -> None:
        answers = answer(self.messages())
        try:
            async for message in answers:
                self.send(message)
                if self._queued > UNSENT_BYTES:
                    self._room = self._connection.loop.create_future()
                    await self._room
                await self._connection.writable()
            self.finish()
        except EtcdError as error:
            self.finish(error.code, str(error))
        except Exception as error:  # as above
            log.exception("a gRPC stream failed")
            self.finish("UNKNOWN", repr(error))
        finally:
            await answers.aclose()  # type: ignore[attr-defined]  # each is a generator

    def send(self, body: bytes) -> None:
        """Send one message, or queue it where the peer's window is too small."""
        if self._trailers:
            return
        connection, data = self._connection, h2.message(body)
        size = len(data)
        head = b"" if self._opened else h2.opening(self.stream)
        self._opened = True
        if not self._queue and size <= self.window and size <= connection.window and size <= connection.frame_bytes:
            self.window -= size
            connection.window -= size
            connection.write(head + h2.frame(h2.DATA, 0, self.stream, data))
        else:
            if head:
                connection.write(head)
            self._queue.append(data)
            self._queued += size
            self.pump()

    def pump(self) -> None:
        """Send what waits, as far as the windows let it."""
        connection, queue = self._connection, self._queue
        while queue:
            room = min(self.window, connection.window, connection.frame_bytes)
            if room <= 0:
                connection.blocked[self.stream] = self
                return
            piece, rest = queue[0][:room], queue[0][room:]
            if rest:
                queue[0] = rest
            else:
                queue.popleft()
            self.window -= len(piece)
            connection.window -= len(piece)
            self._queued -= len(piece)
            connection.write(h2.frame(h2.DATA, 0, self.stream, piece))
        connection.blocked.pop(self.stream, None)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._trailers:
            self._close()

    def finish(self, code: str = "OK", text: str = "") -> None:
        """End the call with a status; a further one changes nothing."""
        if self._trailers:
            return
        self._trailers = h2.trailers(self.stream, code, text, alone=not self._opened)
        if self._timer is not None:
            self._timer.cancel()
        if not self._queue:
            self._close()

    def _close(self) -> None:
        connection = self._connection
        connection.write(self._trailers)
        if not self._ended:  # the client need not go on
            connection.write(h2.frame(h2.RST_STREAM, 0, self.stream, h2.U32.pack(h2.NO_ERROR)))
        connection.calls.pop(self.stream, None)

    def cancel(self) -> None:
        """Stop working on it."""
        self._connection.blocked.pop(self.stream, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
