"""StatefulSets: pods in order, with names and volumes that stay."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.control_plane.controllers.replica_plan import pod_from
from kubelab.control_plane.controllers.stateful_claims import claims_of, is_left_over, owners_of
from kubelab.control_plane.controllers.stateful_plan import (
    REVISION_LABEL,
    Revisions,
    plan_stateful,
    pod_of,
    status_of,
)

from .conftest import World

NOW = 1_767_323_045.0
SAME = Revisions("db-1", "db-1")


def stateful(replicas: int = 3, policy: str = "OrderedReady", **rolling: Any) -> dict[str, Any]:
    out = units.StatefulSet("db", image="redis", replicas=replicas, storage="1Gi", namespace="default")
    out["metadata"]["uid"] = "u"
    out["spec"] |= {"podManagementPolicy": policy,
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, **rolling}}}
    return out


def pod(number: int, revision: str = "db-1", ready: bool = True, **meta: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {"metadata": {"name": f"db-{number}", "labels": {REVISION_LABEL: revision}, **meta},
            "status": {"phase": "Running", "conditions": [condition]}}


def made(plan: Any) -> list[int]:
    return [number for number, _ in plan.create]


def gone(plan: Any) -> list[str]:
    return [p["metadata"]["name"] for p in plan.delete]


@pytest.mark.parametrize(("pods", "create", "delete"), [
    ([], [0], []),
    ([pod(0, ready=False)], [], []),
    ([pod(0)], [1], []),
    ([pod(0), pod(1), pod(2)], [], []),
    ([pod(1), pod(2)], [0], []),
    ([pod(n) for n in range(5)], [], ["db-4"]),
    ([*(pod(n) for n in range(4)), pod(4, deletionTimestamp="x")], [], []),
    ([*(pod(n) for n in range(4)), pod(4, ready=False)], [], ["db-4"]),
    ([*(pod(n) for n in range(3)), pod(3, ready=False), pod(4, ready=False)], [], []),
    ([*(pod(n) for n in range(3)), pod(3, ready=False), pod(4)], [], ["db-4"]),
])
def test_one_step_at_a_time(pods: list[Any], create: list[int], delete: list[str]) -> None:
    """The next pod waits until all before it are ready; the highest goes first, alone, when those below are well."""
    plan = plan_stateful(stateful(), pods, SAME, NOW)
    assert (made(plan), gone(plan)) == (create, delete)


def test_parallel_does_all_at_once() -> None:
    """Names and volumes stay, order does not matter."""
    assert made(plan_stateful(stateful(policy="Parallel"), [], SAME, NOW)) == [0, 1, 2]
    assert gone(plan_stateful(stateful(1, "Parallel"), [pod(0), pod(1), pod(2)], SAME, NOW)) == ["db-2", "db-1"]


def test_an_update_goes_from_the_highest_down_to_the_partition() -> None:
    """One at a time; below the partition the earlier template stays, for new pods as well."""
    new = Revisions("db-1", "db-2")
    pods = [pod(0), pod(1), pod(2)]
    assert gone(plan_stateful(stateful(), pods, new, NOW)) == ["db-2"]
    assert gone(plan_stateful(stateful(), [pod(0), pod(1), pod(2, "db-2")], new, NOW)) == ["db-1"]
    assert gone(plan_stateful(stateful(partition=2), [pod(0), pod(1), pod(2, "db-2")], new, NOW)) == []
    assert plan_stateful(stateful(partition=2), [pod(0), pod(2, "db-2")], new, NOW).create == ((1, "db-1"),)
    sick = [pod(0, ready=False), pod(1), pod(2, "db-2")]
    assert gone(plan_stateful(stateful(policy="Parallel"), sick, new, NOW)) == ["db-1"]
    assert gone(plan_stateful(stateful(policy="Parallel"), [*pods[:2], pod(2, "db-2", ready=False)], new, NOW)) == []


def test_a_finished_update_is_the_current_one() -> None:
    """When all pods carry the new template, the earlier one is history."""
    new = Revisions("db-1", "db-2")
    half = status_of(stateful(2), [pod(0), pod(1, "db-2")], new, NOW)
    assert (half["currentRevision"], half["currentReplicas"], half["updatedReplicas"]) == ("db-1", 1, 1)
    whole = status_of(stateful(2), [pod(0, "db-2"), pod(1, "db-2")], new, NOW)
    assert (whole["currentRevision"], whole["currentReplicas"], whole["readyReplicas"]) == ("db-2", 2, 2)


def test_a_pod_has_its_own_name_and_claim() -> None:
    """Hostname, subdomain and volume follow from its number."""
    it = stateful()
    one = pod_of(it, pod_from(it, it["spec"]["template"], {}), 1, "db-1")
    assert (one["metadata"]["name"], one["spec"]["hostname"], one["spec"]["subdomain"]) == ("db-1", "db-1", "db")
    assert one["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
    assert [c["metadata"]["name"] for c in claims_of(it, 1)] == ["data-db-1"]


def test_ready_pods_that_are_going_still_count() -> None:
    """They serve until they are gone; for a template they count no more."""
    status = status_of(stateful(2), [pod(0), pod(1, deletionTimestamp="x")], SAME, NOW)
    assert (status["replicas"], status["readyReplicas"], status["currentReplicas"]) == (2, 2, 1)


@pytest.mark.parametrize(("deleted", "scaled", "wanted", "owner"), [
    ("Retain", "Retain", True, None), ("Delete", "Retain", True, "StatefulSet"), ("Delete", "Retain", False,
                                                                                   "StatefulSet"),
    ("Retain", "Delete", True, None), ("Retain", "Delete", False, "Pod"), ("Delete", "Delete", True, "StatefulSet"),
    ("Delete", "Delete", False, "Pod"),
])
def test_a_claim_is_whose_it_should_go_with(deleted: str, scaled: str, wanted: bool, owner: str | None) -> None:
    """The set's, or of a pod that was scaled away; one that is another's is left to it."""
    it, its_pod = stateful(), pod(1, uid="p")
    it["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": deleted, "whenScaled": scaled}
    other = {"kind": "X", "name": "x", "apiVersion": "v1", "uid": "x"}
    before = {"metadata": {"ownerReferences": [other, {"kind": "Pod", "uid": "p", "name": "db-1"}]}}
    after = owners_of(before, it, its_pod, wanted)
    assert [o["kind"] for o in after] == ["X", *([owner] if owner else [])]
    assert owners_of({"metadata": {"ownerReferences": after}}, it, its_pod, wanted) == after
    theirs = [{**other, "controller": True}]
    assert owners_of({"metadata": {"ownerReferences": theirs}}, it, its_pod, wanted) == theirs


def test_a_claim_of_an_earlier_pod_is_waited_for() -> None:
    """It follows that pod, and would take the new one's data with it."""
    claim = {"metadata": {"ownerReferences": [{"kind": "Pod", "name": "db-1", "uid": "old"}]}}
    assert (is_left_over(claim, "db-1", {"new"}), is_left_over(claim, "db-1", {"old"})) == (True, False)


