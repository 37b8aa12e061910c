"""exec and attach over a WebSocket: the first byte of every message names its channel.

    0 stdin ►   1 ◄ stdout   2 ◄ stderr   3 ◄ error: a Status at the end   4 resize ►   255 close ► (v5: that channel)

Invariant: the Status is the last message, and comes after all output.
Models:    apimachinery wsstream, client-go remotecommand v4/v5
Left out:  the SPDY form of exec, which kubectl 1.37 uses only where WebSockets are refused
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import orjson

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.routes import HttpError, PodTarget, flag
from kubelab.node.runtime.protocol import RuntimeFailure, Streams

if TYPE_CHECKING:
    from aiohttp import web

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


async def serve(request: web.BaseRequest, target: PodTarget, verb: str) -> web.StreamResponse:
    """Upgrade, run the command or attach, and speak until it ends. Raises HttpError before the upgrade."""
    from aiohttp import web

    status = target.running()
    query = request.query
    command = query.getall("command", [])
    if verb == "exec" and not command:
        raise HttpError(400, "you must specify at least one command for the container")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise HttpError(400, "Upgrade request required: exec and attach are served over WebSockets")
    offered = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
    if offered and not any(p in PROTOCOLS for p in offered):
        raise HttpError(400, f"unable to negotiate protocol: client supports {offered}, server accepts "
                             f"{list(PROTOCOLS)}")
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=1 << 22, compress=False)
    await socket.prepare(request)
    stdin, tty = flag(query, "input"), flag(query, "tty")
    try:
        if verb == "exec":
            streams = await target.runtime.exec(status.id, command, tty=tty, stdin=stdin)
        else:
            streams = await target.runtime.attach(status.id)
    except RuntimeFailure as failure:
        await _send(socket, ERROR, orjson.dumps(failed_to_run(failure.message)))
        await socket.close()
        return socket
    with_stderr = flag(query, "error") and not tty
    await Conversation(socket, streams, stdin=stdin, stdout=flag(query, "output"), stderr=with_stderr,
                       says_code=verb == "exec").run()
    return socket


class Conversation:
    """Joins one WebSocket with the streams of one process."""

    def __init__(self, socket: web.WebSocketResponse, streams: Streams, *, stdin: bool, stdout: bool, stderr: bool,
                 says_code: bool) -> None:
        self.socket, self.streams, self.stdin, self.says_code = socket, streams, stdin, says_code
        self.wanted = {STDOUT: stdout, STDERR: stderr}

    async def run(self) -> None:
        """Speak until the process ends or the client goes."""
        listen = asyncio.ensure_future(self._listen())
        tell = asyncio.ensure_future(self._tell())
        try:
            await asyncio.wait({listen, tell}, return_when=asyncio.FIRST_COMPLETED)
            if listen.done() and not tell.done() and not listen.cancelled() and listen.result():
                await asyncio.wait({tell})  # the client has only closed its input
        finally:
            for task in (listen, tell):
                task.cancel()
            await asyncio.gather(listen, tell, return_exceptions=True)
            await self.streams.close()
            with contextlib.suppress(ConnectionError):
                await self.socket.close()

    async def _tell(self) -> None:
        """Send the output, then how it ended."""
        async for channel, data in self.streams.output():
            if self.wanted.get(channel) and data:
                await _send(self.socket, channel, data)
        code = await self.streams.wait()
        await _send(self.socket, ERROR, orjson.dumps(exit_status(code if self.says_code else 0)))

    async def _listen(self) -> bool:
        """Take input, sizes and closings; return whether the client is still there."""
        from aiohttp import WSMsgType

        async for message in self.socket:
            data = message.data
            if message.type == WSMsgType.TEXT:
                data = data.encode()
            elif message.type != WSMsgType.BINARY:
                continue
            if data:
                await self._take(data[0], bytes(data[1:]))
        return False

    async def _take(self, channel: int, data: bytes) -> None:
        if channel == STDIN and self.stdin and data:
            with contextlib.suppress(ConnectionError):  # the process may have closed its input
                await self.streams.write_stdin(data)
        elif channel == RESIZE:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a size that is none changes nothing
                size = orjson.loads(data)
                await self.streams.resize(int(size["Width"]), int(size["Height"]))
        elif channel == CLOSE and data[:1] == bytes([STDIN]):
            await self.streams.close_stdin()


async def _send(socket: web.WebSocketResponse, channel: int, data: bytes) -> None:
    await socket.send_bytes(bytes([channel]) + data)


def exit_status(code: int) -> Obj:
    """Return the Status that tells the exit code."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}


def failed_to_run(message: str) -> Obj:
    """Return the Status of a command that could not be started."""
    words = f"error executing command in container: {message}"
    return {"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": f"Internal error occurred: {words}", "details": {"causes": [{"message": words}]}}
