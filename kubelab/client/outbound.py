"""What the API server asks of others over HTTP: kubelets, pods, services, extension servers and webhooks.

    tunnel ─┐
    aggregation ─┼─► Outbound.request ─► one pool of connections ─► answer, whole or as `chunks`
    webhooks ─┘

Invariant: an answer comes back as it was sent: nothing is followed, unpacked or remembered on the way.
Models:    net/http's Transport under kube-apiserver's proxies and webhook clients
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

DIAL_S = 10.0


class Outbound:
    """One HTTP client, made when it is first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(self, method: str, url: str, *, encoded: bool = True, **how: Any) -> aiohttp.ClientResponse:
        """Send one request. Raises aiohttp.ClientError, OSError, ValueError."""
        import aiohttp
        from yarl import URL

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=DIAL_S)
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout,
                                                  auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(),
                                                  skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"))
        return await self._session.request(method, URL(url, encoded=encoded), allow_redirects=False, **how)


async def chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the body of an answer as it comes."""
    async with answer:
        async for chunk in answer.content.iter_any():
            yield chunk
