"""Endpoints and EndpointSlices on a real API server."""

from __future__ import annotations

from typing import Any

import pytest


def service(name: str = "web", **spec: Any) -> Any:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
        "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec}}


def pod(i: int) -> Any:
    spec = {"nodeName": f"node-{i % 2 + 1}", "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "nginx"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{i}", "labels": {"app": "web"}}, "spec": spec}


@pytest.fixture
async def world(make_world: Any) -> Any:
    return await make_world(2, enabled=("*", "-replicaset-controller"))


async def slices(world: Any) -> list[Any]:
    return [s for s in await world.items("endpointslices") if s["metadata"]["name"] != "kubernetes"]


async def test_a_service_finds_its_pods(world: Any) -> None:
    """Three ready pods stand in one slice and in the Endpoints object, worded as recorded."""
    await world.client.create("services", service())
    for i in range(3):
        await world.client.create("pods", pod(i))

    async def ready() -> Any:
        found, = await slices(world)
        assert len(found["endpoints"] or []) == 3 and all(e["conditions"]["ready"] for e in found["endpoints"]), found
        endpoints = await world.client.get("endpoints", "web")
        assert len(endpoints["subsets"][0]["addresses"]) == 3
        return found, endpoints

    found, endpoints = await world.until(ready)
    meta = found["metadata"]
    assert meta["generateName"] == "web-" and meta["ownerReferences"][0]["kind"] == "Service"
    assert meta["labels"] == {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                              "kubernetes.io/service-name": "web"}
    assert found["addressType"] == "IPv4" and found["ports"] == [{"name": "", "protocol": "TCP", "port": 8080}]
    assert endpoints["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    subset, = endpoints["subsets"]
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert [a["targetRef"]["name"] for a in sorted(subset["addresses"], key=lambda a: a["ip"])] == ["p0", "p1", "p2"]
    for notes in (meta["annotations"], endpoints["metadata"]["annotations"]):
        assert "endpoints.kubernetes.io/last-change-trigger-time" in notes


async def test_pods_come_and_go(world: Any) -> None:
    """A deleted pod leaves the slice; a deleted Service takes slice and Endpoints along."""
    await world.client.create("services", service())
    for i in range(2):
        await world.client.create("pods", pod(i))

    async def count(wanted: int) -> bool:
        found, = await slices(world)
        assert len(found["endpoints"] or []) == wanted, found
        return True

    await world.until(lambda: count(2))
    await world.client.delete("pods", "p0")
    await world.until(lambda: count(1))
    await world.client.delete("pods", "p1")
    await world.until(lambda: count(0))
    await world.client.delete("services", "web")

    async def gone() -> bool:
        return not await slices(world) and not [e for e in await world.items("endpoints")
                                                if e["metadata"]["name"] == "web"]

    await world.until(gone)


async def test_a_burst_costs_few_writes(world: Any) -> None:
    """A hundred and fifty pods fill two slices with a handful of writes."""
    await world.client.create("services", service())
    for i in range(150):
        await world.client.create("pods", pod(i))

    async def full() -> bool:
        found = await slices(world)
        assert sum(len(s["endpoints"] or []) for s in found) == 150, [len(s["endpoints"] or []) for s in found]
        assert all(e["conditions"]["ready"] for s in found for e in s["endpoints"])
        return True

    await world.until(full)
    found = await slices(world)
    assert sorted(len(s["endpoints"]) for s in found)[-1] <= 100
    assert sum(s["metadata"].get("generation", 1) for s in found) < 60


async def test_a_pod_waits_for_its_node(world: Any) -> None:
    """Where the node of a pod is not known, nobody is sent to it; once the node is there, they are."""
    await world.client.create("services", service())
    await world.client.create("pods", pod(0))
    stray = pod(1)
    stray["spec"]["nodeName"] = "later"
    await world.client.create("pods", stray)

    async def running() -> bool:
        assert (await world.client.get("pods", "p1", "default"))["status"].get("podIP")
        return True

    async def shown(*names: str) -> Any:
        found, = await slices(world)
        assert {e["targetRef"]["name"] for e in found["endpoints"] or []} == set(names)
        return found["metadata"]["name"]

    await world.until(running)
    name = await world.until(lambda: shown("p0"))
    await world.kubelets.add_node("later")
    assert await world.until(lambda: shown("p0", "p1")) == name
    for one in ("p0", "p1"):
        await world.client.delete("pods", one, "default", grace_period_s=0)
    assert await world.until(lambda: shown()) == name  # the last slice stays, empty
