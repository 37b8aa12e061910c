"""StatefulSets: pods in order, with names and volumes that stay."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.control_plane.controllers.replica_plan import pod_from
from kubelab.control_plane.controllers.stateful_plan import (
    REVISION_LABEL,
    Revisions,
    claims_of,
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
])
def test_one_step_at_a_time(pods: list[Any], create: list[int], delete: list[str]) -> None:
    """The next pod waits until all before it are ready; the highest goes first, and alone."""
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
    assert gone(plan_stateful(stateful(maxUnavailable=2), pods, new, NOW)) == ["db-2", "db-1"]


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
