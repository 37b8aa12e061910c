"""Port forwarding: pairs of SPDY streams, each joined to one connection into the pod.

    SYN_STREAM streamType=error port=80 requestID=0 ─┐
    SYN_STREAM streamType=data  port=80 requestID=0 ─┴─► runtime.port_forward ─► bytes both ways
                                                          └ cannot: the words go to the error stream

Invariant: both streams of a pair are ended when its connection is.
Models:    k8s.io/kubelet cri/streaming/portforward httpstream.go
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kubelab.node.kubelet.spdy_session import Session, Stream, StreamReset
from kubelab.node.runtime.protocol import Connection, RuntimeFailure

PROTOCOL = "portforward.k8s.io"
PAIR_TIMEOUT_S = 30.0  # a stream whose partner does not come is given up
Dial = Callable[[int], Awaitable[Connection]]


@dataclass(slots=True)
class _Pair:
    error: Stream | None = None
    data: Stream | None = None
    port: int = 0


class PortForwarder:
    """Serves the streams of one port-forward session."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], dial: Dial, title: str) -> None:
        self.session = Session(send, self._on_stream)
        self._dial, self._title = dial, title
        self._pairs: dict[str, _Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def _on_stream(self, stream: Stream) -> None:
        kind = stream.headers.get("streamtype", "")
        port = stream.headers.get("port", "")
        if kind not in ("error", "data") or not port.isdigit() or not 0 < int(port) < 65536:
            self._spawn(stream.reset())
            return
        request = stream.headers.get("requestid") or _old_request_id(stream, kind)
        pair = self._pairs.setdefault(request, _Pair(port=int(port)))
        if kind == "error":
            pair.error = stream
        else:
            pair.data = stream
        if pair.error is not None and pair.data is not None:
            del self._pairs[request]
            self._spawn(self._serve(pair.error, pair.data, pair.port))
        else:
            self._spawn(self._expire(request, pair))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self, request: str, pair: _Pair) -> None:
        await asyncio.sleep(PAIR_TIMEOUT_S)
        if self._pairs.get(request) is pair:
            del self._pairs[request]
            for stream in (pair.error, pair.data):
                if stream is not None:
                    await stream.reset()

    async def _serve(self, error: Stream, data: Stream, port: int) -> None:
        try:
            connection = await self._dial(port)
        except (RuntimeFailure, OSError) as failure:
            words = failure.message if isinstance(failure, RuntimeFailure) else str(failure)
            with contextlib.suppress(StreamReset):
                await error.write(f"error forwarding port {port} to pod {self._title}: {words}".encode())
                await error.close_write()
                await data.close_write()
            return
        up = asyncio.ensure_future(_upload(data, connection))
        try:
            await _download(connection, data)
            await data.close_write()
            await error.close_write()
        except (StreamReset, OSError):
            await data.reset()
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            await connection.close()

    async def close(self) -> None:
        """The client has gone: end every connection that it had."""
        self.session.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _old_request_id(stream: Stream, kind: str) -> str:
    """Clients without request ids open the error stream first and its data stream right after it."""
    return f"stream {stream.id if kind == 'error' else stream.id - 2}"


async def _upload(data: Stream, connection: Connection) -> None:
    while part := await data.read():
        await connection.write(part)
    await connection.close_write()


async def _download(connection: Connection, data: Stream) -> None:
    while part := await connection.read():
        await data.write(part)
