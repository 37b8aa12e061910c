"""The server: etcd's services on one address, over TLS with client certificates or plain.

    connection ─► bytes ─► message ─► service ─► store ─► message ─► bytes ─► connection
                              │          └─ EtcdError ─► its gRPC code and text
                              └─ garbage ─► INTERNAL

Invariant: whatever a client sends, the answer is a gRPC status and the store stays as healthy as it was; with TLS
           nobody comes in without a certificate of our authority.
Models:    etcd's embed package, listening for clients
Left out:  the HTTP gateway, server reflection
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import DecodeError

from kubelab.client.component import Component
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.access import WireTls, environment, host_and_port
from kubelab.control_plane.etcd.wire.auth import AuthService
from kubelab.control_plane.etcd.wire.call import Refused, Route
from kubelab.control_plane.etcd.wire.cluster import ClusterService
from kubelab.control_plane.etcd.wire.connection import Connection
from kubelab.control_plane.etcd.wire.encoded import Encoded
from kubelab.control_plane.etcd.wire.kv import KvService
from kubelab.control_plane.etcd.wire.lease import LeaseService
from kubelab.control_plane.etcd.wire.maintenance import MaintenanceService
from kubelab.control_plane.etcd.wire.quota import QUOTA_BYTES, Quota
from kubelab.control_plane.etcd.wire.watch import WatchService
from kubelab.machinery.clock import Clock

PROGRESS_S = 600.0  # etcd's default; a kube-apiserver asks by itself
LEADERLESS_S = 3.0  # as etcd: three election time-outs of one second


class EtcdWire(Component):
    """One store on one address, e.g. "127.0.0.1:2379"; port 0 takes a free one. `tls` is None for plain HTTP/2."""

    def __init__(self, etcd: EtcdServer, listen: str, *, clock: Clock, tls: WireTls | None = None,
                 progress_s: float = PROGRESS_S, quota_bytes: int = QUOTA_BYTES) -> None:
        super().__init__("etcd-wire")
        self._etcd, self._clock, self._progress_s, self._quota_bytes = etcd, clock, progress_s, quota_bytes
        (self._host, self._port), self._tls = host_and_port(listen), tls
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    @property
    def endpoint(self) -> str:
        """The address for clients, as a URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which etcdctl finds this etcd and is let in."""
        return environment(self.endpoint, self._tls.files if self._tls else None)

    async def setup(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        routes = self._routes()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(routes, self._connections, lambda: self._etcd.has_leader), self._host, self._port,
                ssl=self._tls.context if self._tls else None, backlog=1024)
        except OSError as error:
            raise OSError(f"cannot listen on {self._host}:{self._port}: {error.strerror}; choose another address, "
                          "or end the program that has it") from error
        self._port = self._server.sockets[0].getsockname()[1]
        self._etcd.advertise([self.endpoint])

    async def run(self) -> None:
        """End the calls that need a leader when there has been none for a while, as etcd does."""
        silent = 0
        while True:
            await self._clock.sleep(LEADERLESS_S / 3)
            silent = 0 if self._etcd.has_leader else silent + 1
            if silent == 3:
                for connection in list(self._connections):
                    connection.lost_leader()

    async def teardown(self) -> None:
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.shut()
            self._server = None

    def _routes(self) -> dict[bytes, Route]:
        encoded, quota = Encoded(), Quota(self._etcd, self._quota_bytes)
        services: dict[str, Any] = {
            "KV": KvService(self._etcd, encoded, quota), "Lease": LeaseService(self._etcd, quota),
            "Watch": WatchService(self._etcd, encoded, self._clock, self._progress_s),
            "Cluster": ClusterService(self._etcd), "Maintenance": MaintenanceService(self._etcd),
            "Auth": AuthService(self._etcd)}
        routes: dict[bytes, Route] = {}
        for name, service in services.items():
            methods = pb.SERVICES[name]
            for method, call in service.calls.items():
                routes[methods[method].path.encode()] = Route(unary=_unary(call, methods[method].request))
            for method, call in service.streams.items():
                routes[methods[method].path.encode()] = Route(stream=_stream(call, methods[method].request))
        return routes


def _unary(call: Callable[[Any], Any], request_class: Any) -> Callable[[bytes], Any]:
    async def answer(data: bytes) -> bytes:
        return _bytes(await call(_decoded(request_class, data)))

    return answer


def _stream(call: Callable[[AsyncIterator[Any]], AsyncIterator[Any]],
            request_class: Any) -> Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]:
    async def answer(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        answers = call(_decoded(request_class, data) async for data in messages)
        try:
            async for message in answers:
                yield _bytes(message)
        finally:
            await answers.aclose()  # type: ignore[attr-defined]  # each is a generator

    return answer


def _bytes(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())


def _decoded(request_class: Any, data: bytes) -> Any:
    try:
        return request_class.FromString(data)
    except DecodeError as error:
        raise Refused("INTERNAL", f"grpc: error unmarshalling request: {error}") from error
