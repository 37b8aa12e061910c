"""What one connection may cost: how long it may take, how much it may leave unread, and under which name it may come.

    connect ─ HANDSHAKE_S ─► TLS ─ IDLE_S ─► head ─ BODY_S ─► body ─► answer ─ WRITE_S ─► read by the client

Invariant: whoever is slow, silent or a stranger holds a socket and a little memory for a time, and nothing else.
Models:    the time-outs of k8s.io/apiserver's SecureServingInfo and its request deadline
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections.abc import Collection

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest

from kubelab.machinery.errors import ApiError

HANDSHAKE_S = 10.0
IDLE_S = 90.0  # between requests, and for the head of one to arrive
BODY_S = 60.0  # for a whole body
WRITE_S = 30.0  # for a client to read what it asked for before
UNREAD_BYTES = 1024 * 1024
LOG = logging.getLogger("kubelab.http")
_BREAKS = re.compile(r"[\x00-\x1f\x7f]")


class _OnlyOurFaults(logging.Filter):
    """A client that speaks bad HTTP is told so; a line of ours for each of its lines would fill the log for it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


LOG.addFilter(_OnlyOurFaults())


def check_host(host: str, names: Collection[str]) -> None:
    """Refuse a request that was meant for another name: a web page whose name was made to point here.

    An address cannot be pointed elsewhere, so every one is taken: port-forwards and tunnels keep working.
    Raises 421 Misdirected Request (RFC 9110, section 15.5.20).
    """
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    name = name.rstrip(".").lower()
    if not name or name in names or name.endswith(".localhost"):
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        raise ApiError(421, "MisdirectedRequest", f'this API server is not known as "{name}"; it answers to an IP '
                       f"address and to {', '.join(sorted(names))}") from None


async def drained(wire: BaseRequest) -> None:
    """Wait until the client has read most of its earlier answers; hang up on one that reads none of them."""
    transport = wire.transport
    if transport is None or transport.get_write_buffer_size() <= UNREAD_BYTES:
        return
    try:
        async with asyncio.timeout(WRITE_S):
            await wire.protocol._drain_helper()  # aiohttp keeps it private, yet it is the one way to wait
    except TimeoutError:
        transport.abort()
        raise ConnectionResetError("the client does not read") from None


def one_line(text: str) -> str:
    """Return a header line without what would end it: text of a client must not become a header of ours."""
    return _BREAKS.sub(" ", text)


def too_slow() -> ApiError:
    return ApiError(408, "Timeout", f"Timeout: the body of the request did not arrive within {BODY_S:g} seconds")