async def test_claims_go_with_what_is_scaled_away(world: World) -> None:
    """With the pod, not before it; what is asked for again begins anew."""
    it = units.StatefulSet("db", image="redis", replicas=2, storage="1Gi")
    it["spec"]["podManagementPolicy"] = "Parallel"
    it["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    await world.client.create("statefulsets", it)

    async def claims(*names: str) -> list[Any]:
        found = await world.items("pvc")
        assert [c["metadata"]["name"] for c in found] == list(names)
        return found

    for claim in await world.until(lambda: claims("data-db-0", "data-db-1")):
        assert claim["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
    await world.client.patch("statefulsets", "db", {"spec": {"replicas": 1}}, subresource="scale")
    await world.until(lambda: claims("data-db-0"))
    assert ("StatefulSet/db", "SuccessfulCreate", "Create Claim data-db-1 Pod db-1 in StatefulSet db success") in [
        (e[0], e[2], e[3]) for e in await world.events()]


async def test_a_pod_that_failed_is_made_again(world: World) -> None:
    """With the same name; the set tells why."""
    await world.client.create("statefulsets", units.StatefulSet("db", image="redis", replicas=1))

    async def running() -> Any:
        found = await world.client.get("pods", "db-0")
        return found if found["status"]["phase"] == "Running" else None

    first = await world.until(running)
    await world.client.patch("pods", "db-0", {"status": {"phase": "Failed"}}, subresource="status")

    async def another() -> Any:
        found = await world.client.get("pods", "db-0")
        return found["metadata"]["uid"] != first["metadata"]["uid"]

    await world.until(another)

    async def told() -> Any:
        return ("Warning", "RecreatingFailedPod", "StatefulSet default/db is recreating failed Pod db-0") in [
            e[1:4] for e in await world.events()]

    await world.until(told)


async def test_a_stateful_set_comes_up_in_order_and_is_updated(world: World) -> None:
    """Each pod begins after the one before; scaled down and up again it has the same names; an update reaches all."""
    await world.client.create("statefulsets", units.StatefulSet("db", image="redis:7", replicas=3))

    async def ready(count: int, image: str) -> Any:
        status = (await world.client.get("statefulsets", "db"))["status"]
        pods = await world.items("pods")
        assert status.get("readyReplicas") == status.get("updatedReplicas") == len(pods) == count, status
        assert {p["spec"]["containers"][0]["image"] for p in pods} == {image}
        assert status["currentRevision"] == status["updateRevision"]
        return sorted(p["metadata"]["name"] for p in pods)

    assert await world.until(lambda: ready(3, "redis:7")) == ["db-0", "db-1", "db-2"]
    created = [e[3] for e in await world.events() if e[2] == "SuccessfulCreate"]
    assert created == [f"Create Pod db-{n} in StatefulSet db successful" for n in range(3)]
    await world.client.patch("statefulsets", "db", {"spec": {"replicas": 1}}, subresource="scale")
    assert await world.until(lambda: ready(1, "redis:7")) == ["db-0"]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "db", "image": "redis:8"}]}}, "replicas": 2}}
    await world.client.patch("statefulsets", "db", patch, type="strategic")
    assert await world.until(lambda: ready(2, "redis:8")) == ["db-0", "db-1"]
