"""One connection of a gRPC server: HTTP/2 frames in, calls out, answers back under the peer's flow control.

    bytes ─► frames ─┬─ HEADERS ─► Call ─► its route's task          ┌─ messages (the window lets them) ─┐
                     ├─ DATA ────► messages of the call ─► task ─────┤                                   ├─► bytes
                     ├─ WINDOW_UPDATE ─► send what had to wait       └─ trailers ────────────────────────┘
                     └─ SETTINGS, PING: acknowledged · RST_STREAM: the call is cancelled

    idle ─ HEADERS ─► open ─ END_STREAM of the client ─► half-closed ─ our trailers ─► closed

Invariants: a frame that breaks the protocol ends the connection, never the server; what a peer makes us keep is
            bounded (frame, header block, message, number of calls); no task of a call outlives its connection.
Models:     grpc-go's http2_server.go. Written here because a call costs grpcio's asyncio server four times as much
Left out:   compression, HTTP/2 push and priorities
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

import hpack

from kubelab.control_plane.etcd.wire import frames as h2
from kubelab.control_plane.etcd.wire.call import Call, Route

log = logging.getLogger("kubelab")

FRAME_BYTES = 16_384  # the largest frame that we take: HTTP/2's default
BLOCK_BYTES = 64 * 1024  # of one request's headers
STREAM_WINDOW, CONNECTION_WINDOW = 4 << 20, 16 << 20
MAX_CALLS = 10_000  # at once, on one connection
FLUSH_BYTES = 256 * 1024  # answers gather for one turn of the loop, up to here


class ProtocolError(Exception):
    """The peer does not speak HTTP/2 as it should; `code` is the reason that GOAWAY gives."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Connection(asyncio.Protocol):
    """The server's side of one connection; `routes` are found by path, `live` holds the open connections."""

    def __init__(self, routes: Mapping[str, Route], live: set[Connection]) -> None:
        self._routes, self._live = routes, live
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._greeted = False
        self._headers = hpack.Decoder(max_header_list_size=BLOCK_BYTES)
        self._indexed: dict[bytes, dict[str, str]] = {}  # header blocks that changed no table, decoded
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags, headers that go on
        self.calls: dict[int, Call] = {}
        self.blocked: dict[int, Call] = {}  # those that have more to send than the windows let them
        self._last = 0
        self._unread = 0  # received, and not given back to the peer's window
        self.window = self.stream_window = 65_535  # what the peer lets us send
        self.frame_bytes = FRAME_BYTES
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._pause: asyncio.Future[None] | None = None
        self._closing = False

    # ── the socket ───────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._live.add(self)
        settings = ((h2.MAX_STREAMS, MAX_CALLS), (h2.INITIAL_WINDOW, STREAM_WINDOW), (h2.MAX_HEADER_LIST, BLOCK_BYTES))
        self.write(h2.frame(h2.SETTINGS, 0, 0, b"".join(h2.SETTING.pack(*setting) for setting in settings)))
        self.write(h2.frame(h2.WINDOW_UPDATE, 0, 0, h2.U32.pack(CONNECTION_WINDOW - 65_535)))

    def connection_lost(self, error: Exception | None) -> None:
        self._live.discard(self)
        self._closing = True
        self.resume_writing()
        for call in list(self.calls.values()):
            call.cancel()
        self.calls.clear()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._rest = self._frames(self._rest + data if self._rest else data)
        except ProtocolError as error:
            self._go_away(error.code, str(error))
        except hpack.HPACKError as error:
            self._go_away(h2.COMPRESSION_ERROR, str(error))

    def pause_writing(self) -> None:
        """Take nothing further from a peer that does not take our answers."""
        if self._pause is None:
            self._pause = self.loop.create_future()
            if self._transport is not None:
                self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._pause is not None:
            self._pause.set_result(None)
            self._pause = None
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    async def writable(self) -> None:
        """Wait while the peer does not take what we have written."""
        while self._pause is not None:
            await asyncio.shield(self._pause)

    def write(self, data: bytes) -> None:
        """Send; all that is written within one turn of the loop goes out together."""
        if not self._out:
            self.loop.call_soon(self._flush)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        out, self._out, self._out_bytes = self._out, [], 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    def _go_away(self, code: int, text: str = "") -> None:
        self._closing = True
        if self._greeted:
            self._out.append(h2.frame(h2.GOAWAY, 0, 0, h2.U32.pack(self._last) + h2.U32.pack(code) + text.encode()))
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def shut(self) -> None:
        """End the connection: calls that run are cancelled."""
        self._go_away(h2.NO_ERROR)
        if self._transport is not None:
            self._transport.abort()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self.loop.create_task(work)

    # ── frames ───────────────────────────────────────────────────────────────────────────────────────────────

    def _frames(self, data: bytes) -> bytes:
        """Act on every whole frame; return what is left."""
        at, size = 0, len(data)
        if not self._greeted:
            if data[:len(h2.PREFACE)] != h2.PREFACE[:size]:
                raise ProtocolError(h2.PROTOCOL_ERROR, "not HTTP/2")
            if size < len(h2.PREFACE):
                return data
            self._greeted, at = True, len(h2.PREFACE)
        while size - at >= 9:
            high, low, kind, flags, stream = h2.HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > FRAME_BYTES:
                raise ProtocolError(h2.FRAME_SIZE_ERROR, "frame too large")
            if size - at < 9 + length:
                break
            payload = data[at + 9:at + 9 + length]
            at += 9 + length
            if self._block is not None and kind != h2.CONTINUATION:
                raise ProtocolError(h2.PROTOCOL_ERROR, "headers were not finished")
            handle = _HANDLERS.get(kind)
            if handle is not None:  # frames of unknown types are to be passed over
                handle(self, flags, stream & 0x7FFFFFFF, payload)
        return data[at:]

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._unread += len(payload)
        if self._unread > CONNECTION_WINDOW // 2:
            self.write(h2.frame(h2.WINDOW_UPDATE, 0, 0, h2.U32.pack(self._unread)))
            self._unread = 0
        call = self.calls.get(stream)
        if call is not None:
            call.receive(_unpadded(flags, payload), ended=bool(flags & h2.END_STREAM), taken=len(payload))
        elif stream == 0 or stream > self._last:
            raise ProtocolError(h2.PROTOCOL_ERROR, "data of no call")

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        payload = _unpadded(flags, payload)
        if flags & h2.PRIORITIZED:
            payload = payload[5:]
        if flags & h2.END_HEADERS:
            self._open(stream, flags, payload)
        else:
            self._block = (stream, flags, bytearray(payload))

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream:
            raise ProtocolError(h2.PROTOCOL_ERROR, "a continuation of nothing")
        _, first, block = self._block
        block += payload
        if len(block) > BLOCK_BYTES:
            raise ProtocolError(h2.CALM_DOWN, "headers too large")
        if flags & h2.END_HEADERS:
            self._block = None
            self._open(stream, first, bytes(block))

    def _open(self, stream: int, flags: int, block: bytes) -> None:
        """Begin a call, or end the client's side of one that runs."""
        headers = self._decoded(block)
        known = self.calls.get(stream)
        if known is not None:
            known.receive(b"", ended=True)
            return
        if not stream & 1 or stream <= self._last:
            raise ProtocolError(h2.PROTOCOL_ERROR, "a stream of this number cannot begin")
        self._last = stream
        if len(self.calls) >= MAX_CALLS:
            self.write(h2.frame(h2.RST_STREAM, 0, stream, h2.U32.pack(h2.REFUSED_STREAM)))
        elif not headers.get("content-type", "").startswith("application/grpc"):
            self.write(h2.no_grpc(stream))
        else:
            call = Call(self, stream, self._routes.get(headers.get(":path", "")), headers.get("grpc-timeout"))
            if flags & h2.END_STREAM:
                call.receive(b"", ended=True)

    def _decoded(self, block: bytes) -> dict[str, str]:
        """Return a block's headers; a block of table indices alone is decoded once, as long as the table stands."""
        found = self._indexed.get(block)
        if found is None:
            try:
                found = {str(name): str(value) for name, value in self._headers.decode(block)}
            except UnicodeDecodeError as error:
                raise ProtocolError(h2.PROTOCOL_ERROR, "headers are not text") from error
            if not all(byte & 0x80 for byte in block):
                self._indexed.clear()  # it may have changed the table
            else:
                self._indexed[block] = found
        return found

    def _on_reset(self, flags: int, stream: int, payload: bytes) -> None:
        call = self.calls.pop(stream, None)
        if call is not None:
            call.cancel()

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if flags & h2.ACK:
            return
        if len(payload) % 6:
            raise ProtocolError(h2.FRAME_SIZE_ERROR, "settings of a wrong size")
        for name, value in h2.SETTING.iter_unpack(payload):
            if name == h2.INITIAL_WINDOW:
                if value > 0x7FFFFFFF:
                    raise ProtocolError(h2.FLOW_CONTROL_ERROR, "window too large")
                for call in self.calls.values():
                    call.window += value - self.stream_window
                self.stream_window = value
            elif name == h2.MAX_FRAME:
                if not 16_384 <= value < 1 << 24:
                    raise ProtocolError(h2.PROTOCOL_ERROR, "frame size out of range")
                self.frame_bytes = min(value, 1 << 20)
        self.write(h2.frame(h2.SETTINGS, h2.ACK, 0))
        self._pump()

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise ProtocolError(h2.FRAME_SIZE_ERROR, "a ping has 8 bytes")
        if not flags & h2.ACK:
            self.write(h2.frame(h2.PING, h2.ACK, 0, payload))

    def _on_goaway(self, flags: int, stream: int, payload: bytes) -> None:
        """The peer opens no further calls; those that run end as they would."""

    def _on_window(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolError(h2.FRAME_SIZE_ERROR, "a window update has 4 bytes")
        more = h2.U32.unpack(payload)[0] & 0x7FFFFFFF
        if stream == 0:
            self.window += more
            if not more or self.window > 0x7FFFFFFF:
                raise ProtocolError(h2.FLOW_CONTROL_ERROR, "window out of range")
            self._pump()
        elif stream in self.calls:
            self.calls[stream].window += more
            self.calls[stream].pump()

    def _pump(self) -> None:
        for call in list(self.blocked.values()):
            if self.window <= 0:
                break
            call.pump()


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & h2.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ProtocolError(h2.PROTOCOL_ERROR, "padding longer than the frame")
    return payload[1:len(payload) - payload[0]]


_HANDLERS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    h2.DATA: Connection._on_data, h2.HEADERS: Connection._on_headers, h2.CONTINUATION: Connection._on_continuation,
    h2.RST_STREAM: Connection._on_reset, h2.SETTINGS: Connection._on_settings, h2.PING: Connection._on_ping,
    h2.GOAWAY: Connection._on_goaway, h2.WINDOW_UPDATE: Connection._on_window}
