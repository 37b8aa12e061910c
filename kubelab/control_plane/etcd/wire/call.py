"""One gRPC call on a connection: the client's messages, our answers, the status at the end.

    receive(bytes) ─► whole messages ─► route.run(call) ─► send(bytes) ... ─► finish(status)
                                                              │ gathers in `_outgoing` for one turn of the loop, and
                                                              ▼ longer where the peer's window is too small
                                                              h2

Invariant: after `finish` nothing is sent, and the status goes out after every message that was sent before it.
Models:    grpc-go's server.go, one stream
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from h2.exceptions import ProtocolError

from kubelab.control_plane.etcd.errors import EtcdError
from kubelab.control_plane.etcd.wire.headers import OPENING, Headers, timeout_s, trailers

if TYPE_CHECKING:
    from kubelab.control_plane.etcd.wire.connection import Connection

log = logging.getLogger("kubelab")

PREFIX = struct.Struct(">BI")  # compressed, length
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

    __slots__ = ("_buffer", "_connection", "_ended", "_finished", "_got", "_messages", "_opened", "_outgoing", "_room",
                 "_route", "_task", "_timer", "_trailers", "_unread", "_unsent_bytes", "needs_leader", "stream")

    def __init__(self, connection: Connection, stream: int, route: Route | None, timeout: bytes | None, *,
                 needs_leader: bool = False) -> None:
        self._connection, self.stream, self._route = connection, stream, route
        self.needs_leader = needs_leader  # the client would rather be refused than wait at a member that was cut off
        self._buffer = b""
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._ended = self._opened = self._finished = False
        self._got: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._outgoing: list[bytes | memoryview] = []
        self._unsent_bytes = 0
        self._trailers: Headers = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        connection.calls[stream] = self
        if route is None:
            self.finish("UNIMPLEMENTED", "unknown service or method")
            return
        if timeout is not None:
            self._limit(timeout)
        if route.stream is not None and not self._finished:
            self._task = connection.spawn(self._run_stream(route.stream))

    def _limit(self, timeout: bytes) -> None:
        try:
            self._timer = self._connection.loop.call_later(timeout_s(timeout.decode()), self._too_late)
        except ValueError:
            self.finish("INTERNAL", "malformed grpc-timeout")

    def _too_late(self) -> None:
        self.refuse(Refused("DEADLINE_EXCEEDED", "context deadline exceeded"))

    def refuse(self, why: EtcdError) -> None:
        """End the call without an answer."""
        self.finish(why.code, str(why))
        self._stop()

    # ── what the client sends ────────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, taken: int) -> None:
        """Take the payload of a frame, which took `taken` bytes of the stream's window."""
        if self._finished:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._unread += taken
        try:
            self._split()
        except Refused as error:
            self.refuse(error)
            return
        self._wake()

    def end(self) -> None:
        """The client has no more to say."""
        self._ended = True
        if self._route is not None and self._route.unary is not None and not self._finished:
            self._task = self._connection.spawn(self._run_unary(self._route.unary))
        self._wake()

    def _wake(self) -> None:
        if self._got is not None and not self._got.done():
            self._got.set_result(None)

    def _split(self) -> None:
        """Cut whole messages off the buffer."""
        while len(self._buffer) >= 5:
            compressed, size = PREFIX.unpack_from(self._buffer)
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
        if self._unread > 64 * 1024 and not self._ended and not self._finished:
            self._connection.http.increment_flow_control_window(self._unread, self.stream)
            self._connection.flush_soon()
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
                if self._unsent_bytes > UNSENT_BYTES:
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
        """Send one message."""
        if self._finished:
            return
        self._outgoing += (PREFIX.pack(0, len(body)), body)
        self._unsent_bytes += PREFIX.size + len(body)
        self._connection.flush_soon(self, len(body))

    def finish(self, code: str = "OK", text: str = "") -> None:
        """End the call with a status; a further one changes nothing."""
        if not self._finished:
            self._finished, self._trailers = True, trailers(code, text)
            if self._timer is not None:
                self._timer.cancel()
            self._connection.flush_soon(self)

    def pump(self) -> None:
        """Hand over what waits, as far as the windows let it, and then the status."""
        if self._connection.calls.get(self.stream) is not self:
            return
        try:
            if self._write() and self._trailers:
                self._close()
        except ProtocolError:  # the stream or the connection is closed, and we are about to hear of it
            self.cancel()

    def _write(self) -> bool:
        """Return whether nothing waits any more."""
        http, stream = self._connection.http, self.stream
        if self._outgoing and not self._opened:
            self._opened = True
            http.send_headers(stream, OPENING)
        data = self._outgoing[0] if len(self._outgoing) == 1 else b"".join(self._outgoing)
        rest = memoryview(data)
        while rest:
            room = min(http.local_flow_control_window(stream), http.max_outbound_frame_size)
            if room <= 0:
                self._outgoing = [rest]
                self._connection.blocked[stream] = self
                return False
            http.send_data(stream, rest[:room])
            rest = rest[room:]
            self._unsent_bytes = len(rest)
        self._outgoing = []
        self._connection.blocked.pop(stream, None)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return True

    def _close(self) -> None:
        http = self._connection.http
        http.send_headers(self.stream, self._trailers if self._opened else OPENING + self._trailers, end_stream=True)
        if not self._ended:  # the client need not go on
            http.reset_stream(self.stream)
        del self._connection.calls[self.stream]

    def cancel(self) -> None:
        """Drop the call: nobody waits for its answer."""
        self._finished = True
        self._connection.calls.pop(self.stream, None)
        self._connection.blocked.pop(self.stream, None)
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
