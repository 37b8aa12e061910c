"""ResourceQuota controller: the status says what is used, and what goes is free again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelab.machinery.errors import ApiError
from kubelab.units.catalogue import Kind


def pod(name: str) -> Any:
    return {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}}


async def quota(world: Any, **hard: str) -> None:
    """Make a quota and wait until it is counted."""
    hard = {name.replace("_", "."): amount for name, amount in hard.items()}
    await world.client.create("quota", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await world.until(lambda: status(world, hard=hard))


async def status(world: Any, **wanted: Any) -> bool:
    found = (await world.client.get("quota", "q"))["status"]
    assert {key: found[key] for key in wanted} == wanted, found
    return True


async def test_what_was_there_before_is_counted(world: Any) -> None:
    """A new quota knows of the pods, services and config maps of its namespace."""
    await world.client.create("pods", pod("a"))
    await world.client.create("svc", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    await quota(world, pods="5", requests_cpu="1", requests_memory="1Gi", services="4")
    assert await status(world, used={"pods": "1", "requests.cpu": "100m", "requests.memory": "64Mi", "services": "2"})


async def test_what_goes_is_free_again(world: Any) -> None:
    """A quota that is full refuses, and admits once a pod is gone."""
    await quota(world, pods="2")
    await world.client.create("pods", pod("a"))
    await world.client.create("pods", pod("b"))
    with pytest.raises(ApiError, match="exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"):
        await world.client.create("pods", pod("c"))
    await world.client.delete("pods", "a")
    await world.until(lambda: status(world, used={"pods": "1"}))
    await world.client.create("pods", pod("c"))


async def test_a_workload_stays_within_the_quota(world: Any, deployment: Any) -> None:
    """A Deployment that wants more pods than there may be gets those that there may be."""
    await quota(world, pods="3")
    await world.client.create("deployments", deployment(replicas=10))
    await world.until(lambda: status(world, used={"pods": "3"}))
    await asyncio.sleep(0.3)
    assert len(await world.items("pods")) == 3


async def test_a_changed_quota_is_counted_anew(world: Any) -> None:
    """status.hard follows spec.hard."""
    await quota(world, pods="2")
    await world.client.patch("quota", "q", {"spec": {"hard": {"pods": "7", "count/configmaps": "9"}}})
    await world.until(lambda: status(world, hard={"pods": "7", "count/configmaps": "9"},
                                     used={"pods": "0", "count/configmaps": "1"}))


async def test_custom_resources_are_counted_too(world: Any) -> None:
    """As count/<plural>.<group>, when they come and when they go."""
    names = {"plural": "foos", "kind": "Foo"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    await world.client.create("customresourcedefinitions", {"metadata": {"name": "foos.e.com"}, "spec": {
        "group": "e.com", "scope": "Namespaced", "names": names, "versions": [version]}})
    await quota(world, **{"count/foos.e_com": "1"})
    foo = Kind("Foo", "foos", "e.com")

    async def created() -> Any:
        return await world.client.create(foo, {"apiVersion": "e.com/v1", "kind": "Foo", "metadata": {"name": "a"}})

    await world.until(created)
    await asyncio.sleep(0.3)
    assert await status(world, used={"count/foos.e.com": "1"})
    await world.client.delete(foo, "a")
    await world.until(lambda: status(world, used={"count/foos.e.com": "0"}))
