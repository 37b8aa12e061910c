"""The conversation of exec and attach: the streams of a process, joined to the channels of a client.

    0 stdin ►   1 ◄ stdout   2 ◄ stderr   3 ◄ error: a Status at the end   4 resize ►   255 close ► (v5: that channel)

Invariant: the Status comes last, after all output.
Models:    client-go remotecommand v4/v5
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import orjson

from kubelab.machinery.request import Obj
from kubelab.node.runtime.protocol import Streams

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
Converse = Callable[["Channels"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which streams the client wants."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def channels(self) -> frozenset[int]:
        wanted = ((STDIN, self.stdin), (STDOUT, self.stdout), (STDERR, self.stderr and not self.tty),
                  (ERROR, True), (RESIZE, self.tty))
        return frozenset(channel for channel, is_wanted in wanted if is_wanted)


class Channels(Protocol):
    """The client's end."""

    async def send(self, channel: int, data: bytes) -> None: ...

    def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what comes, until the client goes."""
        ...

    async def finish(self) -> None:
        """Say that this was all."""
        ...


class Conversation:
    """Joins the channels of one client with the streams of one process."""

    def __init__(self, channels: Channels, streams: Streams, asked: Asked, *, says_code: bool) -> None:
        self.channels, self.streams, self.asked, self.says_code = channels, streams, asked, says_code

    async def run(self) -> None:
        """Speak until the process ends or the client goes."""
        listen = asyncio.ensure_future(self._listen())
        tell = asyncio.ensure_future(self._tell())
        try:
            await asyncio.wait({listen, tell}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (listen, tell):
                task.cancel()
            await asyncio.gather(listen, tell, return_exceptions=True)
            await self.streams.close()
            await self.channels.finish()

    async def _tell(self) -> None:
        """Send the output, then how it ended."""
        wanted = self.asked.channels
        async for channel, data in self.streams.output():
            if channel in wanted and data:
                await self.channels.send(channel, data)
        code = await self.streams.wait()
        await self.channels.send(ERROR, orjson.dumps(exit_status(code if self.says_code else 0)))

    async def _listen(self) -> None:
        """Take input, sizes and closings until the client goes."""
        async for channel, data in self.channels:
            if channel == STDIN and self.asked.stdin and data:
                with contextlib.suppress(ConnectionError):  # the process may have closed its input
                    await self.streams.write_stdin(data)
            elif channel == RESIZE:
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a size that is none changes nothing
                    size = orjson.loads(data)
                    await self.streams.resize(int(size["Width"]), int(size["Height"]))
            elif channel == CLOSE and data[:1] == bytes([STDIN]):
                await self.streams.close_stdin()


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
