"""A SPDY/3.1 connection from the server's side: streams over one pair of byte pipes.

    bytes ─► feed() ─► Framer ─► SYN_STREAM: on_stream(stream) ─► stream.read() / write() / close_write()
    bytes ◄─ send() ◄──────────────────────────────────────────────┘

Invariant: what is buffered for slow readers stays below BUFFER_BYTES: `feed` waits until they have caught up.
           A peer that speaks of windows (SETTINGS or WINDOW_UPDATE) is never sent more than they allow; one that does
           not (kubectl's spdystream) is held back by the byte pipe below alone.
Models:    moby/spdystream
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from kubelab.node.kubelet import spdy
from kubelab.node.kubelet.spdy import Frame, Framer, SpdyError

WINDOW_BYTES = 64 << 10
BUFFER_BYTES = 1 << 20
CHUNK_BYTES = 32 << 10
MAX_STREAMS = 2048


class StreamReset(ConnectionError):
    """The peer gave up this stream, or the connection is gone."""


class Stream:
    """One stream that the peer opened."""

    def __init__(self, session: Session, stream_id: int, headers: Mapping[str, str], window: int) -> None:
        self.session, self.id, self.headers = session, stream_id, headers
        self._parts: deque[bytes] = deque()
        self._ended = self._reset = self._closed = False
        self._more = asyncio.Event()
        self._consumed = 0
        self._window = window
        self._room = asyncio.Event()

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end. Raises StreamReset."""
        while not self._parts:
            if self._reset:
                raise StreamReset(f"stream {self.id} was reset")
            if self._ended:
                return b""
            self._more.clear()
            await self._more.wait()
        data = self._parts.popleft()
        await self.session.consumed(self, len(data))
        self._consumed += len(data)
        if self._consumed >= WINDOW_BYTES // 2 and not self._ended:
            await self.session.write(spdy.window_update(self.id, self._consumed))
            self._consumed = 0
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes, in portions, as the peer's window allows. Raises StreamReset."""
        for at in range(0, len(data), CHUNK_BYTES):
            await self._send(data[at:at + CHUNK_BYTES])

    async def _send(self, part: bytes) -> None:
        while part:
            while self.session.windows and self._window <= 0 and not self._reset:
                self._room.clear()
                await self._room.wait()
            if self._reset or self._closed:
                raise StreamReset(f"stream {self.id} was reset")
            n = min(len(part), self._window) if self.session.windows else len(part)
            self._window -= n
            await self.session.write(spdy.data_frame(self.id, part[:n]))
            part = part[n:]

    async def close_write(self) -> None:
        """Say that nothing more comes."""
        if not (self._closed or self._reset):
            self._closed = True
            await self.session.write(spdy.data_frame(self.id, b"", fin=True))
            self.session.settle(self)

    async def reset(self, status: int = spdy.CANCEL) -> None:
        if not self._reset:
            self.lost()
            await self.session.write(spdy.rst_stream(self.id, status))
            self.session.settle(self)

    # ── from the session ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def over(self) -> bool:
        return self._reset or (self._ended and self._closed)

    def take(self, data: bytes, fin: bool) -> None:
        if data and not self._reset:
            self._parts.append(data)
        self._ended = self._ended or fin
        self._more.set()

    def widen(self, delta: int) -> None:
        self._window += delta
        self._room.set()

    def lost(self) -> None:
        self._reset = True
        self._more.set()
        self._room.set()


class Session:
    """One connection. `send` carries bytes to the peer and may wait; `on_stream` is called for each new stream."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], on_stream: Callable[[Stream], None]) -> None:
        self._send, self._on_stream = send, on_stream
        self._framer = Framer()
        self._streams: dict[int, Stream] = {}
        self._lock = asyncio.Lock()  # frames leave in the order in which their headers were compressed
        self._buffered = 0
        self._drained = asyncio.Event()
        self._last_id = 0
        self._initial_window = WINDOW_BYTES
        self.windows = False  # the peer has spoken of windows
        self.closed = False

    async def write(self, frame: bytes) -> None:
        async with self._lock:
            if not self.closed:
                await self._send(frame)

    async def feed(self, data: bytes) -> None:
        """Take bytes of the peer. Raises SpdyError when the connection cannot go on."""
        for frame in self._framer.feed(data):
            await self._handle(frame)
        while self._buffered > BUFFER_BYTES and not self.closed:
            self._drained.clear()
            await self._drained.wait()

    async def _handle(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream_id)
        if frame.type == spdy.DATA:
            if stream is None:
                await self.write(spdy.rst_stream(frame.stream_id, spdy.INVALID_STREAM))
                return
            self._buffered += len(frame.data)
            stream.take(frame.data, frame.fin)
            self.settle(stream)
        elif frame.type == spdy.SYN_STREAM:
            await self._open(frame)
        elif frame.type == spdy.RST_STREAM and stream is not None:
            stream.lost()
            self.settle(stream)
        elif frame.type == spdy.WINDOW_UPDATE:
            self.windows = True
            if stream is not None:
                stream.widen(frame.value)
        elif frame.type == spdy.SETTINGS and frame.value:
            self._resize(frame.value)
        elif frame.type == spdy.PING and frame.value % 2 == 1:  # odd: the client's; even: the answer to one of ours
            await self.write(spdy.ping(frame.value))
        elif frame.type == spdy.HEADERS and stream is not None and frame.fin:
            stream.take(b"", True)
        elif frame.type == spdy.GOAWAY:
            self.close()

    async def _open(self, frame: Frame) -> None:
        if frame.stream_id <= self._last_id or frame.stream_id % 2 == 0:
            raise SpdyError(f"stream id {frame.stream_id} is out of order")
        self._last_id = frame.stream_id
        if len(self._streams) >= MAX_STREAMS:
            await self.write(spdy.rst_stream(frame.stream_id, spdy.REFUSED_STREAM))
            return
        stream = Stream(self, frame.stream_id, frame.headers, self._initial_window)
        self._streams[stream.id] = stream
        async with self._lock:
            await self._send(self._framer.syn_reply(stream.id, {}))
        if frame.fin:
            stream.take(b"", True)
        self._on_stream(stream)

    def _resize(self, window: int) -> None:
        self.windows = True
        for stream in self._streams.values():
            stream.widen(window - self._initial_window)
        self._initial_window = window

    async def consumed(self, stream: Stream, n: int) -> None:
        self._buffered -= n
        if self._buffered <= BUFFER_BYTES:
            self._drained.set()

    def settle(self, stream: Stream) -> None:
        """Forget a stream that has ended on both sides."""
        if stream.over:
            self._streams.pop(stream.id, None)

    def close(self) -> None:
        """The connection is gone: every stream hears of it."""
        self.closed = True
        for stream in list(self._streams.values()):
            stream.lost()
        self._streams.clear()
        self._drained.set()

    async def goaway(self) -> None:
        """Say good-bye, then close."""
        with contextlib.suppress(ConnectionError, OSError):
            await self.write(spdy.goaway(self._last_id))
        self.close()
