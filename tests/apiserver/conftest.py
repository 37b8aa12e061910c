"""An API server over an embedded etcd on a stepped clock, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from kubelab.client.client import Client
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.apiserver.watch import Watcher
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj, Request, Response, User

ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


@dataclass(slots=True)
class World:
    """What a test talks to."""

    server: ApiServer
    etcd: EmbeddedEtcd
    clock: SteppedClock
    journal: Journal
    client: Client

    async def send(self, method: str, path: str, body: object = None, user: User | None = ADMIN,
                   headers: dict[str, str] | None = None) -> Response:
        """Send one request as it would come over the wire."""
        path, _, query = path.partition("?")
        pairs = dict(part.partition("=")[::2] for part in query.split("&") if part)
        return await self.server.handle(Request(method, path, pairs, headers or {}, body, user))

    async def watch(self, path: str) -> Watcher:
        response = await self.send("GET", f"{path}{'&' if '?' in path else '?'}watch=1")
        assert isinstance(response.events, Watcher), response.body
        return response.events


async def scrape(world: World) -> dict[str, float]:
    """Return what /metrics says: `name{labels}` -> value. Much of it counts for the whole process: compare."""
    body = (await world.send("GET", "/metrics")).body
    assert isinstance(body, bytes)
    return {series: float(value) for series, _, value in
            (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))}


class Growth:
    """What has been counted since this was made: `growth[series]` after `await growth.now()`."""

    def __init__(self, world: World, before: dict[str, float]) -> None:
        self._world, self._before = world, before
        self.after: dict[str, float] = {}

    @classmethod
    async def of(cls, world: World) -> Growth:
        return cls(world, await scrape(world))

    async def now(self) -> Growth:
        self.after = await scrape(self._world)
        return self

    def __getitem__(self, series: str) -> float:
        return self.after.get(series, 0) - self._before.get(series, 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, journal = SteppedClock(), Journal()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    server = ApiServer(etcd, clock=clock, journal=journal)
    await server.start()
    yield World(server, etcd, clock, journal, Client(InProcess(server.handle, ADMIN, "test"), user_agent="test"))
    await server.stop()
    await etcd.stop()


async def refused(call: Awaitable[object]) -> ApiError:
    """Return the error that a call is refused with."""
    try:
        await call
    except ApiError as error:
        return error
    raise AssertionError("the call was not refused")


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}


def pod(name: str, **spec: object) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}


def drain(watcher: Watcher) -> list[tuple[str, str]]:
    """Return (type, name) of what has been delivered so far."""
    events: list[tuple[str, str]] = []
    watcher.drain_to(lambda event: events.append((event.type, event.obj["metadata"].get("name", ""))))
    return events


Refused = Callable[[Awaitable[object]], Awaitable[ApiError]]
