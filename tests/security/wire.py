"""An API server behind TLS, and ways to talk to it: as a client would, and byte by byte as no client would."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientSession, TCPConnector
from yarl import URL

from kubelab.client.pki import Pki
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj

PKI = Pki.open(None)
ADMIN = ("kubernetes-admin", "system:masters")
MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", "")) if isinstance(self.body, dict) else ""

    @property
    def message(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else str(self.body)


@dataclass(slots=True)
class Caller:
    """One client of a server."""

    http: ClientSession

    async def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
                   media: str = "application/json") -> Answer:
        """Send a request; `path` goes out as it stands, bytes and text do too, anything else as JSON."""
        data = body if isinstance(body, bytes | str) or body is None else orjson.dumps(body)
        sent = {"Content-Type": media, **(headers or {})} if data is not None else headers or {}
        async with self.http.request(method, URL(path, encoded=True), data=data, headers=sent) as got:
            raw = await got.read()
            found = {name.lower(): value for name, value in got.headers.items()}
            return Answer(got.status, _read(raw), found)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, headers=headers)

    async def post(self, path: str, body: Any, media: str = "application/json") -> Answer:
        return await self.send("POST", path, body, media=media)


def _read(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode(errors="replace")


@asynccontextmanager
async def server(pki: Pki = PKI) -> AsyncIterator[ApiServer]:
    clock = RealClock()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    api = ApiServer(etcd, clock=clock, journal=Journal(), pki=pki)
    await api.start()
    try:
        yield api
    finally:
        await api.stop()
        await etcd.stop()


@asynccontextmanager
async def caller(api: ApiServer, user: str = "", *groups: str, token: str = "",
                 context: ssl.SSLContext | None = None) -> AsyncIterator[Caller]:
    """Make a client: with a certificate for `user`, with a token, or with nothing."""
    context = context or (PKI.client_context(user, groups) if user else bare())
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = TCPConnector(ssl=context, limit=0)
    async with ClientSession(api.url, connector=connector, headers=headers, skip_auto_headers=["Content-Type"]) as http:
        yield Caller(http)


def admin_context() -> ssl.SSLContext:
    return PKI.client_context(ADMIN[0], ADMIN[1:])


def bare() -> ssl.SSLContext:
    """Return the TLS side of a client that trusts the server and shows nothing."""
    return ssl.create_default_context(cadata=PKI.ca_pem.decode())


async def connect(api: ApiServer, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader,
                                                                                 asyncio.StreamWriter]:
    return await asyncio.open_connection(api.host, api.port, ssl=context or bare(), server_hostname="127.0.0.1")


async def raw(api: ApiServer, data: bytes, context: ssl.SSLContext | None = None, within_s: float = 5) -> bytes:
    """Send bytes and return all that comes back until the server closes (ask it to, or wait for a time-out)."""
    reader, writer = await connect(api, context)
    try:
        writer.write(data)
        async with asyncio.timeout(within_s):
            return await reader.read()
    finally:
        writer.close()


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}
