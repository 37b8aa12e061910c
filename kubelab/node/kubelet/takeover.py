"""A connection is taken from HTTP and speaks SPDY/3.1 from then on: how exec, attach and port-forward fall back.

    Upgrade: SPDY/3.1 + X-Stream-Protocol-Version ─► 101 ─► raw bytes ─► Session.feed ─► streams

Invariant: nothing is read from the client that has not been dealt with: its speed is ours.
Models:    apimachinery httpstream/spdy upgrade.go
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from kubelab.node.kubelet.routes import HttpError
from kubelab.node.kubelet.spdy import SpdyError
from kubelab.node.kubelet.spdy_session import Session

if TYPE_CHECKING:
    from aiohttp import web

UPGRADE = "spdy/3.1"
Send = Callable[[bytes], Awaitable[None]]


class Speaker(Protocol):
    """Whoever serves the streams of one session."""

    session: Session

    async def close(self) -> None: ...


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


async def take_over(request: web.BaseRequest, protocols: Sequence[str],
                    begin: Callable[[Send, Callable[[], None], str], Speaker]) -> Hijacked:
    """Upgrade and speak until the client goes, or the speaker hangs up.

    `begin` is given the way to send, the way to hang up, and the first of `protocols` that the client offers.
    Raises HttpError before the upgrade.
    """
    chosen = _negotiated(request.headers.getall("X-Stream-Protocol-Version", []), protocols)
    transport, protocol = cast(asyncio.Transport, request.transport), request.protocol  # uvloop's is none by class
    inbound = _Bytes(transport)

    async def send(data: bytes) -> None:
        if transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)
        await protocol._drain_helper()

    speaker = begin(send, inbound.feed_eof, chosen)
    transport.write(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                    f"X-Stream-Protocol-Version: {chosen}\r\n\r\n".encode())
    protocol.set_parser(inbound)  # type: ignore[arg-type]  # it wants no more than these three methods
    try:
        with contextlib.suppress(SpdyError, ConnectionError):
            while data := await inbound.parts.get():
                await speaker.session.feed(data)
                transport.resume_reading()
    finally:
        await speaker.close()
        transport.close()
    return Hijacked()


def _negotiated(asked: Sequence[str], protocols: Sequence[str]) -> str:
    offered = [one.strip() for line in asked for one in line.split(",") if one.strip()]
    chosen = next((one for one in protocols if one in offered), None if offered else protocols[0])
    if chosen is None:
        raise HttpError(403, f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server "
                             f"accepts {list(protocols)}")
    return chosen
