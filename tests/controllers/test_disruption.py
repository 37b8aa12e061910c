"""Disruption budgets: how many pods may go, worked out afresh whenever one of them changes."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.control_plane.controllers.disruption import (
    GONE_IN_S,
    Health,
    health_of,
    stale_in_s,
    status_of,
    still_going,
)
from kubelab.machinery.clock import RealClock, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import get_condition, owner_reference

from .conftest import World

NOW = 1_767_323_045.0


def budget(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}, "status": status or {}}


def pod(name: str, ready: bool = True, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}}


PODS = [pod("a"), pod("b"), pod("c"), pod("d", ready=False)]


@pytest.mark.parametrize(("spec", "expected", "desired", "allowed"), [
    ({"minAvailable": 2}, 4, 2, 1), ({"minAvailable": 5}, 4, 5, 0), ({"minAvailable": "50%"}, 4, 2, 1),
    ({"minAvailable": "51%"}, 4, 3, 0), ({"maxUnavailable": 2}, 4, 2, 1), ({"maxUnavailable": "25%"}, 4, 3, 0),
    ({"maxUnavailable": 0}, 4, 4, 0),
])
def test_what_works_less_what_must_work_may_go(spec: Any, expected: int, desired: int, allowed: int) -> None:
    """Percentages are of what the controllers want, and round up."""
    found = health_of(budget(**spec), PODS, [4], {})
    assert (found.expected, found.desired, found.healthy, found.allowed) == (expected, desired, 3, allowed)


def test_a_pod_that_was_let_go_counts_as_gone() -> None:
    """For two minutes; after that its eviction has failed."""
    status = {"disruptedPods": {"a": timestamp(NOW - 1), "b": timestamp(NOW - GONE_IN_S - 1), "x": timestamp(NOW)}}
    going, late = still_going(budget(status), PODS, NOW)
    assert (list(going), [p["metadata"]["name"] for p in late]) == (["a"], ["b"])
    assert health_of(budget(minAvailable=2), PODS, [], going).allowed == 0


def test_the_condition_says_whether_pods_may_go() -> None:
    """What cannot be worked out allows nothing, and says why."""
    ready = status_of(budget(), Health(3, 2, 3), {}, NOW)
    assert [(c["status"], c["reason"]) for c in ready["conditions"]] == [("True", "SufficientPods")]
    failed = status_of(budget(ready), Health(3, 2, 3), {}, NOW, "no scale")
    assert (failed["disruptionsAllowed"], failed["conditions"][0]["reason"]) == (0, "SyncFailed")


async def test_a_pod_that_stays_is_a_target_no_more(world: World) -> None:
    """Two minutes after it was to be disrupted; what the kubelet ends may take longer."""
    await world.client.create("pods", {"metadata": {"name": "a"}, "spec": {"containers": [
        {"name": "c", "image": "nginx"}]}})
    target = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m",
              "lastTransitionTime": timestamp(RealClock().now() - GONE_IN_S)}
    await world.client.patch("pods", "a", {"status": {"conditions": [target]}}, type="strategic", subresource="status")

    async def spared() -> Any:
        found = get_condition(await world.client.get("pods", "a"), "DisruptionTarget")
        return found and (found["status"], found["reason"]) == ("False", "PreemptionByScheduler")

    await world.until(spared)
    held = {"metadata": {}, "status": {"conditions": [{**target, "reason": "TerminationByKubelet"}]}}
    assert (stale_in_s(held, NOW), stale_in_s(pod("b"), NOW)) == (None, None)


async def test_a_custom_resource_says_how_many_there_should_be(world: World) -> None:
    """By its scale subresource; an owner without one has no size, and the budget says so."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await world.client.create("crd", {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "fleets.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "fleets", "kind": "Fleet"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
                          "subresources": {"scale": paths, "status": {}}}]}})
    fleet = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "f"}, "spec": {"replicas": 4}}

    async def made() -> Any:
        return await world.client.raw("POST", "/apis/example.com/v1/namespaces/default/fleets", body=fleet)

    owner = owner_reference(await world.until(made), "Fleet", "example.com/v1")
    await world.client.create("poddisruptionbudgets", budget(maxUnavailable=1))
    await world.client.create("pods", {"metadata": {"name": "a", "labels": {"app": "web"}, "ownerReferences": [owner]},
                                       "spec": {"containers": [{"name": "c", "image": "nginx"}]}})

    async def status(expected: int, reason: str, message: str = "") -> Any:
        found = (await world.client.get("pdb", "p"))["status"]
        told = found["conditions"][0]
        return (found["expectedPods"], told["reason"], told["message"]) == (expected, reason, message)

    await world.until(lambda: status(4, "InsufficientPods"))
    await world.client.create("jobs", units.Job("j", image="nginx", labels={"app": "web"}))
    await world.until(lambda: status(4, "SyncFailed", "jobs.batch does not implement the scale subresource"))


async def test_evictions_stop_where_the_budget_does(world: World, deployment: Any) -> None:
    """Of three pods one may go; the next when it has been replaced."""
    await world.client.create("poddisruptionbudgets", budget(minAvailable=2))
    await world.client.create("deployments", deployment(replicas=3))

    async def allowed(count: int) -> Any:
        return (await world.client.get("pdb", "p"))["status"].get("disruptionsAllowed") == count

    async def evict() -> None:
        pods = [p["metadata"] for p in await world.items("pods")]
        name = next(meta["name"] for meta in pods if "deletionTimestamp" not in meta)
        await world.client.raw("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", body={
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})

    await world.until(lambda: allowed(1))
    await evict()
    await world.until(lambda: allowed(1))
    await world.client.patch("pdb", "p", {"spec": {"minAvailable": 3}})
    await world.until(lambda: allowed(0))
    with pytest.raises(ApiError) as refused:
        await evict()
    assert refused.value.code == 429
