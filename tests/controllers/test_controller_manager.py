"""Controllers that stop and start on their own, and on all of them together."""

from __future__ import annotations

import asyncio
from typing import Any


async def test_a_stopped_controller_catches_up(world: Any, deployment: Any) -> None:
    """Without the ReplicaSet controller no pods come; started again it finds the work that waited."""
    replicasets = world.manager.controllers["replicaset-controller"]
    await replicasets.stop()
    await world.client.create("deployments", deployment())

    async def has_set() -> bool:
        return len(await world.items("replicasets")) == 1

    await world.until(has_set)
    await asyncio.sleep(0.1)
    assert await world.items("pods") == []
    await replicasets.start()
    await world.available("web", 3)


async def test_the_manager_restarts_in_the_middle(world: Any, deployment: Any) -> None:
    """Stopped and started during a rollout, manager and scheduler finish it; no pod is made twice."""
    await world.client.create("deployments", deployment(replicas=20))
    for _ in range(3):
        await world.manager.stop()
        await world.scheduler.stop()
        await world.manager.start()
        await world.scheduler.start()
        await asyncio.sleep(0.05)
    await world.available("web", 20)
    assert len(await world.items("pods")) == 20


async def test_a_controller_that_starts_expects_nothing(world: Any) -> None:
    """What it had asked for when it was stopped may never have been done, and is not waited for."""
    controller = world.manager.controllers["replicaset-controller"]
    await controller.stop()
    controller.expectations.expect_creations("default/web", 3)
    controller.expectations.expect_deletions("default/other", ["default/other-1"])
    labels = {"app": "web"}
    spec = {"containers": [{"name": "c", "image": "nginx"}], "terminationGracePeriodSeconds": 0}
    await world.client.create("replicasets", {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": spec}}})
    await controller.start()

    async def made() -> bool:
        return len(await world.items("pods")) == 2

    await world.until(made)
    assert controller.expectations.satisfied("default/other")


async def test_two_thirds_of_a_burst_do_not_overshoot(world: Any, deployment: Any) -> None:
    """Scaling up and down in quick succession ends at the last wish."""
    await world.client.create("deployments", deployment(replicas=10))
    for replicas in (60, 5, 40, 12):
        await world.client.patch("deployments", "web", {"spec": {"replicas": replicas}})
        await asyncio.sleep(0.02)
    await world.available("web", 12)

    async def settled() -> bool:
        return len(await world.items("pods")) == 12

    await world.until(settled)


async def test_pods_are_adopted_and_released(world: Any) -> None:
    """A loose pod with fitting labels is adopted; relabelled it is let go and replaced."""
    labels = {"app": "web"}
    spec = {"containers": [{"name": "c", "image": "nginx"}], "terminationGracePeriodSeconds": 0}
    await world.client.create("pods", {"apiVersion": "v1", "kind": "Pod", "spec": spec,
                                       "metadata": {"name": "loose", "labels": labels}})
    await world.client.create("replicationcontrollers", {
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": labels, "template": {"metadata": {"labels": labels}, "spec": spec}}})

    async def adopted() -> Any:
        pods = {p["metadata"]["name"]: p["metadata"] for p in await world.items("pods")}
        assert len(pods) == 2 and pods["loose"]["ownerReferences"][0]["kind"] == "ReplicationController", pods
        rc = await world.client.get("replicationcontrollers", "web")
        assert rc["status"]["readyReplicas"] == 2 and "terminatingReplicas" not in rc["status"]
        return True

    await world.until(adopted)
    await world.client.patch("pods", "loose", {"metadata": {"labels": {"app": "free"}}})

    async def released() -> Any:
        pods = {p["metadata"]["name"]: p["metadata"] for p in await world.items("pods")}
        return len(pods) == 3 and "ownerReferences" not in pods["loose"]

    await world.until(released)


async def test_names_choose_the_controllers(make_world: Any) -> None:
    """`-name` leaves a controller out, naming some runs only those."""
    world = await make_world(0, enabled=("*", "-garbage-collector-controller"))
    assert "garbage-collector-controller" not in world.manager.controllers
    assert "deployment-controller" in world.manager.controllers
