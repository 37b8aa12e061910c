"""The API server as a tunnel: bytes to and from kubelets, pods and services that it does not look into.

    exec, attach, port-forward    client ═ raw bytes ═ API server ═ raw bytes ═ kubelet       (upgrade)
    log                           client ◄─ chunks ─── API server ◄─ chunks ─── kubelet       (get)
    proxy                         client ◄─ HTTP ───── API server ◄─ HTTP ───── pod, service, kubelet

Invariant: nothing of the caller's credentials leaves the API server; a connection becomes a tunnel only after the other
           side said 101, so no later request of the caller can slip through with the API server's own rights.
Models:    kube-apiserver's UpgradeAwareHandler, streamer and proxy transport
Left out:  rewriting of links inside proxied HTML
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kubelab.client.outbound import DIAL_S, Outbound, chunks
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Request, Response

if TYPE_CHECKING:
    import aiohttp

_HIGH_WATER = 256 * 1024
_MAX_HEAD = 64 * 1024
_DIAL_FAULTS = (OSError, TimeoutError, ValueError, OverflowError)
"""The last two: a node's status may name any text as its address, any number as its port."""
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
                        "transfer-encoding", "upgrade"})
PRIVATE = frozenset({"authorization", "host", "cookie"})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a tunnel leads. `trusted` is a kubelet, to whom the API server proves itself and whose CA it checks."""

    host: str
    port: int
    tls: bool = False
    trusted: bool = False

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.place}"

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Written:
    """What aiohttp is told when an answer is on the wire already, or the connection was a tunnel and has ended."""

    def __init__(self, keep_alive: bool, status: int = 200) -> None:
        self.keep_alive, self.status, self.body_length = keep_alive, status, 0

    async def prepare(self, request: object) -> None:
        """The head is written."""

    async def write_eof(self) -> None:
        """So is the body."""


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Tell whether a request asks to become something else than HTTP (names in lower case)."""
    return "upgrade" in headers and "upgrade" in headers.get("connection", "").lower()


