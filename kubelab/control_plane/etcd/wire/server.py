"""The server: etcd's services on one address, over TLS with client certificates or plain.

    bytes ─► message ─► service ─► store ─► message ─► bytes
               │           └─ EtcdError ─► its gRPC code and text
               └─ garbage ─► INTERNAL

Invariant: whatever a client sends, the answer is a gRPC status and the store stays as healthy as it was; with TLS
           nobody comes in without a certificate of our authority.
Models:    etcd's embed package, listening for clients
Left out:  the HTTP gateway, server reflection
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from kubelab.client.component import Component
from kubelab.control_plane.etcd.errors import EtcdError
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.auth import AuthService
from kubelab.control_plane.etcd.wire.checks import MAX_REQUEST_BYTES
from kubelab.control_plane.etcd.wire.cluster import ClusterService
from kubelab.control_plane.etcd.wire.kv import KvService
from kubelab.control_plane.etcd.wire.lease import LeaseService
from kubelab.control_plane.etcd.wire.maintenance import MaintenanceService
from kubelab.control_plane.etcd.wire.watch import WatchService
from kubelab.machinery.clock import Clock

PROGRESS_S = 600.0  # etcd's default; a kube-apiserver asks by itself
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES + 512 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # an address that is taken is an error, not a share of its connections
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),  # etcdctl asks every 2 s whether we are there
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class ServerTls(NamedTuple):
    """PEM: what the server shows, and whose certificates clients must show."""

    certificate: bytes
    key: bytes
    client_ca: bytes


class EtcdWire(Component):
    """One store on one address, e.g. "127.0.0.1:2379"; port 0 takes a free one."""

    def __init__(self, etcd: EtcdServer, listen: str, *, clock: Clock, tls: ServerTls | None,
                 progress_s: float = PROGRESS_S) -> None:
        super().__init__("etcd-wire")
        self._etcd, self._clock, self._progress_s = etcd, clock, progress_s
        self._host, _, port = listen.rpartition(":")
        self._port, self._tls = int(port), tls
        self._server: Any = None

    @property
    def endpoint(self) -> str:
        """The address for clients, as a URL."""
        return f"{'http' if self._tls is None else 'https'}://{self._host}:{self._port}"

    async def setup(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(self._handlers())
        address = f"{self._host}:{self._port}"
        try:
            if self._tls is None:
                self._port = self._server.add_insecure_port(address)
            else:
                credentials = grpc.ssl_server_credentials([(self._tls.key, self._tls.certificate)], self._tls.client_ca,
                                                          require_client_auth=True)
                self._port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: another program has it, or it is not of this machine; "
                          "choose another --listen") from error
        await self._server.start()

    async def teardown(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def _handlers(self) -> list[Any]:
        services = {"KV": KvService(self._etcd), "Lease": LeaseService(self._etcd),
                    "Watch": WatchService(self._etcd, self._clock, self._progress_s),
                    "Cluster": ClusterService(self._etcd), "Maintenance": MaintenanceService(self._etcd),
                    "Auth": AuthService(self._etcd)}
        return [_service(name, service) for name, service in services.items()]


def _service(name: str, service: Any) -> Any:
    """Return a gRPC handler of all calls that a service object lists."""
    handlers: dict[str, Any] = {}
    for method, call in getattr(service, "calls", {}).items():
        handlers[method] = grpc.unary_unary_rpc_method_handler(_unary(call, pb.SERVICES[name][method].request))
    for method, call in getattr(service, "streams", {}).items():
        handlers[method] = _stream(call, pb.SERVICES[name][method], encode=True)
    for method, call in getattr(service, "raw_streams", {}).items():
        handlers[method] = _stream(call, pb.SERVICES[name][method], encode=False)
    return grpc.method_handlers_generic_handler(f"etcdserverpb.{name}", handlers)


def _unary(call: Callable[[Any], Any], request_class: Any) -> Callable[[bytes, Any], Any]:
    decode = request_class.FromString

    async def handle(data: bytes, context: Any) -> bytes:
        try:
            answer = await call(decode(data))
        except (EtcdError, DecodeError) as error:
            await _refuse(context, error)
        encoded: bytes = answer.SerializeToString()
        return encoded

    return handle


def _stream(call: Callable[[AsyncIterator[Any]], AsyncIterator[Any]], method: pb.Method, *, encode: bool) -> Any:
    async def handle(data: Any, context: Any) -> AsyncIterator[bytes]:
        requests = _each(data) if method.client_streaming else _only(data)
        try:
            async for answer in call(method.request.FromString(item) async for item in requests):
                yield answer.SerializeToString() if encode else answer
        except (EtcdError, DecodeError) as error:
            await _refuse(context, error)

    make = grpc.stream_stream_rpc_method_handler if method.client_streaming else grpc.unary_stream_rpc_method_handler
    return make(handle)


async def _each(items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for item in items:
        yield item


async def _only(item: bytes) -> AsyncIterator[bytes]:
    yield item


async def _refuse(context: Any, error: Exception) -> None:
    """End the call with the status of an error."""
    if isinstance(error, EtcdError):
        await context.abort(grpc.StatusCode[error.code], str(error))
    await context.abort(grpc.StatusCode.INTERNAL, f"grpc: error unmarshalling request: {error}")
