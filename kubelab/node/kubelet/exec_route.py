"""exec and attach: the two ways in which a client's channels reach us.

    Upgrade: websocket   the first byte of every message names its channel
    Upgrade: SPDY/3.1    each channel is a stream (exec_spdy.py)

Models:    apimachinery wsstream, kubelet's exec handlers
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson

from kubelab.node.kubelet.channels import ERROR, Asked, Channels, Conversation, Converse, failed_to_run
from kubelab.node.kubelet.exec_spdy import PROTOCOLS as OVER_SPDY
from kubelab.node.kubelet.exec_spdy import SpdyChannels
from kubelab.node.kubelet.routes import HttpError, PodTarget, flag
from kubelab.node.kubelet.takeover import UPGRADE, take_over
from kubelab.node.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from aiohttp import web

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")


async def serve(request: web.BaseRequest, target: PodTarget, verb: str) -> Any:
    """Upgrade, run the command or attach, and speak until it ends. Raises HttpError before the upgrade."""
    status = target.running(verb)
    command = request.query.getall("command", [])
    if verb == "exec" and not command:
        raise HttpError(400, "you must specify at least one command for the container")
    asked = Asked(flag(request.query, "input"), flag(request.query, "output"), flag(request.query, "error"),
                  flag(request.query, "tty"))

    async def converse(channels: Channels) -> None:
        try:
            if verb == "exec":
                streams = await target.runtime.exec(status.id, command, tty=asked.tty, stdin=asked.stdin)
            else:
                streams = await target.runtime.attach(status.id)
        except RuntimeFailure as failure:
            await channels.send(ERROR, orjson.dumps(failed_to_run(failure.message)))
            await channels.finish()
            return
        await Conversation(channels, streams, asked, says_code=verb == "exec").run()

    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade == "websocket":
        return await _over_websocket(request, converse)
    if upgrade == UPGRADE:
        return await take_over(request, OVER_SPDY, lambda send, hang_up, protocol: SpdyChannels(
            send, hang_up, protocol, asked.channels, converse))
    raise HttpError(400, "Upgrade request required")


async def _over_websocket(request: web.BaseRequest, converse: Converse) -> web.WebSocketResponse:
    from aiohttp import web

    offered = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
    if offered and not any(p in PROTOCOLS for p in offered):
        raise HttpError(400, f"unable to negotiate protocol: client supports {offered}, server accepts "
                             f"{list(PROTOCOLS)}")
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=1 << 22, compress=False)
    await socket.prepare(request)
    await converse(WebSocketChannels(socket))
    return socket


class WebSocketChannels:
    """Channels inside the messages of a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def send(self, channel: int, data: bytes) -> None:
        await self._socket.send_bytes(bytes([channel]) + data)

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        from aiohttp import WSMsgType

        async for message in self._socket:
            data = message.data
            if message.type == WSMsgType.TEXT:
                data = data.encode()
            elif message.type != WSMsgType.BINARY:
                continue
            if data:
                yield data[0], bytes(data[1:])

    async def finish(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.close()
