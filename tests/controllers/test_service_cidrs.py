"""ServiceCIDRs: ready, kept while an address needs them, gone afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kubelab.client.client import Client
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.controllers import ControllerManager
from kubelab.control_plane.controllers.service_cidrs import CIDRS, FINALIZER, is_needed
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj, User
from kubelab.units import Service


def cidr(name: str, *cidrs: str, leaving: bool = False) -> Obj:
    metadata = {"name": name} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {})
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": metadata,
            "spec": {"cidrs": list(cidrs)}}


def address(ip: str, by: str = "ipallocator.k8s.io") -> Obj:
    return {"metadata": {"name": ip, "labels": {"ipaddress.kubernetes.io/managed-by": by}}}


SMALL, V6 = cidr("small", "10.9.0.0/24"), cidr("six", "2001:db8::/64")


@pytest.mark.parametrize(("others", "addresses", "needed"), [
    ([], ["10.9.0.7"], True), ([], [], False), ([], ["10.8.0.7"], False),
    ([cidr("wide", "10.0.0.0/8")], ["10.9.0.7"], False),
    ([cidr("same", "10.9.0.0/24")], ["10.9.0.7"], False),
    ([cidr("wide", "10.0.0.0/8", leaving=True)], ["10.9.0.7"], True),
    ([cidr("half", "10.9.0.0/25")], ["10.9.0.7"], False), ([cidr("half", "10.9.0.0/25")], ["10.9.0.200"], True),
    ([V6], ["10.9.0.7", "2001:db8::1"], True)])
def test_who_needs_a_range(others: list[Obj], addresses: list[str], needed: bool) -> None:
    """A range is needed when an address would be in none without it; ranges on their way out do not count."""
    assert is_needed(SMALL, others, [address(ip) for ip in addresses]) == needed


def test_addresses_of_others_do_not_count() -> None:
    """An IPAddress that no Service holds keeps no range."""
    assert not is_needed(SMALL, [], [address("10.9.0.7", by="example.com")])


class World:
    def __init__(self, client: Client, clock: SteppedClock) -> None:
        self.client, self.clock = client, clock

    async def until(self, check: Callable[[], Awaitable[Any]]) -> Any:
        """Let the loop turn until something is true; no time passes."""
        for _ in range(500):
            found = await check()
            if found:
                return found
            await asyncio.sleep(0)
        raise AssertionError("it never came to be")

    async def condition(self, name: str) -> tuple[str, str]:
        found = (await self.client.get(CIDRS, name)).get("status", {}).get("conditions") or [{}]
        return found[0].get("status", ""), found[0].get("reason", "")

    async def is_gone(self, name: str) -> bool:
        try:
            await self.client.get(CIDRS, name)
        except ApiError as error:
            return error.code == 404
        return False


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, journal = SteppedClock(), Journal()
    etcd = EmbeddedEtcd(None, clock)
    server = ApiServer(etcd, clock=clock, journal=journal)
    by_its_role = Client(InProcess(server.handle, User("system:kube-controller-manager"), "kcm"))
    manager = ControllerManager(by_its_role, clock=clock, journal=journal, enabled=("service-cidr-controller",))
    for part in (etcd, server, manager):
        await part.start()
    yield World(Client(InProcess(server.handle, User("admin", ("system:masters",)), "test")), clock)
    for part in (manager, server, etcd):
        await part.stop()


def service(name: str, ip: str) -> Obj:
    made: Obj = Service(name)
    made["spec"]["clusterIP"] = ip
    return made


async def test_a_new_range_becomes_ready(world: World) -> None:
    """It gets the finalizer that keeps it, and says that it is ready."""
    await world.client.create(CIDRS, cidr("more", "10.9.0.0/24"))
    await world.until(lambda: _is(world, "more", ("True", "")))
    found = await world.client.get(CIDRS, "more")
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert found["status"]["conditions"][0]["message"] == "Kubernetes Service CIDR is ready"


async def test_a_range_waits_for_its_addresses(world: World) -> None:
    """While a Service holds an address of it, it stays and says why; ten seconds after the last, it goes."""
    await world.client.create(CIDRS, cidr("more", "10.9.0.0/24"))
    await world.until(lambda: _is(world, "more", ("True", "")))
    await world.client.create("services", service("web", "10.9.0.5"))
    await world.until(lambda: _there(world, "10.9.0.5"))
    await world.client.delete(CIDRS, "more")
    await world.until(lambda: _is(world, "more", ("False", "Terminating")))
    await world.clock.step(60)
    assert not await world.is_gone("more")
    await world.client.delete("services", "web", "default")
    await world.until(lambda: world.is_gone("more"))


async def test_a_range_around_it_lets_it_go(world: World) -> None:
    """With its addresses in another range it is not needed any more; servers are given ten seconds to hear of it."""
    await world.client.create(CIDRS, cidr("more", "10.9.0.0/24"))
    await world.until(lambda: _is(world, "more", ("True", "")))
    await world.client.create("services", service("web", "10.9.0.5"))
    await world.until(lambda: _there(world, "10.9.0.5"))
    await world.client.delete(CIDRS, "more")
    await world.until(lambda: _is(world, "more", ("False", "Terminating")))
    await world.client.create(CIDRS, cidr("wide", "10.0.0.0/8"))
    await world.until(lambda: _is(world, "wide", ("True", "")))
    assert not await world.is_gone("more")
    await world.clock.step(11)
    await world.until(lambda: world.is_gone("more"))
    assert (await world.client.get("services", "web"))["spec"]["clusterIP"] == "10.9.0.5"


async def _is(world: World, name: str, condition: tuple[str, str]) -> bool:
    return await world.condition(name) == condition


async def _there(world: World, ip: str) -> bool:
    return any(a["metadata"]["name"] == ip for a in (await world.client.list("ipaddresses"))["items"])
