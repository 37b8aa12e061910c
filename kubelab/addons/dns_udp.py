"""One question over UDP, asked from the event loop: of our own server, or of the host's resolver.

Invariant: the socket is closed whatever happens; an answer to another question is not taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import cast

UPSTREAM_S = 2.0


class NoAnswer(OSError):
    """The server did not answer in time, or is not there."""


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, question: bytes) -> None:
        self._question = question
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._question)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._question[:2] and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(NoAnswer(str(exc)))


async def ask(server: tuple[str, int], question: bytes, timeout_s: float = UPSTREAM_S) -> bytes:
    """Return the answer's bytes. Raises: NoAnswer."""
    loop = asyncio.get_running_loop()
    try:
        transport, asking = await loop.create_datagram_endpoint(lambda: _Asking(question), remote_addr=server)
    except OSError as error:
        raise NoAnswer(str(error)) from error
    try:
        async with asyncio.timeout(timeout_s):
            return await asking.answer
    except TimeoutError:
        raise NoAnswer(f"{server[0]} does not answer") from None
    finally:
        transport.close()


def host_resolvers(path: Path = Path("/etc/resolv.conf")) -> list[tuple[str, int]]:
    """Return the name servers of this machine."""
    try:
        lines: Iterable[str] = path.read_text().splitlines()
    except OSError:
        return []
    words = (line.split() for line in lines)
    return [(w[1], 53) for w in words if len(w) > 1 and w[0] == "nameserver" and ":" not in w[1]]
