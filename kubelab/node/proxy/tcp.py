"""The TCP relay: a listening socket, and for each connection two transports that write into each other.

    client ─► Inner.data_received ─► outer.write ─► endpoint
    client ◄─ outer.write ◄─ Outer.data_received ◄─ endpoint

Invariant: who cannot be written to stops the other from being read; end of input is passed on as end of input, so
           half-closed connections work; while no endpoint has answered nothing was sent, so another can be tried.
Models:    kube-proxy's userspace mode; the packets of today's modes never leave the kernel
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

from kubelab.node.proxy.balancer import Balancer, Counter, Counters
from kubelab.node.proxy.table import Endpoint

CONNECT_S = 3.0
Dial = Callable[[Endpoint], tuple[str, int]]  # where the endpoint's port really is
OnConnection = Callable[[str, str, Endpoint], None]  # service, client IP, endpoint


class _Side(asyncio.Protocol):
    """One of the two ends of a relayed connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.counts: tuple[Counter, Counter] | None = None  # of the service, of the endpoint
        self.closed = self.ended = False  # ended: nothing more comes from this side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.count(len(data))
            self.other.transport.write(data)

    def count(self, size: int) -> None:
        """Add to the counters of this direction."""

    def eof_received(self) -> bool:
        self.ended, other = True, self.other
        if other is not None and other.transport is not None and not other.closed:
            if other.ended:
                return False  # both directions are done: this closes us, and connection_lost the other
            other.transport.write_eof()
        return True  # our side stays open for what still comes back

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.closed:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.closed:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        other, self.other = self.other, None
        if other is not None and other.transport is not None and not other.closed:
            if error is not None:
                other.transport.abort()
            else:
                other.transport.close()


class _Outer(_Side):
    """Towards the endpoint."""

    def count(self, size: int) -> None:
        assert self.counts is not None
        for counter in self.counts:
            counter.bytes_out += size


class _Inner(_Side):
    """Towards the client: finds an endpoint, and holds the client's first bytes until it has one."""

    def __init__(self, listener: TcpListener) -> None:
        super().__init__()
        self.listener = listener
        self._early = b""  # what the client said before there was an endpoint
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.listener.connections.add(self)
        self.task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        assert self.transport is not None
        client_ip = self.transport.get_extra_info("peername")[0]
        listener = self.listener
        for endpoint in listener.balancer.order(client_ip):
            outer = _Outer()
            if not await listener.dial_to(outer, endpoint, client_ip):
                continue
            assert outer.transport is not None
            if self.closed:
                outer.transport.abort()
                return
            self.counts = outer.counts = listener.begin(client_ip, endpoint)
            self.other, outer.other = outer, self
            self._catch_up()
            return
        self.reset()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
        elif self.transport is not None:
            self._early += data
            self.transport.pause_reading()

    def _catch_up(self) -> None:
        early, self._early = self._early, b""
        if early and self.transport is not None:
            super().data_received(early)
            self.transport.resume_reading()
        if self.ended:
            self.eof_received()

    def reset(self) -> None:
        """Let the client see at once that nobody is there: RST, not an orderly end."""
        if self.transport is not None and not self.closed:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def count(self, size: int) -> None:
        assert self.counts is not None
        for counter in self.counts:
            counter.bytes_in += size

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.listener.connections.discard(self)
        if self.counts is not None:
            for counter in self.counts:
                counter.active -= 1


class TcpListener:
    """One frontend of a service port."""

    def __init__(self, balancer: Balancer, counters: Counters, dial: Dial, on_connection: OnConnection) -> None:
        self.balancer, self._counters, self._dial, self._on_connection = balancer, counters, dial, on_connection
        self.connections: set[_Inner] = set()
        self._server: asyncio.Server | None = None

    async def open(self, ip: str, port: int) -> None:
        """Listen. Raises: OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Inner(self), ip, port, backlog=1024, reuse_address=True)

    def close(self, *, abort: bool = False) -> None:
        """Stop listening; connections that are open go on, unless `abort`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if abort:
            for inner in tuple(self.connections):
                if inner.task is not None:
                    inner.task.cancel()
                inner.reset()

    def update(self) -> None:
        """The endpoints changed: open connections stay with theirs until they end."""

    async def dial_to(self, outer: _Outer, endpoint: Endpoint, client_ip: str) -> bool:
        """Connect to an endpoint, in the client's name where both are on loopback. Return False when it refuses."""
        ip, port = self._dial(endpoint)
        own = (client_ip, 0) if ip.startswith("127.") and client_ip.startswith("127.") and client_ip != "127.0.0.1" \
            else None
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_connection(lambda: outer, ip, port, local_addr=own)
        except (OSError, TimeoutError):
            return False
        return True

    def begin(self, client_ip: str, endpoint: Endpoint) -> tuple[Counter, Counter]:
        """Count a connection that an endpoint has taken."""
        self.balancer.chosen(client_ip, endpoint)
        service = self.balancer.port.service
        counts = (self._counters.service(service), self._counters.endpoint(endpoint))
        for counter in counts:
            counter.connections += 1
            counter.active += 1
        self._on_connection(service, client_ip, endpoint)
        return counts
