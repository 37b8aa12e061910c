"""The open ends of Docker containers: exec, attach, logs and port-forward, brought from threads to the loop.

    engine ── socket ──► reader thread ──► queue ──► async for

Not a tty: Docker multiplexes, each frame an 8-byte header (stream, 0, 0, 0, length) and its bytes.
Source: https://docs.docker.com/reference/api/engine/ "Attach to a container", stream format
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from kubelab.node.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient

HEADER = struct.Struct(">BxxxL")


class _FromThread:
    """A queue that a thread fills and the loop empties."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def fill(self, work: Callable[[Callable[[Any], None]], None], name: str) -> None:
        """Run `work(put)` in a thread; None ends the stream, whatever happened."""

        def put(item: Any) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

        def run() -> None:
            try:
                work(put)
            except (OSError, ValueError, AttributeError):  # the socket was closed under the reader: the end
                return
            finally:
                put(None)

        threading.Thread(target=run, name=name, daemon=True).start()

    async def get(self) -> Any:
        return await self._queue.get()


class DockerStreams:
    """Standard input, output and error of a process in a container."""

    def __init__(self, client: DockerClient, opened: Any, tty: bool, *, exec_id: str = "",
                 container_id: str = "") -> None:
        self._client, self._tty, self._exec_id, self._container_id = client, tty, exec_id, container_id
        self._opened = opened
        self._socket: socket.socket = getattr(opened, "_sock", opened)
        self._socket.settimeout(None)
        self._out: _FromThread | None = None

    async def write_stdin(self, data: bytes) -> None:
        await asyncio.to_thread(self._socket.sendall, data)

    async def close_stdin(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the process has already ended

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        self._out = _FromThread()
        self._out.fill(self._read_raw if self._tty else self._read_frames, "docker-streams")
        while (item := await self._out.get()) is not None:
            yield item

    def _read_raw(self, put: Callable[[Any], None]) -> None:
        while data := self._socket.recv(65536):
            put((1, data))

    def _read_frames(self, put: Callable[[Any], None]) -> None:
        while header := self._exactly(HEADER.size):
            stream, length = HEADER.unpack(header)
            put((2 if stream == 2 else 1, self._exactly(length)))

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                return b""
            data += more
        return data

    async def resize(self, width: int, height: int) -> None:
        from docker.errors import APIError

        try:
            if self._exec_id:
                await asyncio.to_thread(self._client.api.exec_resize, self._exec_id, height=height, width=width)
            else:
                await asyncio.to_thread(self._client.api.resize, self._container_id, height, width)
        except APIError:
            return  # it ended while the window changed

    async def wait(self) -> int:
        if not self._exec_id:
            return int((await asyncio.to_thread(self._client.api.wait, self._container_id))["StatusCode"])
        for pause_s in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
            await asyncio.sleep(pause_s)  # the output has ended; the engine notes the exit code a moment later
            found = await asyncio.to_thread(self._client.api.exec_inspect, self._exec_id)
            if not found["Running"]:
                return int(found["ExitCode"])
        raise RuntimeFailure("ExecError", "the command closed its output but goes on running")

    async def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # already closed at the other end
        self._opened.close()


async def read_logs(client: DockerClient, container_id: str, *, follow: bool, tail_lines: int | None,
                    since_s: float | None, timestamps: bool, limit_bytes: int | None) -> AsyncIterator[bytes]:
    """Yield a container's log as bytes, oldest first."""
    out = _FromThread()
    stream = await asyncio.to_thread(
        client.api.logs, container_id, stream=True, follow=follow, timestamps=timestamps,
        tail="all" if tail_lines is None else tail_lines, since=since_s)

    def work(put: Callable[[Any], None]) -> None:
        for chunk in stream:
            put(chunk)

    out.fill(work, "docker-logs")
    left = limit_bytes
    try:
        while (chunk := await out.get()) is not None:
            if left is not None:
                chunk, left = chunk[:left], left - len(chunk)
            yield chunk
            if left is not None and left <= 0:
                return
    finally:
        if hasattr(stream, "close"):
            await asyncio.to_thread(stream.close)


class DockerConnection:
    """A connection to a port of a pod, over the bridge."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, ip: str, port: int) -> DockerConnection:
        try:
            return cls(*await asyncio.open_connection(ip, port))
        except OSError as error:
            raise RuntimeFailure("PortForwardError",
                                 f"failed to connect to {ip}:{port} inside the pod: {error.strerror}") from error

    async def read(self, limit: int = 65536) -> bytes:
        return await self._reader.read(limit)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close_write(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
