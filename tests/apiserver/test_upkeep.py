"""Upkeep: IPAddresses follow Services, flow schemas say whether their level exists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubelab.machinery.request import Obj
from kubelab.units import Service

from .conftest import World, refused


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


def addresses(world: World) -> dict[str, Obj]:
    return {key: body.obj for key, body in
            world.server.storage.of("networking.k8s.io", "ipaddresses").objects.items()}


async def test_an_address_is_there_while_a_service_holds_it(world: World) -> None:
    """A Service's IPAddress names it, comes back when it is taken away, and goes with the Service."""
    ip = (await world.client.create("services", Service("web")))["spec"]["clusterIP"]
    await until(lambda: ip in addresses(world))
    assert addresses(world)[ip]["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "web"}
    uid = addresses(world)[ip]["metadata"]["uid"]
    await world.client.delete("ipaddresses", ip)
    await until(lambda: ip in addresses(world) and addresses(world)[ip]["metadata"]["uid"] != uid)
    await world.client.delete("services", "web", "default")
    await until(lambda: ip not in addresses(world))


async def test_an_address_taken_by_hand_goes_to_no_service(world: World) -> None:
    """An IPAddress that someone made is refused to a Service that asks for it, until it is gone."""
    ip = world.server.service_ip.rpartition(".")[0] + ".77"
    await world.client.create("ipaddresses", {
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": ip},
        "spec": {"parentRef": {"resource": "gateways", "group": "example.com", "name": "g"}}})
    wanted = Service("web")
    wanted["spec"]["clusterIP"] = ip
    assert "provided IP is already allocated" in (await refused(world.client.create("services", wanted))).message
    await world.client.delete("ipaddresses", ip)
    assert (await world.client.create("services", wanted))["spec"]["clusterIP"] == ip


async def test_the_first_range_comes_back(world: World) -> None:
    """Once the ServiceCIDR that a cluster begins with is gone, the API server makes it again."""
    ranges = world.server.storage.of("networking.k8s.io", "servicecidrs").objects
    before = ranges["kubernetes"].obj
    await world.client.patch("servicecidrs", "kubernetes", {"metadata": {"finalizers": None}})
    await world.client.delete("servicecidrs", "kubernetes")
    await until(lambda: "kubernetes" in ranges and ranges["kubernetes"].obj["metadata"]["uid"]
                != before["metadata"]["uid"])
    assert ranges["kubernetes"].obj["spec"] == before["spec"]
    assert (await world.client.create("services", Service("web")))["spec"]["clusterIP"].startswith("127.96.")


async def test_a_flow_schema_says_whether_its_level_exists(world: World) -> None:
    """The condition turns when the level comes."""
    def dangling() -> str:
        found = world.server.storage.of("flowcontrol.apiserver.k8s.io", "flowschemas").objects["mine"].obj
        return next((c["status"] for c in found["status"].get("conditions") or ()), "")

    await world.client.create("flowschemas", {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "mine"},
        "spec": {"priorityLevelConfiguration": {"name": "later"}}})
    await until(lambda: dangling() == "True")
    await world.client.create("prioritylevelconfigurations", {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "later"}, "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}})
    await until(lambda: dangling() == "False")


async def test_a_new_cluster_has_its_levels_groups_and_range(world: World) -> None:
    """Bootstrap objects are there at once, complete, and a second start would write none again."""
    services = (await world.client.list("apiservices"))["items"]
    names = {s["metadata"]["name"] for s in services}
    assert {"v1.", "v1.apps", "v2.autoscaling"} <= names and "v1.apiregistration.k8s.io" not in names
    assert all(s["status"]["conditions"][0]["reason"] == "Local" for s in services)
    schemas = (await world.client.list("flowschemas"))["items"]
    levels = {o["metadata"]["name"] for o in (await world.client.list("prioritylevelconfigurations"))["items"]}
    assert {s["spec"]["priorityLevelConfiguration"]["name"] for s in schemas} <= levels
    cidr = await world.client.get("servicecidrs", "kubernetes")
    assert cidr["spec"]["cidrs"] == [world.server.service_cidr]
    assert cidr["status"]["conditions"][0]["status"] == "True"
