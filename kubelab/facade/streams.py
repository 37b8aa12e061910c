"""exec over the WebSocket protocol that kubectl speaks: v5.channel.k8s.io.

    channel 0 stdin ─►   ◄─ 1 stdout   ◄─ 2 stderr   ◄─ 3 Status with the exit code

Models: k8s.io/kubernetes remotecommand, client side
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlencode

import aiohttp

from kubelab.client.client import Client
from kubelab.facade.results import ExecResult
from kubelab.units import find

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


async def run(client: Client, pod: str, namespace: str, command: Sequence[str], container: str | None,
              stdin: bytes | None) -> ExecResult:
    """Run `command` in a container and return what it printed.

    Raises: NotFound, BadRequest (the container is not running), as the API server answers them.
    """
    query: list[tuple[str, str]] = [("command", word) for word in command]
    query += [("stdout", "true"), ("stderr", "true")]
    query += [("stdin", "true")] if stdin is not None else []
    query += [("container", container)] if container else []
    path = f"{find('pods').path(namespace, pod, 'exec')}?{urlencode(query)}"
    out: dict[int, bytearray] = {1: bytearray(), 2: bytearray(), 3: bytearray()}
    socket = await client.websocket(path, PROTOCOLS)
    try:
        if stdin is not None:
            await socket.send_bytes(b"\x00" + stdin)
            if socket.protocol == PROTOCOLS[0]:
                await socket.send_bytes(b"\xff\x00")
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY and message.data and message.data[0] in out:
                out[message.data[0]] += message.data[1:]
    finally:
        await socket.close()
    return ExecResult(out[1].decode("utf-8", "replace"), out[2].decode("utf-8", "replace"), _exit_code(bytes(out[3])))


def _exit_code(status_json: bytes) -> int:
    if not status_json:
        raise ConnectionError("the connection broke off before the command ended; is the pod still there?")
    status = json.loads(status_json)
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes", ()):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ConnectionError(status.get("message", "exec failed"))