class Tunnel:
    """Opens connections for the API server. `kubelet_tls` makes the context that kubelets are reached with."""

    def __init__(self, outbound: Outbound, kubelet_tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        self._outbound, self._kubelet_tls = outbound, kubelet_tls
        self._context: ssl.SSLContext | None = None

    # ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────

    async def upgrade(self, wire: Any, target: Target, path_qs: str) -> Response:
        """Forward an upgrade request (aiohttp's) and, when it is granted, be a pipe until one side hangs up.

        Return the other side's own answer when it refuses. Raises InternalError when nobody answers there.
        """
        backend = await self._dial(target)
        try:
            backend.transport.write(_request_head(wire, target, path_qs))
            head = await backend.head
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                return await backend.refusal(status, head)
            backend.splice(wire, head)
            await backend.closed
            return Response(101, answered=Written(keep_alive=False, status=101))
        except (ConnectionError, IndexError, ValueError) as error:
            raise _no_stream(target, error) from error
        finally:
            backend.transport.close()

    async def _dial(self, target: Target) -> Backend:
        loop = asyncio.get_running_loop()
        context = self._tls(target)
        try:
            async with asyncio.timeout(DIAL_S):
                _, backend = await loop.create_connection(lambda: Backend(loop), target.host, target.port, ssl=context)
        except _DIAL_FAULTS as error:
            raise _no_stream(target, error) from error
        return backend

    def _tls(self, target: Target) -> ssl.SSLContext | None:
        if not target.tls:
            return None
        if not target.trusted or self._kubelet_tls is None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as upstream: pods have no names
            return context
        if self._context is None:
            self._context = self._kubelet_tls()
        return self._context

    # ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, target: Target, path_qs: str) -> Response:
        """Fetch from a kubelet, such as a log; the body comes as `chunks`. Raises what the kubelet answered."""
        answer = await self._send(target, "GET", path_qs, {}, b"", f'Get "{target.url}{path_qs}"')
        if answer.status >= 400:
            async with answer:
                raise kubelet_error(answer.status, (await answer.read()).decode(errors="replace"))
        media = answer.headers.get("Content-Type", "text/plain")
        return Response(answer.status, None, {"content-type": media}, chunks=chunks(answer))

    async def proxy(self, request: Request, target: Target, path_qs: str, prefix: str) -> Response:
        """Pass a request on to `path_qs` at the target; `prefix` is the URL path that stands for its root here."""
        if path_qs.partition("?")[0] == "" and request.method in ("GET", "HEAD"):
            _, question, query = path_qs.partition("?")
            return Response(301, b"", {"location": f"{prefix}/{question}{query}"})
        headers = {name: value for name, value in request.headers.items()
                   if name not in HOP_BY_HOP | PRIVATE and name != "content-length"}
        body = request.body if isinstance(request.body, bytes) else b""
        answer = await self._send(target, request.method, path_qs or "/", headers, body,
                                  "error trying to reach service")
        shown = {name.lower(): value for name, value in answer.headers.items()
                 if name.lower() not in HOP_BY_HOP and name.lower() != "content-length"}
        location = shown.get("location", "")
        for root in (target.url, ""):
            if location.startswith(f"{root}/"):
                shown["location"] = prefix + location[len(root):]
                break
        return Response(answer.status, None, shown, chunks=chunks(answer))

    async def _send(self, target: Target, method: str, path_qs: str, headers: Mapping[str, str],
                    body: bytes, what: str) -> aiohttp.ClientResponse:
        import aiohttp

        try:
            return await self._outbound.request(method, target.url + path_qs, headers=headers, data=body or None,
                                                ssl=self._tls(target) or True)
        except (aiohttp.ClientError, *_DIAL_FAULTS) as error:
            raise ApiError(503, "ServiceUnavailable", f"{what}: {_dial_fault(target, error)}") from error


class Backend(asyncio.Protocol):
    """The far end of a tunnel: first the head of its answer, then bytes for the client."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.head: asyncio.Future[bytes] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._wire: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self._wire is not None:
            self._to_client(data)
            return
        self._buffer += data
        self._more.set()
        end = self._buffer.find(b"\r\n\r\n")
        if end >= 0 and not self.head.done():
            self.head.set_result(bytes(self._buffer[:end + 4]))
            del self._buffer[:end + 4]
        elif len(self._buffer) > _MAX_HEAD:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self.head.done():
            self.head.set_exception(ConnectionResetError("the connection broke off before an answer came"))
            self.head.exception()
        if not self.closed.done():
            self.closed.set_result(None)
        self._more.set()

    # ── after 101 ────────────────────────────────────────────────────────────────────────────────────────────

    def splice(self, wire: Any, head: bytes) -> None:
        """The decisive instant: from here on, both sides talk to each other alone."""
        self._wire = wire
        self._to_client(head + bytes(self._buffer))
        self._buffer.clear()
        wire.protocol.set_parser(self)  # aiohttp hands us what it read already, and all that follows

    def _to_client(self, data: bytes) -> None:
        client = self._wire.transport
        if client is None or client.is_closing():
            self.transport.close()
            return
        client.write(data)
        if client.get_write_buffer_size() > _HIGH_WATER:
            self.transport.pause_reading()
            task = self._loop.create_task(self._resume())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _resume(self) -> None:
        try:
            await self._wire.protocol._drain_helper()
        except ConnectionError:
            self.transport.close()
            return
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes from the client (called by aiohttp)."""
        if not self.transport.is_closing():
            self.transport.write(data)
        return False, b""

    def feed_eof(self) -> None:
        """The client hung up (called by aiohttp)."""
        self.transport.close()

    def pause_writing(self) -> None:
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.resume_reading()

    # ── after anything else ──────────────────────────────────────────────────────────────────────────────────

    async def refusal(self, status: int, head: bytes) -> Response:
        """Read the rest of an answer that is no 101, to be given to the client as it is."""
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = headers.get("content-length", "")
        async with asyncio.timeout(DIAL_S):
            while not self.closed.done() and not (length.isdigit() and len(self._buffer) >= int(length)):
                if headers.get("transfer-encoding") == "chunked" and self._buffer.endswith(b"0\r\n\r\n"):
                    break
                self._more.clear()
                await self._more.wait()
        body = bytes(self._buffer)
        if headers.get("transfer-encoding") == "chunked":
            body = _unchunked(body)
        return Response(status, body, {"content-type": headers.get("content-type", "text/plain")})


def _unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if length == 0:
            break
        parts.append(rest[:length])
        data = rest[length + 2:]
    return b"".join(parts)


def _request_head(wire: Any, target: Target, path_qs: str) -> bytes:
    lines = [f"{wire.method} {path_qs} HTTP/1.1", f"Host: {target.host}:{target.port}"]
    lines += [f"{name}: {value}" for name, value in wire.headers.items() if name.lower() not in PRIVATE]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _no_stream(target: Target, error: BaseException) -> ApiError:
    """The words that kubectl exec shows for a node without a kubelet; upstream, too, calls it its own fault."""
    why = _dial_fault(target, error)
    return ApiError(500, "InternalError", f"Internal error occurred: error dialing backend: {why}")


def _dial_fault(target: Target, error: BaseException) -> str:
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ConnectionRefusedError):
        return f"dial tcp {target.place}: connect: connection refused"
    if isinstance(cause, TimeoutError):
        return f"dial tcp {target.place}: i/o timeout"
    return f"dial tcp {target.place}: {cause or type(cause).__name__}"


def kubelet_error(status: int, text: str) -> ApiError:
    """Make an API error of a kubelet's plain answer, as the API server's streamer does."""
    text = text.strip()
    if status == 400:
        return ApiError(400, "BadRequest", text)
    if status == 404:
        return ApiError(404, "NotFound", text or "the server could not find the requested resource")
    return ApiError(500, "InternalError", f"Internal error occurred: {text}")
