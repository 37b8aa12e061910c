"""The codec: HTTP on one side, Request and Response on the other. Nothing is decided here.

    socket ─► aiohttp's parser ─► Request ─► handler ─► Response ─► one write of head and stored bytes
                  │                                       └─ watch: shared frames, gathered per turn of the loop
                  └─ who asks is settled before the body is read: a stranger costs a head, never a body

Invariant: a watcher that does not read is dropped, it never makes others wait.
Models:    net/http under k8s.io/apiserver/pkg/server
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

from kubelab.client.transport import close_events
from kubelab.client.tunnel import Written
from kubelab.control_plane.apiserver import limits
from kubelab.control_plane.apiserver.authentication import peer_certificate
from kubelab.control_plane.apiserver.decode import opened
from kubelab.control_plane.apiserver.watch import Watcher
from kubelab.machinery import errors
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Encoded, Handler, Request, Response, WatchEvent

MAX_BODY = 3 * 1024 * 1024
GRACE_S = 0.2  # for answers that are under way when the server stops
BATCH = 500  # frames of a watch's beginning that are written at a time
MAX_BEHIND = 16 * 1024 * 1024  # bytes a watcher may leave unread
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
JSON, YAML = "application/json", "application/yaml"
READ_BY_PEOPLE = ("curl", "Wget", "Mozilla/5.0")
MAX_AUDIT_ID = 64
May = Callable[[Request], Awaitable[bool]]


class HttpServer:
    """Listens and answers with a handler. `may` says by the head of a request whether its body is worth reading."""

    def __init__(self, handler: Handler, may: May | None = None, names: Collection[str] = (),
                 *, reuse_port: bool = False) -> None:
        self._handler, self._may, self._names = handler, may, frozenset(names)
        self._reuse_port = reuse_port  # several processes listen there, and the kernel spreads connections over them
        self._server: Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen; return the port, which the system chooses for 0."""
        self._server = Server(self._answer, access_log=None, handler_cancellation=True, max_line_size=65536,
                              max_field_size=65536, lingering_time=2.0, auto_decompress=False,
                              keepalive_timeout=limits.IDLE_S, logger=limits.LOG)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._server, host, port, ssl=context, backlog=512, reuse_port=self._reuse_port or None,
            ssl_handshake_timeout=limits.HANDSHAKE_S if context is not None else None)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            await self._server.shutdown(GRACE_S)
        self._listener = self._server = None

    async def _answer(self, wire: BaseRequest) -> Any:
        try:
            request = await self._request(wire)
        except ApiError as error:
            return self._write(wire, Response(error.code, error.status), keep_alive=False)
        response = await self._handler(request)
        response.headers.setdefault("audit-id", request.headers["audit-id"])
        await limits.drained(wire)
        if response.events is not None:
            return await self._stream(wire, response)
        if response.answered is not None:
            return response.answered
        if response.chunks is not None:
            return await self._pass_on(wire, response)
        accept = wire.headers.get("Accept", "")
        if not isinstance(response.body, bytes) and (accept.startswith(YAML) or wants_pretty(request)):
            body, media = await asyncio.to_thread(encoded, response, accept, pretty=True)  # slow: others go on
            response = Response(response.status, body, {**response.headers, "content-type": media})
        return self._write(wire, response, keep_alive=wire.keep_alive)

    async def _request(self, wire: BaseRequest) -> Request:
        """Read a whole request. Raises `RequestEntityTooLarge`, 421 Misdirected Request."""
        limits.check_host(wire.headers.get("Host", ""), self._names)
        path, _, raw_query = wire.raw_path.partition("?")
        headers: dict[str, str] = {}
        for name, value in wire.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}\n{value}" if key == "impersonate-group" and key in headers else value
        headers["audit-id"] = headers.get("audit-id", "")[:MAX_AUDIT_ID] or str(uuid.uuid4())
        query: dict[str, str] = {}
        for name, value in parse_qsl(raw_query, keep_blank_values=True) if raw_query else ():
            query.setdefault(name, value)  # of several the first counts
        request = Request(wire.method, path, query, headers, b"", certificate=peer_certificate(wire.transport),
                          wire=wire)
        if wire.body_exists and (self._may is None or await self._may(request)):  # else the handler refuses it without
            request.body = await opened(headers.get("content-type", ""), await _body(wire, headers))
        return request

    def _write(self, wire: BaseRequest, response: Response, *, keep_alive: bool) -> Written:
        body, media = encoded(response, wire.headers.get("Accept", ""))
        head = _head(response.status, media, response.headers, keep_alive)
        transport = wire.transport
        if transport is not None:
            if wire.method == "HEAD":
                transport.write(b"%b\r\nContent-Length: %d\r\n\r\n" % (head, len(body)))
            else:
                transport.write(b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        return WRITTEN if keep_alive else WRITTEN_AND_CLOSED

    async def _stream(self, wire: BaseRequest, response: Response) -> Written:
        watcher, transport = response.events, wire.transport
        assert isinstance(watcher, Watcher)
        if transport is None:
            watcher.close()
            return WRITTEN_AND_CLOSED
        head = _head(200, JSON, response.headers, keep_alive=True)
        transport.write(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        done = asyncio.get_running_loop().create_future()
        watcher.on_close.append(lambda: None if done.done() else done.set_result(None))
        sink = Sink(transport, watcher)
        try:
            while frames := watcher.backlog(BATCH):  # at the client's speed: twenty thousand objects are 20 MB
                data = b"".join(frames)
                transport.write(b"%x\r\n%b\r\n" % (len(data), data))
                await wire.protocol._drain_helper()
            watcher.drain_to(sink.take)
            if not watcher.closed:
                await done
        finally:
            watcher.close()
            sink.finish()
        return WRITTEN


    async def _pass_on(self, wire: BaseRequest, response: Response) -> Written:
        """Pass a body on as it comes; the client's speed is the source's."""
        assert response.chunks is not None
        media = response.headers.get("content-type", "text/plain")
        head = _head(response.status, media, response.headers, keep_alive=True)
        transport = wire.transport
        if transport is None or response.status in (204, 304) or wire.method == "HEAD":
            await close_events(response.chunks)
            if transport is not None:
                transport.write(head + b"\r\n\r\n")
            return WRITTEN
        transport.write(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            async for chunk in response.chunks:
                transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await wire.protocol._drain_helper()  # aiohttp keeps it private, yet it is the one way to wait
        finally:
            await close_events(response.chunks)
        transport.write(b"0\r\n\r\n")
        return WRITTEN


class Sink:
    """Gathers the frames of one watch during a turn of the event loop and writes them as one chunk."""

    def __init__(self, transport: asyncio.Transport, watcher: Watcher) -> None:
        self._transport, self._watcher = transport, watcher
        self._frames: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def take(self, event: WatchEvent) -> None:
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames.append(event.frame)

    def _flush(self) -> None:
        if not self._frames:
            return
        data = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        self._frames.clear()
        if self._transport.is_closing():
            self._watcher.close()
            return
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        if self._transport.get_write_buffer_size() > MAX_BEHIND:
            self._watcher.close()
            self._transport.abort()

    def finish(self) -> None:
        self._flush()
        if not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")


WRITTEN, WRITTEN_AND_CLOSED = Written(True), Written(False)


async def _body(wire: BaseRequest, headers: Mapping[str, str]) -> bytes:
    """Read the body, but no more than Kubernetes would."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise too_large()
    if headers.get("expect", "").lower() == "100-continue" and wire.transport is not None:
        wire.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.BODY_S):
            async for part in wire.content.iter_any():
                size += len(part)
                if size > MAX_BODY:
                    raise too_large()
                parts.append(part)
    except TimeoutError:
        raise limits.too_slow() from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large() -> ApiError:
    return errors.too_large(f"limit is {MAX_BODY}")


def wants_pretty(request: Request) -> bool:
    """Say whether JSON is to be indented: the query says so, or a person reads it."""
    if request.query.get("pretty"):
        return request.query["pretty"] in ("1", "t", "T", "true", "TRUE", "True")
    return request.headers.get("user-agent", "").startswith(READ_BY_PEOPLE) \
        or "pretty=1" in request.headers.get("accept", "")


def encoded(response: Response, accept: str, *, pretty: bool = False) -> tuple[bytes, str]:
    """Return a body's bytes and media type: stored bytes as they are, YAML where only YAML is accepted."""
    body = response.body
    if isinstance(body, bytes):
        return body, response.headers.get("content-type", JSON)
    if accept.startswith(YAML):
        from kubelab.machinery.yaml import dump

        raw = body.raw if isinstance(body, Encoded) else orjson.dumps(body)
        return dump(orjson.loads(raw)).encode(), YAML  # a fresh tree: shared parts would become aliases
    if pretty and body is not None:
        plain, media = encoded(response, JSON)
        return orjson.dumps(orjson.loads(plain), option=orjson.OPT_INDENT_2), media
    if isinstance(body, Encoded):
        return body.raw, JSON
    if response.encode is not None:
        return response.encode(), JSON
    return (orjson.dumps(body) + b"\n" if body is not None else b""), response.headers.get("content-type", JSON)


def _head(status: int, media: str, headers: Mapping[str, str], keep_alive: bool) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (status, REASONS.get(status, b"Status")),
             b"Content-Type: " + media.encode()]
    if "cache-control" not in headers:
        lines.append(b"Cache-Control: no-cache, private")
    lines += [_line(name, line) for name, value in headers.items() if name != "content-type"
              for line in (value.split("\n") if name == "warning" else (value,))]  # a line of its own for each warning
    if not keep_alive:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines)


@lru_cache(1024)
def _line(name: str, value: str) -> bytes:
    """Encode a header; most are those of the answer before."""
    return limits.one_line(f"{name.title()}: {value}").encode("latin-1", "replace")
