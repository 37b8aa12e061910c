"""The two ways to an API server: a function call in this process, or HTTPS.

    Client ─► Request ─► InProcess ─► ApiServer.handle            (dicts pass through, nothing is encoded)
                    └──► Https ─────► any API server              (JSON; a watch is a stream of lines)

Invariant: an answer of 400 or more is raised as ApiError, a server that cannot be reached as Unreachable.
Models:    client-go's rest.RESTClient
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from kubelab.machinery import metrics
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Encoded, Handler, Obj, Request, Response, User, WatchEvent

if TYPE_CHECKING:
    import aiohttp


TRIES = 10  # as often client-go sends what was refused for the moment
SENT = metrics.counter("rest_client_requests_total", "Number of HTTP requests, partitioned by status code, method, and "
                       "host.", ("code", "host", "method"))
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
           "Sec-WebSocket-Key": "a3ViZWxhYiBhc2tzIG1lLg=="}


class Unreachable(ConnectionError):
    """No API server answers there; the message says what to do."""


class Transport(Protocol):
    """Carries a request to an API server and its answer back."""

    async def request(self, request: Request) -> Response:
        """Return the answer. Raises ApiError, Unreachable."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes, such as the log of a container with `follow`."""
        ...

    async def websocket(self, path: str, protocols: Sequence[str]) -> aiohttp.ClientWebSocketResponse:
        """Open a stream for exec, attach or port-forward; the caller closes it. Raises ApiError, Unreachable."""
        ...

    async def close(self) -> None: ...


class InProcess:
    """Calls the API server's handler as `user`, whom nobody has to authenticate any more.

    WebSockets need a real socket: they go over `wire`, a transport to the same server.
    """

    def __init__(self, handler: Handler, user: User, user_agent: str = "kubelab", *,
                 wire: Transport | None = None) -> None:
        self._handler, self._user, self._user_agent, self._wire = handler, user, user_agent, wire

    async def request(self, request: Request) -> Response:
        request.user = self._user
        request.headers = {"user-agent": self._user_agent, **request.headers}
        response = await self._handler(request)
        SENT.add((str(response.status), "in-process", request.method))
        if response.status >= 400:
            raise error_of(response)
        return response

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        response = await self.request(request)
        if response.chunks is None:
            yield raw_body(response)
            return
        try:
            async for chunk in response.chunks:
                yield chunk
        finally:
            await close_events(response.chunks)

    async def websocket(self, path: str, protocols: Sequence[str]) -> aiohttp.ClientWebSocketResponse:
        if self._wire is None:
            raise Unreachable("exec, attach and port-forward need the API server's port, and this client has none; "
                              "connect through the kubeconfig instead")
        return await self._wire.websocket(path, protocols)

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()


