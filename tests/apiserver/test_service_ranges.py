"""Services get their addresses from every ServiceCIDR that is ready."""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.units import Service

from .conftest import World, refused

CIDRS = "servicecidrs.networking.k8s.io"


def cidr(name: str, *cidrs: str) -> Obj:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name},
            "spec": {"cidrs": list(cidrs)}}


def service(name: str, ip: str = "") -> Obj:
    made: Obj = Service(name)
    if ip:
        made["spec"]["clusterIP"] = ip
    return made


async def told(world: World, name: str, ready: str) -> None:
    """Say what the controller would of a range."""
    condition = {"type": "Ready", "status": ready, "reason": "", "message": "", "lastTransitionTime":
                 "2026-01-01T00:00:00Z"}
    await world.client.patch(CIDRS, name, {"status": {"conditions": [condition]}}, subresource="status")


async def test_a_range_made_later_is_used_at_once(world: World) -> None:
    """An address of it can be asked for, which before was in no range, and its IPAddress follows."""
    error = await refused(world.client.create("services", service("a", "10.9.0.5")))
    assert error.message == ('Service "a" is invalid: spec.clusterIPs: Invalid value: ["10.9.0.5"]: failed to allocate '
                             "IP 10.9.0.5: the provided network does not match the current range")
    dry = await refused(world.client.create("services", service("a", "10.9.0.5"), dry_run=True))
    assert dry.message.endswith("the provided IP (10.9.0.5) is not in the valid range. The range of valid IPs is "
                                "127.96.128.0/17")
    await world.client.create(CIDRS, cidr("more", "10.9.0.0/24"))
    assert (await world.client.create("services", service("a", "10.9.0.5")))["spec"]["clusterIP"] == "10.9.0.5"


async def test_a_full_range_is_followed_by_the_next(world: World) -> None:
    """The oldest range serves until it has no address left; each gives its first and its last to nobody."""
    await world.clock.step(1)
    await world.client.create(CIDRS, cidr("one", "10.9.0.0/30"))
    await world.clock.step(1)
    await world.client.create(CIDRS, cidr("two", "10.9.1.0/29"))
    await told(world, "kubernetes", "False")  # as if it were on its way out
    found = [(await world.client.create("services", service(f"s{i}")))["spec"]["clusterIP"] for i in range(8)]
    assert set(found[:2]) == {"10.9.0.1", "10.9.0.2"}
    assert set(found[2:]) == {f"10.9.1.{i}" for i in range(1, 7)}
    error = await refused(world.client.create("services", service("last")))
    assert error.message.endswith("failed to allocate a serviceIP: range is full")


async def test_a_range_on_its_way_out_gives_nothing(world: World) -> None:
    """What is being deleted, or not ready, refuses; what it gave before is kept through an update."""
    await world.client.create(CIDRS, cidr("more", "10.9.0.0/24"))
    held = await world.client.create("services", service("a", "10.9.0.5"))
    await world.client.patch(CIDRS, "more", {"metadata": {"finalizers": ["example.com/wait"]}})
    await world.client.delete(CIDRS, "more")
    assert (await refused(world.client.create("services", service("b", "10.9.0.6")))).code == 422
    held["metadata"]["labels"] = {"a": "b"}
    assert (await world.client.update("services", held))["spec"]["clusterIP"] == "10.9.0.5"


async def test_the_edges_of_a_range(world: World) -> None:
    """The network's own address and the last are in the range, and not to be had; one address is no range."""
    await world.client.create(CIDRS, cidr("more", "10.9.0.0/24"))
    await world.client.create(CIDRS, cidr("single", "10.8.0.1/32"))
    for ip in ("10.9.0.0", "10.9.0.255"):
        error = await refused(world.client.create("services", service("a", ip)))
        assert error.message.endswith(f"the provided IP ({ip}) is not in the valid range. The range of valid IPs is "
                                      "10.9.0.0/24")
    assert (await refused(world.client.create("services", service("a", "10.8.0.1")))).code == 422
    wide = await world.client.create(CIDRS, cidr("wide", "10.9.0.0/16"))
    assert wide["spec"]["cidrs"] == ["10.9.0.0/16"]
    assert (await world.client.create("services", service("a", "10.9.0.255")))["spec"]["clusterIP"] == "10.9.0.255"
