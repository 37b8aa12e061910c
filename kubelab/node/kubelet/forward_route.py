"""The two ways in which port-forward's SPDY reaches us: inside a WebSocket, or on the bare connection.

    Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io   binary messages carry the SPDY bytes (kubectl >= 1.31)
    Upgrade: SPDY/3.1                                     the connection itself carries them (the fall-back)

Models:    kubelet's portforward handlers, apimachinery's tunneling over WebSocket (KEP-4006)
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

from kubelab.node.kubelet.port_forward import PROTOCOL, PortForwarder
from kubelab.node.kubelet.routes import HttpError, PodTarget
from kubelab.node.kubelet.spdy import SpdyError
from kubelab.node.runtime.protocol import Connection

if TYPE_CHECKING:
    from aiohttp import web

TUNNEL = f"SPDY/3.1+{PROTOCOL}"


async def serve(request: web.BaseRequest, target: PodTarget) -> Any:
    """Upgrade in the way the client asks for, and forward until it goes. Raises HttpError before that."""
    sandbox = target.worker.observed.sandbox
    if sandbox is None or not sandbox.ready:
        phase = target.worker.status.get("phase", "Pending")
        raise HttpError(500, f"unable to forward port because pod is not running. Current status={phase}")
    meta = target.pod["metadata"]

    async def dial(port: int) -> Connection:
        return await target.runtime.port_forward(sandbox.id, port)

    title = f"{meta['name']}, uid : {meta['uid']}"
    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade == "websocket":
        return await _over_websocket(request, dial, title)
    if upgrade == "spdy/3.1":
        return await _over_connection(request, dial, title)
    raise HttpError(400, "Upgrade request required")


async def _over_websocket(request: web.BaseRequest, dial: Any, title: str) -> web.WebSocketResponse:
    from aiohttp import WSMsgType, web

    if TUNNEL not in request.headers.get("Sec-WebSocket-Protocol", ""):
        raise HttpError(400, f"unable to negotiate protocol: server accepts {TUNNEL}")
    socket = web.WebSocketResponse(protocols=(TUNNEL,), max_msg_size=0, compress=False)
    await socket.prepare(request)
    forwarder = PortForwarder(socket.send_bytes, dial, title)
    try:
        with contextlib.suppress(SpdyError, ConnectionError):
            async for message in socket:
                if message.type == WSMsgType.BINARY:
                    await forwarder.session.feed(message.data)
    finally:
        await forwarder.close()
        with contextlib.suppress(ConnectionError):
            await socket.close()
    return socket


class _Bytes:
    """Stands where aiohttp's HTTP parser stood: takes the raw bytes of the connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.parts: asyncio.Queue[bytes] = asyncio.Queue()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.parts.put_nowait(bytes(data))
        self.transport.pause_reading()  # until it is dealt with
        return False, b""

    def feed_eof(self) -> None:
        self.parts.put_nowait(b"")

    def set_exception(self, *_: object) -> None:
        self.parts.put_nowait(b"")


class Hijacked:
    """What aiohttp is told when a connection was taken over and has ended."""

    keep_alive = False
    status, body_length = 101, 0

    async def prepare(self, request: object) -> None:
        """The head was sent when the connection was taken over."""

    async def write_eof(self) -> None:
        """Nothing follows."""


async def _over_connection(request: web.BaseRequest, dial: Any, title: str) -> Hijacked:
    asked = request.headers.getall("X-Stream-Protocol-Version", [])
    if asked and PROTOCOL not in ",".join(asked):
        raise HttpError(403, f"unable to upgrade: unable to negotiate protocol: client supports {asked}, server "
                             f"accepts [{PROTOCOL}]")
    transport, protocol = cast(asyncio.Transport, request.transport), request.protocol  # uvloop's is none by class
    inbound = _Bytes(transport)

    async def send(data: bytes) -> None:
        if transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)
        await protocol._drain_helper()

    forwarder = PortForwarder(send, dial, title)
    transport.write(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                    f"X-Stream-Protocol-Version: {PROTOCOL}\r\n\r\n".encode())
    protocol.set_parser(inbound)  # type: ignore[arg-type]  # it wants no more than these three methods
    try:
        with contextlib.suppress(SpdyError, ConnectionError):
            while data := await inbound.parts.get():
                await forwarder.session.feed(data)
                transport.resume_reading()
    finally:
        await forwarder.close()
        transport.close()
    return Hijacked()
