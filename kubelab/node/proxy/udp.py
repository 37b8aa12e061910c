"""The UDP relay: a flow per client address, kept while datagrams come.

    client ─► UdpListener ─► flow (its own socket) ─► endpoint
    client ◄─ UdpListener ◄──────── flow ◄─────────── endpoint

Invariant: a client's datagrams go to one endpoint until the flow is idle for IDLE_S or the endpoint is gone.
Models:    conntrack entries of UDP behind kube-proxy
"""

from __future__ import annotations

import asyncio
from typing import cast

from kubelab.machinery.clock import Clock, Handle
from kubelab.node.proxy.balancer import Balancer, Counter, Counters
from kubelab.node.proxy.table import Endpoint
from kubelab.node.proxy.tcp import Dial, OnConnection

IDLE_S = 30.0
WAITING_DATAGRAMS = 16
Address = tuple[str, int]


class _Flow(asyncio.DatagramProtocol):
    """One client's way to its endpoint, and back."""

    def __init__(self, listener: UdpListener, client: Address, endpoint: Endpoint,
                 counts: tuple[Counter, Counter]) -> None:
        self.listener, self.client, self.endpoint, self.counts = listener, client, endpoint, counts
        self.last = 0.0
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: list[bytes] = []
        self.task: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()

    def send(self, data: bytes) -> None:
        for counter in self.counts:
            counter.bytes_in += len(data)
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._waiting) < WAITING_DATAGRAMS:
            self._waiting.append(data)

    def datagram_received(self, data: bytes, addr: object) -> None:
        for counter in self.counts:
            counter.bytes_out += len(data)
        self.listener.answer(data, self.client)

    def error_received(self, exc: Exception) -> None:
        self.listener.drop(self)  # nobody listens there any more: the next datagram chooses again

    def close(self) -> None:
        for counter in self.counts:
            counter.active -= 1
        if self.task is not None:
            self.task.cancel()
        if self._transport is not None:
            self._transport.close()


class UdpListener(asyncio.DatagramProtocol):
    """One UDP frontend of a service port."""

    def __init__(self, balancer: Balancer, counters: Counters, dial: Dial, on_connection: OnConnection,
                 clock: Clock) -> None:
        self.balancer, self._counters, self._dial, self._on_connection = balancer, counters, dial, on_connection
        self._clock = clock
        self.flows: dict[Address, _Flow] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: Handle | None = None

    async def open(self, ip: str, port: int) -> None:
        """Listen. Raises: OSError."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(ip, port))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        flow = self.flows.get(addr)
        if flow is None:
            order = self.balancer.order(addr[0])
            if not order:
                return
            flow = self._begin(addr, order[0])
        flow.last = self._clock.monotonic()
        flow.send(data)

    def _begin(self, client: Address, endpoint: Endpoint) -> _Flow:
        service = self.balancer.port.service
        counts = (self._counters.service(service), self._counters.endpoint(endpoint))
        for counter in counts:
            counter.connections += 1
            counter.active += 1
        self.balancer.chosen(client[0], endpoint)
        self._on_connection(service, client[0], endpoint)
        flow = self.flows[client] = _Flow(self, client, endpoint, counts)
        loop = asyncio.get_running_loop()
        flow.task = loop.create_task(loop.create_datagram_endpoint(lambda: flow, remote_addr=self._dial(endpoint)))
        if self._timer is None:
            self._timer = self._clock.call_later(IDLE_S, self._drop_idle)
        return flow

    def answer(self, data: bytes, client: Address) -> None:
        if self._transport is not None:
            self._transport.sendto(data, client)

    def drop(self, flow: _Flow) -> None:
        if self.flows.pop(flow.client, None) is not None:
            flow.close()

    def _drop_idle(self) -> None:
        now, self._timer = self._clock.monotonic(), None
        for flow in [flow for flow in self.flows.values() if now - flow.last >= IDLE_S]:
            self.drop(flow)
        if self.flows:
            self._timer = self._clock.call_later(IDLE_S, self._drop_idle)

    def update(self) -> None:
        """The endpoints changed: flows to those that are gone end."""
        for flow in [flow for flow in self.flows.values() if flow.endpoint not in self.balancer.port.endpoints]:
            self.drop(flow)

    def close(self, *, abort: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for flow in list(self.flows.values()):
            self.drop(flow)
        if self._transport is not None:
            self._transport.close()
            self._transport = None