class Https:
    """Speaks HTTP with an API server. The session opens with the first request.

    `server` is the URL as a kubeconfig has it; the TLS context, or `lazy_ssl` that makes it with the first request,
    carries the CA and the client certificate.
    """

    def __init__(self, server: str, *, ssl_context: ssl.SSLContext | None = None,
                 lazy_ssl: Callable[[], ssl.SSLContext] | None = None, server_name: str | None = None,
                 token: str | None = None, headers: Sequence[tuple[str, str]] = (),
                 user_agent: str = "kubelab") -> None:
        self.server = server.rstrip("/")
        self._host = self.server.partition("://")[2]
        self._ssl, self._lazy_ssl, self._server_name = ssl_context, lazy_ssl, server_name
        self._headers = [("Accept", "application/json"), ("User-Agent", user_agent), *headers]
        if token:
            self._headers.append(("Authorization", f"Bearer {token}"))
        self._session: aiohttp.ClientSession | None = None

    async def request(self, request: Request) -> Response:
        import aiohttp

        body, headers = request.body, dict(request.headers)
        if body is not None and not isinstance(body, bytes):
            body = orjson.dumps(body)
            headers.setdefault("content-type", "application/json")
        try:
            answer = await self._sent(request, body, headers)
            if answer.status < 400 and request.query.get("watch") in ("1", "true"):
                return Response(answer.status, None, _lower(answer.headers), _watch_events(self.server, answer))
            response = await _answered(answer)
        except (aiohttp.ClientError, OSError) as error:
            SENT.add(("<error>", self._host, request.method))
            raise unreachable(self.server, error) from error
        if response.status >= 400:
            raise error_of(response)
        return response

    async def _sent(self, request: Request, body: Any, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Send a request, again for as long as a flooded server asks to try later."""
        for attempt in count(1):
            answer = await self._open().request(request.method, self._url(request.path, request.query), data=body,
                                                headers=headers, allow_redirects=False,
                                                server_hostname=self._server_name)
            SENT.add((str(answer.status), self._host, request.method))
            later = answer.headers.get("Retry-After", "")
            if answer.status != 429 or answer.content_type != "text/plain" or not later.isdigit() or attempt > TRIES:
                return answer
            answer.release()
            await asyncio.sleep(int(later))
        raise AssertionError("there is always a next attempt")

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        import aiohttp

        try:
            async with await self._open().request(request.method, self._url(request.path, request.query),
                                                  headers=request.headers,
                                                  server_hostname=self._server_name) as answer:
                if answer.status >= 400:
                    raise error_of(await _answered(answer))
                async for chunk in answer.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self.server, error) from error

    async def websocket(self, path: str, protocols: Sequence[str]) -> aiohttp.ClientWebSocketResponse:
        import aiohttp
        from yarl import URL

        try:
            return await self._open().ws_connect(URL(self.server + path, encoded=True), protocols=tuple(protocols),
                                                 max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            raise await self._handshake_error(path, protocols, error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self.server, error) from error

    async def _handshake_error(self, path: str, protocols: Sequence[str],
                               error: aiohttp.WSServerHandshakeError) -> ApiError:
        """Ask again by hand: a refused handshake hides the Status that says why."""
        import aiohttp
        from yarl import URL

        try:
            async with await self._open().get(URL(self.server + path, encoded=True), headers=UPGRADE | {
                    "Sec-WebSocket-Protocol": ",".join(protocols)}) as answer:
                if answer.status == 101:
                    return ApiError(error.status, "", f"the server refused the stream once: {error.message}")
                response = await _answered(answer)
        except (aiohttp.ClientError, OSError):
            return ApiError(error.status, "", error.message)
        if response.status >= 400:
            return error_of(response)
        return ApiError(error.status, "", f"the server refused the stream: {error.message}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            if self._ssl is None and self._lazy_ssl is not None and self.server.startswith("https:"):
                self._ssl = self._lazy_ssl()
            connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl if self._ssl is not None else True)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=timeout,
                                                  read_bufsize=1 << 20)
        return self._session

    def _url(self, path: str, query: Mapping[str, str]) -> Any:
        from yarl import URL

        url = URL(self.server + path, encoded="%" in path)
        return url.with_query(query) if query else url


def unreachable(server: str, error: BaseException) -> Unreachable:
    """Say in words why there is no answer, and what the person can do."""
    text = str(error).lower()
    if "certificate" in text or "alert" in text:
        hint = "its certificate is not signed by the CA that the kubeconfig names; is this the right kubeconfig?"
    else:
        hint = "is the cluster up? Start it with `kubelab up`, or choose another with --kubeconfig or --context."
    why = str(error) or type(error).__name__
    return Unreachable(f"The API server at {server} cannot be reached: {why}; {hint}")


def error_of(response: Response) -> ApiError:
    """Make an exception of an error answer, also of one that is no Status."""
    body = response.body.obj if isinstance(response.body, Encoded) else response.body
    if isinstance(body, bytes):
        body = _decoded(body, "application/json")
    if isinstance(body, dict) and body.get("kind") == "Status":
        return ApiError.from_status(body, response.status)
    text = body.decode(errors="replace").strip() if isinstance(body, bytes) else ""
    return ApiError(response.status, "", text or f"the server answered with status {response.status}")


async def _answered(answer: aiohttp.ClientResponse) -> Response:
    async with answer:
        raw = await answer.read()
    return Response(answer.status, _decoded(raw, answer.headers.get("Content-Type", "")), _lower(answer.headers))


def raw_body(response: Response) -> bytes:
    """Return the body of an answer as bytes, whatever form it came in."""
    body = response.body
    if isinstance(body, Encoded):
        return body.raw
    if isinstance(body, bytes):
        return body
    return b"" if body is None else orjson.dumps(body)


async def close_events(events: object) -> None:
    """Close an iterator of events or chunks, which ends the watch or stream behind it."""
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()


def _decoded(raw: bytes, content_type: str) -> Obj | bytes:
    if "json" in content_type:
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return raw
        if isinstance(value, dict):
            return value
    return raw


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _watch_events(server: str, answer: aiohttp.ClientResponse) -> AsyncIterator[WatchEvent]:
    import aiohttp

    try:
        async with answer:
            async for line in lines(answer.content.iter_any()):
                event = orjson.loads(line)
                yield WatchEvent(event["type"], event["object"], line)
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(server, error) from error


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split a byte stream at line feeds; each line comes with its line feed, an unfinished last one is dropped."""
    rest: list[bytes] = []
    async for chunk in chunks:
        if b"\n" not in chunk:
            rest.append(chunk)
            continue
        *whole, last = (b"".join(rest) + chunk).split(b"\n")
        rest = [last] if last else []
        for line in whole:
            if line:
                yield line + b"\n"
