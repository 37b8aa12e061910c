"""An API server and the DNS server in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kubelab import host
from kubelab.addons.dns import Dns
from kubelab.client.client import Client
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import User


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


class World:
    def __init__(self, api: ApiServer, plan: host.AddressPlan) -> None:
        self.plan = plan
        self.client = self.as_user("kubernetes-admin", "system:masters")
        self.api = api

    def as_user(self, name: str, *groups: str) -> Client:
        return Client(InProcess(lambda request: self.api.handle(request),
                                User(name, (*groups, "system:authenticated"))))

    def dns(self, **options: Any) -> Dns:
        options = {"upstream": (), "lowest_port": host.lowest_port()} | options
        return Dns(self.as_user("system:dns"), clock=RealClock(), address=self.plan.dns_ip, **options)

    async def service(self, name: str, **spec: Any) -> dict[str, Any]:
        return await self.client.create("services", {"metadata": {"name": name}, "spec": spec}, "default")

    async def endpoints(self, name: str, *endpoints: dict[str, Any], port: int = 8080, port_name: str = "") -> None:
        await self.client.create("endpointslices", {
            "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
            "ports": [{"name": port_name, "port": port, "protocol": "TCP"}], "endpoints": list(endpoints)}, "default")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, journal, claim = RealClock(), Journal(), host.claim()
    etcd = EmbeddedEtcd(None, clock)
    api = ApiServer(etcd, clock=clock, journal=journal, service_cidr=claim.plan.service_cidr)
    await etcd.start()
    await api.start()
    yield World(api, claim.plan)
    await api.stop()
    await etcd.stop()
    claim.release()


@pytest.fixture
async def dns(world: World) -> AsyncIterator[Dns]:
    made = world.dns()
    await made.start()
    await until(lambda: made.zone.synced)
    yield made
    await made.stop()
