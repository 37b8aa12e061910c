"""Eviction: pods leave as their disruption budgets allow."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj

from .conftest import World, pod, refused


async def running(world: World, name: str, ready: bool = True) -> None:
    """Put a pod on a node and let it run."""
    await world.client.create("pods", {**pod(name), "metadata": {"name": name, "labels": {"app": "web"}}})
    await world.client.create("pods", {"metadata": {"name": name}, "target": {"name": "n1"}}, "default", name=name,
                              subresource="binding")
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    await world.client.patch("pods", name, {"status": status}, subresource="status")


async def budget(world: World, name: str = "b", spec: Obj | None = None, **status: object) -> None:
    await world.client.create("pdb", {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                                      "metadata": {"name": name},
                                      "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}},
                                               **(spec or {})}})
    await world.client.patch("pdb", name, {"status": {"observedGeneration": 1, **status}}, subresource="status")


async def evict(world: World, name: str, *, dry_run: bool = False) -> None:
    await world.client.create("pods", {"metadata": {"name": name}}, "default", name=name, subresource="eviction",
                              dry_run=dry_run)


async def test_a_budget_without_room_refuses(world: World) -> None:
    """429 with the cause that kubectl drain shows; the pod stays as it is."""
    await running(world, "p")
    await budget(world, disruptionsAllowed=0, desiredHealthy=2, currentHealthy=2)
    error = await refused(evict(world, "p"))
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert (error.code, error.reason) == (429, "TooManyRequests")
    assert error.details == {"causes": [{"reason": "DisruptionBudget", "message":
                                         "The disruption budget b needs 2 healthy pods and has 2 currently"}]}
    assert "deletionTimestamp" not in (await world.client.get("pods", "p"))["metadata"]


async def test_an_eviction_is_charged_at_once(world: World) -> None:
    """The budget knows of the pod before its controller does; what happens at the same time stays within it."""
    for name in ("p", "q", "r"):
        await running(world, name)
    await budget(world, disruptionsAllowed=2, desiredHealthy=1, currentHealthy=3)
    await evict(world, "p", dry_run=True)
    outcomes = await asyncio.gather(*(evict(world, name) for name in ("p", "q", "r")), return_exceptions=True)
    assert sum(isinstance(outcome, ApiError) and outcome.code == 429 for outcome in outcomes) == 1
    status = (await world.client.get("pdb", "b"))["status"]
    assert (status["disruptionsAllowed"], len(status["disruptedPods"])) == (0, 2)
    assert status["conditions"][0]["reason"] == "InsufficientPods"


async def test_a_budget_that_nobody_has_counted_refuses(world: World) -> None:
    """Until its controller has seen the newest spec, the budget allows nothing."""
    await running(world, "p")
    await budget(world, observedGeneration=0, disruptionsAllowed=5)
    error = await refused(evict(world, "p"))
    assert error.details == {"retryAfterSeconds": 10, "causes": [{
        "reason": "DisruptionBudget", "message": "The disruption budget b is still being processed by the server."}]}


async def test_two_budgets_are_one_too_many(world: World) -> None:
    """Nobody could say which to charge."""
    await running(world, "p")
    await budget(world, "a", disruptionsAllowed=1)
    await budget(world, "b", disruptionsAllowed=1)
    error = await refused(evict(world, "p"))
    assert (error.code, error.message) == (500, "This pod has more than one PodDisruptionBudget, which the eviction "
                                                "subresource does not support.")


@pytest.mark.parametrize(("spec", "healthy", "goes"), [
    ({"unhealthyPodEvictionPolicy": "AlwaysAllow"}, 0, True), ({}, 2, True), ({}, 1, False)])
async def test_a_pod_that_is_not_ready_is_less_of_a_loss(world: World, spec: Obj, healthy: int, goes: bool) -> None:
    """It goes when the budget says so, or when enough others are healthy."""
    await running(world, "p", ready=False)
    await budget(world, "b", spec, disruptionsAllowed=0, desiredHealthy=2, currentHealthy=healthy)
    if goes:
        await evict(world, "p")
    else:
        assert (await refused(evict(world, "p"))).code == 429


async def test_a_pod_that_does_not_run_needs_no_budget(world: World) -> None:
    """A pending pod is gone at once."""
    await world.client.create("pods", {**pod("p"), "metadata": {"name": "p", "labels": {"app": "web"}}})
    await budget(world, disruptionsAllowed=0)
    await evict(world, "p")
    assert (await refused(world.client.get("pods", "p"))).code == 404


async def test_an_eviction_is_of_the_pod_that_is_meant(world: World) -> None:
    """By its name, its uid and its version; the condition that the eviction writes is no change of somebody else."""
    await running(world, "p")
    pod = await world.client.get("pods", "p")

    async def asked(name: str, **preconditions: str) -> None:
        await world.client.create("pods", {"metadata": {"name": name},
                                           "deleteOptions": {"preconditions": preconditions}}, "default", name="p",
                                  subresource="eviction")

    assert (await refused(asked("q"))).message == "name in URL does not match name in Eviction object"
    elsewhere = await world.send("POST", "/api/v1/namespaces/default/pods/p/eviction",
                                 {"metadata": {"name": "p", "namespace": "other"}})
    assert elsewhere.status == 400
    assert (await refused(asked("p", uid="other"))).code == 409
    assert (await refused(asked("p", resourceVersion="1"))).code == 409
    conditions = (await world.client.get("pods", "p"))["status"]["conditions"]
    assert "DisruptionTarget" not in [c["type"] for c in conditions]
    await asked("p", resourceVersion=pod["metadata"]["resourceVersion"])
    assert "deletionTimestamp" in (await world.client.get("pods", "p"))["metadata"]


async def test_an_empty_selector_is_of_all_pods(world: World) -> None:
    """Also of one that has no labels at all."""
    await running(world, "p")
    await world.client.patch("pods", "p", {"metadata": {"labels": None}})
    await budget(world, spec={"selector": {}}, disruptionsAllowed=0)
    assert (await refused(evict(world, "p"))).code == 429
