"""exec and attach over SPDY, as clients without WebSockets have it: each channel is a stream that the client opens.

    SYN_STREAM streamType=error | stdin | stdout | stderr | resize ─► all there? ─► the conversation
                                                                        └ not within 30 s: the connection ends

Invariant: nothing is run before every stream that the request announced is there.
Models:    k8s.io/kubelet cri/streaming/remotecommand httpstream.go, client-go remotecommand v2 to v4
Left out:  the first version of the protocol, which says how a command ended by the connection's end
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import orjson

from kubelab.node.kubelet.channels import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT, Converse
from kubelab.node.kubelet.spdy_session import Session, Stream, StreamReset
from kubelab.node.kubelet.takeover import Send

PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io")
CHANNELS = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
COMPLETE_S = 30.0  # within which the client opens all its streams


class SpdyChannels:
    """The streams of one client. `converse` is begun when all of `wanted` are there; then the connection ends."""

    def __init__(self, send: Send, hang_up: Callable[[], None], protocol: str, wanted: frozenset[int],
                 converse: Converse) -> None:
        self.session = Session(send, self._on_stream)
        self._hang_up, self._says_status = hang_up, protocol == PROTOCOLS[0]
        self._wanted = wanted if protocol != PROTOCOLS[2] else wanted - {RESIZE}
        self._streams: dict[int, Stream] = {}
        self._complete = asyncio.Event()
        self._incoming: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(1)
        self._tasks = [asyncio.ensure_future(self._serve(converse))]

    def _on_stream(self, stream: Stream) -> None:
        channel = CHANNELS.get(stream.headers.get("streamtype", ""))
        if channel not in self._wanted or channel in self._streams:
            self._tasks.append(asyncio.ensure_future(stream.reset()))
            return
        self._streams[channel] = stream
        if self._streams.keys() == self._wanted:
            self._complete.set()

    async def _serve(self, converse: Converse) -> None:
        try:
            if await self._all_there():
                self._tasks += [asyncio.ensure_future(self._pump(channel))
                                for channel in (STDIN, RESIZE) if channel in self._streams]
                await converse(self)
        finally:
            self._hang_up()

    async def _all_there(self) -> bool:
        """Wait for every stream that the request announced; say whether they came in time."""
        try:
            async with asyncio.timeout(COMPLETE_S):
                await self._complete.wait()
        except TimeoutError:
            return False
        return True

    async def _pump(self, channel: int) -> None:
        """Bring what a stream of the client says, sizes line by line."""
        stream, rest = self._streams[channel], b""
        with contextlib.suppress(StreamReset):
            while data := await stream.read():
                if channel == RESIZE:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        await self._incoming.put((RESIZE, line))
                else:
                    await self._incoming.put((channel, data))
            if channel == STDIN:
                await self._incoming.put((CLOSE, bytes([STDIN])))

    # ── for the conversation ─────────────────────────────────────────────────────────────────────────────────

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while (found := await self._incoming.get()) is not None:
            yield found

    async def send(self, channel: int, data: bytes) -> None:
        if channel == ERROR and not self._says_status:
            status = orjson.loads(data)
            data = b"" if status["status"] == "Success" else status["message"].encode()
        await self._streams[channel].write(data)

    async def finish(self) -> None:
        with contextlib.suppress(ConnectionError):
            for channel in (STDOUT, STDERR, ERROR):
                if channel in self._streams:
                    await self._streams[channel].close_write()

    # ── for the connection ───────────────────────────────────────────────────────────────────────────────────

    async def close(self) -> None:
        """The connection has ended, by whichever side: so does what it began."""
        self.session.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
