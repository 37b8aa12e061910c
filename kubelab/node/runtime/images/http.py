"""HTTP/1.1 for the shipped servers: bytes to Request, Response to bytes, connections kept alive.

    peer.inbound ─► parse ─► handle(Request) ─► Response ─► peer.send

Invariant: the answer to one request leaves before the next of the same connection is looked at (pipelining in order).
Models:    RFC 9112
Left out:  trailers, upgrades, chunked answers; a program that needs more runs in the python image
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

from kubelab.node.runtime.images.loop import Peer

MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 16 << 20


@dataclass(slots=True)
class Request:
    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes
    remote: tuple[str, int]
    local: tuple[str, int]

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        pairs = (part.partition("=") for part in self.target.partition("?")[2].split("&") if part)
        return {unquote(key): unquote(value.replace("+", " ")) for key, _, value in pairs}

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key.lower() == name), default)


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], None] | None = None  # called when the answer is handed over, for the access log


Handler = Callable[[Request], Response]


class _Bad(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def server(handle: Handler, name: str) -> Callable[[Peer], None]:
    """Return what `Server.listen` calls: parse every whole request, answer it, keep or close the connection."""

    def on_data(peer: Peer) -> None:
        while not peer.closed:
            try:
                request = _parse(peer)
            except (_Bad, ValueError) as error:
                status = error.status if isinstance(error, _Bad) else 400
                peer.send(_encode(Response(status, _reason(status).encode()), name, keep=False, head=False))
                peer.close()
                return
            if request is None:
                return
            response = handle(request)
            keep = _keeps(request)
            peer.send(_encode(response, name, keep=keep, head=request.method == "HEAD"))
            if response.after is not None:
                response.after()
            if not keep:
                peer.close()
                return

    return on_data


def _keeps(request: Request) -> bool:
    wish = request.header("connection").lower()
    return wish == "keep-alive" if request.version == "HTTP/1.0" else wish != "close"


def _parse(peer: Peer) -> Request | None:
    """Take one request off the inbound bytes; None while it is not whole. Raises _Bad, ValueError."""
    end = peer.inbound.find(b"\r\n\r\n")
    if end < 0:
        if len(peer.inbound) > MAX_HEAD_BYTES:
            raise _Bad(431)
        return None
    first, *lines = peer.inbound[:end].decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise _Bad(505)
    pairs = (line.partition(":") for line in lines)
    headers = [(key.strip(), value.strip()) for key, colon, value in pairs if colon]
    request = Request(method, target, version, headers, b"", peer.remote, peer.sock.getsockname())
    if request.header("expect").lower() == "100-continue" and peer.state is None:
        peer.state = "continued"
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in request.header("transfer-encoding").lower():
        taken = _chunks(peer.inbound, end + 4)
    else:
        size = int(request.header("content-length", "0"))
        if size < 0 or size > MAX_BODY_BYTES:
            raise _Bad(413)
        whole = len(peer.inbound) >= end + 4 + size
        taken = (bytes(peer.inbound[end + 4:end + 4 + size]), end + 4 + size) if whole else None
    if taken is None:
        return None
    request.body, used = taken
    del peer.inbound[:used]
    peer.state = None
    return request


def _chunks(data: bytearray, at: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        size = int(bytes(data[at:line]).partition(b";")[0], 16)
        if size < 0 or len(body) + size > MAX_BODY_BYTES:
            raise _Bad(413)
        at = line + 2 + size + 2
        if len(data) < at:
            return None
        if size == 0:
            return bytes(body), at
        body += data[line + 2:line + 2 + size]


def date(at: float | None = None) -> str:
    """Write a time as HTTP does: Sun, 06 Nov 1994 08:49:37 GMT."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at))


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _encode(response: Response, name: str, *, keep: bool, head: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {_reason(response.status)}", f"Server: {name}",
             f"Date: {date()}"]
    if response.status not in (204, 304):
        lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(response.body)}"]
    lines += [f"{key}: {value}" for key, value in response.headers.items()]
    lines.append("Connection: keep-alive" if keep else "Connection: close")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + (b"" if head else response.body)
