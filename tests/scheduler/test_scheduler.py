"""The scheduler's loop against a client that only remembers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelab.control_plane.scheduler import Scheduler
from kubelab.machinery.clock import RealClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal


class FakeClient:
    """Takes bindings and patches; refuses the bindings of the pods in `refused` once."""

    def __init__(self) -> None:
        self.bindings: list[tuple[str, str]] = []
        self.patches: list[tuple[str, Any]] = []
        self.refused: set[str] = set()

    async def create(self, res: Any, obj: Any, namespace: str | None = None, *, name: str | None = None,
                     subresource: str | None = None) -> Any:
        if subresource == "binding":
            assert name is not None
            if name in self.refused:
                self.refused.discard(name)
                raise ApiError(500, "InternalError", "no")
            self.bindings.append((name, obj["target"]["name"]))
        return obj

    async def patch(self, res: Any, name: str, patch: Any, namespace: str | None = None, **options: Any) -> Any:
        self.patches.append((name, patch))
        return patch


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def scheduler(client: FakeClient) -> Scheduler:
    return Scheduler(client, clock=RealClock(), journal=Journal())  # type: ignore[arg-type]


async def drained(scheduler: Scheduler) -> None:
    while (entry := scheduler.queue.pop_now()) is not None:
        scheduler.schedule(entry)
    await asyncio.gather(*scheduler._tasks_in_flight)


async def test_a_pod_is_bound_and_its_room_taken(scheduler: Scheduler, client: FakeClient, pod: Any, node: Any) -> None:
    """The second pod no longer fits where the first was put, though the API server has confirmed nothing."""
    scheduler._on_node("ADDED", node("n1", cpu="1"), None)
    for name in ("a", "b"):
        scheduler._on_pod("ADDED", pod(name, requests={"cpu": "700m"}).obj, None)
    await drained(scheduler)
    assert client.bindings == [("a", "n1")]
    (name, patch), = client.patches
    condition, = patch["status"]["conditions"]
    assert (name, condition["reason"]) == ("b", "Unschedulable")
    assert condition["message"].startswith("0/1 nodes are available: 1 Insufficient cpu.")
    entry, = (e for e in scheduler.journal.entries() if e.seam == "bind")
    assert (entry.subject, entry.detail) == ("pods/default/a", "n1")


async def test_room_that_is_freed_wakes_who_waits(scheduler: Scheduler, pod: Any, node: Any) -> None:
    """When a pod goes, the one that did not fit is queued again."""
    scheduler._on_node("ADDED", node("n1", cpu="1"), None)
    first, second = pod("a", requests={"cpu": "1"}), pod("b", requests={"cpu": "1"})
    scheduler._on_pod("ADDED", first.obj, None)
    scheduler._on_pod("ADDED", second.obj, None)
    await drained(scheduler)
    assert scheduler.queue.lengths["unschedulable"] == 1
    scheduler._on_pod("DELETED", first.obj, first.obj)
    assert scheduler.queue.lengths["unschedulable"] == 0


async def test_a_refused_binding_gives_the_room_back(scheduler: Scheduler, client: FakeClient, pod: Any,
                                                     node: Any) -> None:
    """When the API server says no, the assumption is taken back and the pod tried again later."""
    scheduler._on_node("ADDED", node("n1", cpu="1"), None)
    client.refused = {"a"}
    scheduler._on_pod("ADDED", pod("a", requests={"cpu": "1"}).obj, None)
    await drained(scheduler)
    assert scheduler.cache.nodes["n1"].used_cpu_m == 0
    assert scheduler.queue.lengths["backoff"] == 1


async def test_pods_of_other_schedulers_are_left_alone(scheduler: Scheduler, client: FakeClient, pod: Any,
                                                       node: Any) -> None:
    """A pod that names another scheduler is not ours."""
    scheduler._on_node("ADDED", node("n1"), None)
    scheduler._on_pod("ADDED", pod("a", schedulerName="mine").obj, None)
    await drained(scheduler)
    assert client.bindings == []


async def test_heartbeats_change_nothing(scheduler: Scheduler, node: Any) -> None:
    """A node event that no plugin reads leaves the cache as it is."""
    before = node("n1")
    scheduler._on_node("ADDED", before, None)
    generation = scheduler.cache.nodes["n1"].generation
    after = {**before, "status": {**before["status"], "conditions": [{"type": "Ready", "status": "True"}]}}
    scheduler._on_node("MODIFIED", after, before)
    assert scheduler.cache.nodes["n1"].generation == generation
