"""One connection of a gRPC server: HTTP/2's events in, calls out, answers back under the peer's flow control.

    bytes ─► h2 ─┬─ RequestReceived ─► Call ─► its route's task ─┐
                 ├─ DataReceived ────► its messages ─► the task ─┼─► messages, status ─► h2 ─► bytes
                 ├─ WindowUpdated ───► send what had to wait ────┘
                 └─ StreamReset ─────► the call is cancelled       (settings and pings: h2 answers by itself)

Invariants: a frame that breaks the protocol ends the connection, never the server; what a peer makes us keep is
            bounded (frame, header block, message, number of calls); no task of a call outlives its connection.
Models:     grpc-go's http2_server.go; the protocol itself is the package h2's. Of a real etcd's puts a second grpclib
            reached a quarter, grpcio's asyncio server a third, this two thirds, with fsync about half
Left out:   compression
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sized
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from kubelab.control_plane.etcd.errors import NoLeader
from kubelab.control_plane.etcd.wire.call import Call, Route
from kubelab.control_plane.etcd.wire.headers import NO_GRPC, RememberingDecoder, RememberingEncoder

STREAM_WINDOW, CONNECTION_WINDOW = 4 << 20, 16 << 20
HEADER_BYTES = 64 * 1024  # of one request
MAX_CALLS = 10_000  # at once, on one connection
SWEEP = 256  # new calls, then h2 looks through all its streams
FLUSH_BYTES = 1000  # answers gather up to here, for one turn of the loop at most: the client works meanwhile
# We look at three headers and send the ones in headers.py: to check all of them costs a tenth of a call.
_CONFIG = H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False,
                          normalize_outbound_headers=False, validate_inbound_headers=False,
                          normalize_inbound_headers=False)


class Http2(H2Connection):
    """The protocol's state. At each new call h2 would look at all that are open to count them: `calls` are counted."""

    def __init__(self, calls: Sized) -> None:
        super().__init__(_CONFIG)
        self._calls, self._began = calls, 0
        self.local_settings = Settings(client=False, initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CALLS, SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_BYTES})
        self.decoder, self.encoder = RememberingDecoder(HEADER_BYTES), RememberingEncoder()

    @property
    def open_inbound_streams(self) -> int:
        self._began += 1
        if self._began % SWEEP:
            return len(self._calls)
        return super().open_inbound_streams  # which also forgets those that have ended


class Connection(asyncio.Protocol):
    """The server's side of one connection; `routes` are found by path, `live` holds the open connections.

    `has_leader` says whether calls can be answered that need a leader.
    """

    def __init__(self, routes: Mapping[bytes, Route], live: set[Connection], has_leader: Callable[[], bool]) -> None:
        self._routes, self._live, self._has_leader = routes, live, has_leader
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.calls: dict[int, Call] = {}
        self.http = Http2(self.calls)
        self._ready: dict[int, Call] = {}  # those with something to send
        self.blocked: dict[int, Call] = {}  # those that have more to send than the windows let them
        self._ready_bytes = 0
        self._flushing = False
        self._unread = 0  # received, and not given back to the peer's window
        self._pause: asyncio.Future[None] | None = None

    # ── the socket ───────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._live.add(self)
        self.http.initiate_connection()
        self.http.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._live.discard(self)
        self.resume_writing()
        self._cancel()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.http.receive_data(data):
                handle = _HANDLERS.get(type(event))
                if handle is not None:  # h2 has answered the others
                    handle(self, event)
        except ProtocolError:
            self._close()  # h2 has the reason ready to be sent
        else:
            self.flush_soon()

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

    def flush_soon(self, call: Call | None = None, size: int = 0) -> None:
        """Send what there is, of `call` as well; all of one turn of the loop goes out together."""
        if call is not None:
            self._ready[call.stream] = call
            self._ready_bytes += size
        if self._ready_bytes > FLUSH_BYTES:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        ready, self._ready, self._ready_bytes, self._flushing = self._ready, {}, 0, False
        for call in ready.values():
            call.pump()
        data = self.http.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        self._flush()
        self._cancel()
        if self._transport is not None:
            self._transport.close()

    def _cancel(self) -> None:
        for call in list(self.calls.values()):
            call.cancel()

    def shut(self) -> None:
        """End the connection: calls that run are cancelled."""
        self.http.close_connection()
        self._close()
        if self._transport is not None:
            self._transport.abort()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self.loop.create_task(work)

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────

    def _on_request(self, event: RequestReceived) -> None:
        headers = dict(event.headers)
        if not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            self.http.send_headers(event.stream_id, NO_GRPC, end_stream=True)
        else:
            needs_leader = headers.get(b"hasleader") == b"true"
            call = Call(self, event.stream_id, self._routes.get(headers.get(b":path", b"")),
                        headers.get(b"grpc-timeout"), needs_leader=needs_leader)
            if needs_leader and not self._has_leader():
                call.refuse(NoLeader())

    def lost_leader(self) -> None:
        """End the calls that need a leader; their clients go on at another member."""
        for call in [call for call in self.calls.values() if call.needs_leader]:
            call.refuse(NoLeader())

    def _on_data(self, event: DataReceived) -> None:
        self._unread += event.flow_controlled_length
        if self._unread > CONNECTION_WINDOW // 2:
            self.http.increment_flow_control_window(self._unread)
            self._unread = 0
        call = self.calls.get(event.stream_id)
        if call is not None:
            call.receive(event.data, event.flow_controlled_length)

    def _on_end(self, event: StreamEnded) -> None:
        call = self.calls.get(event.stream_id)
        if call is not None:
            call.end()

    def _on_reset(self, event: StreamReset) -> None:
        call = self.calls.get(event.stream_id)
        if call is not None:
            call.cancel()

    def _on_window(self, event: WindowUpdated) -> None:
        if event.stream_id == 0:
            self._unblock()
        elif event.stream_id in self.blocked:
            self._ready[event.stream_id] = self.blocked[event.stream_id]

    def _unblock(self, event: RemoteSettingsChanged | None = None) -> None:
        self._ready.update(self.blocked)

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        self._close()


_HANDLERS: dict[type, Callable[[Connection, Any], None]] = {
    RequestReceived: Connection._on_request, DataReceived: Connection._on_data, StreamEnded: Connection._on_end,
    StreamReset: Connection._on_reset, WindowUpdated: Connection._on_window,
    RemoteSettingsChanged: Connection._unblock, ConnectionTerminated: Connection._on_goaway}
