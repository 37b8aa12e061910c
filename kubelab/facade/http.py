"""HTTP as a client inside the cluster would do it: name → DNS → ClusterIP → proxy → pod.

    "http://web/" ─► cluster DNS ─► 127.A.128.x:80 ─► kube-proxy ─► a ready pod

Invariant: no shortcut. What is shown is what the cluster's own DNS and proxy did.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kubelab.client.client import Client
from kubelab.facade.results import Answer
from kubelab.machinery.errors import ApiError
from kubelab.machinery.ports import mapped
from kubelab.units import find

Resolve = Callable[[str], Awaitable[str]]  # host name -> IP; raises LookupError with a sentence


class _ClusterResolver(AbstractResolver):
    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self.found: dict[str, str] = {}  # host name -> IP

    async def resolve(self, host: str, port: int = 0,
                      family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        try:
            ip = await self._resolve(host)
        except LookupError as error:
            raise OSError(str(error)) from error  # what aiohttp expects of a resolver
        self.found[host] = ip
        return [ResolveResult(hostname=host, host=ip, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Hold nothing open."""


async def fetch(url: str, resolve: Resolve, lowest_port: int, *, method: str = "GET",
                headers: Mapping[str, str] | None = None, data: Any = None, json: Any = None,
                timeout_s: float = 10.0, allow_redirects: bool = True) -> Answer:
    """Return the answer of `url`, whose host is a name or address in the cluster.

    Raises: ConnectionError saying where the way ended: no such name, no ready endpoint, no answer.
    """
    asked = URL(url if "://" in url else f"http://{url}")
    if asked.host is None or asked.port is None:
        raise ValueError(f"{url!r} is no URL; write for example http://web/")
    real = asked.with_port(mapped(asked.port, lowest_port))
    send = {"Host": asked.host if asked.is_default_port() else f"{asked.host}:{asked.port}"} | dict(headers or {})
    resolver = _ClusterResolver(resolve)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, ssl=False)
    try:
        async with (aiohttp.ClientSession(connector=connector) as session,
                    session.request(method, real, headers=send, data=data, json=json, allow_redirects=allow_redirects,
                                    timeout=aiohttp.ClientTimeout(timeout_s)) as answer):
            body, host = await answer.read(), answer.url.host or ""
            where = f"{resolver.found.get(host, host)}:{answer.url.port}"
            return Answer(answer.status, dict(answer.headers), body, str(asked), where)
    except aiohttp.ClientConnectorDNSError as error:
        raise ConnectionError(str(error.__cause__ or error)) from None
    except aiohttp.ClientConnectorError as error:
        at = f"{resolver.found.get(error.host, error.host)}:{error.port}"
        raise ConnectionError(f"{asked}: connection refused at {at}. Has the Service a ready pod "
                              'behind it? cluster.get("endpointslices") shows it.') from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise ConnectionError(f"{asked}: the connection broke off ({error}). Has the Service a ready pod behind it? "
                              'cluster.get("endpointslices") shows it.') from None
    except TimeoutError:
        raise ConnectionError(f"{asked}: no answer within {timeout_s:g} s") from None


async def through_api_server(client: Client, url: str, namespace: str, method: str) -> Answer:
    """Return the answer of a Service by way of the API server's proxy: the way in from outside any cluster.

    Raises: ConnectionError with the API server's own words.
    Source: https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
    """
    asked = URL(url if "://" in url else f"http://{url}")
    if asked.host is None:
        raise ValueError(f"{url!r} is no URL; write for example http://web/")
    service, _, rest = asked.host.partition(".")
    where = rest.partition(".")[0] or namespace
    scheme = "https:" if asked.scheme == "https" else ""
    path = find("services").path(where, f"{scheme}{service}:{asked.port}", "proxy") + asked.path
    try:
        body = await client.raw(method, path, query=dict(asked.query))
    except ApiError as error:
        raise ConnectionError(f"{asked}: {error.message}") from error
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(200, {}, raw, str(asked), "through the API server")
