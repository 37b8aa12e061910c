"""The two ways in which port-forward's SPDY reaches us: inside a WebSocket, or on the bare connection.

    Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io   binary messages carry the SPDY bytes (kubectl >= 1.31)
    Upgrade: SPDY/3.1                                     the connection itself carries them (the fall-back)

Models:    kubelet's portforward handlers, apimachinery's tunneling over WebSocket (KEP-4006)
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from kubelab.node.kubelet.port_forward import PROTOCOL, PortForwarder
from kubelab.node.kubelet.routes import HttpError, PodTarget
from kubelab.node.kubelet.spdy import SpdyError
from kubelab.node.kubelet.takeover import UPGRADE, take_over
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
    if upgrade == UPGRADE:
        return await take_over(request, (PROTOCOL,), lambda send, hang_up, _: PortForwarder(send, dial, title))
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
