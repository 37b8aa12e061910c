"""Single objects as items: palette classes, short names, reasons."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.views.items import container_states, node_item, pod_item, requests, service_item, short_name
from tests.views.world import World


@pytest.mark.parametrize("state", ["ready", "unready", "pending", "failed", "succeeded"])
def test_pod_state_is_its_palette_class(world: World, state: str) -> None:
    """Each state a pod can be in maps to its own colour and sign."""
    assert pod_item(world.pod("a", "node-1", state), 1)["phase"] == state


def test_not_ready_while_a_container_is_not(world: World) -> None:
    """A running pod without the Ready condition is hollow, its containers too."""
    item = pod_item(world.pod("a", "node-1", "unready", containers=2), 1)
    assert (item["phase"], item["containers"]) == ("unready", ["running", "running"])


def test_crash_loop_tells_reason_and_restarts(world: World) -> None:
    """What stands in the way is told with its message, and restarts are summed."""
    item = pod_item(world.pod("a", "node-1", "failed", restarts=4), 1)
    assert (item["reason"], item["restarts"]) == ("CrashLoopBackOff", 4)
    assert "back-off" in item["message"]


def test_unschedulable_pod_tells_the_schedulers_words(world: World) -> None:
    """A pod that fits nowhere carries the scheduler's message."""
    pod = world.pod("a")
    pod["status"] = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                                                         "reason": "Unschedulable", "message": "0/3 nodes"}]}
    assert (pod_item(pod, 1)["reason"], pod_item(pod, 1)["message"]) == ("Unschedulable", "0/3 nodes")


def test_failing_init_container_is_a_failing_pod(world: World) -> None:
    """An init container in a crash loop makes the pod red although its phase is Pending."""
    pod = world.pod("a", "node-1", "pending")
    pod["status"]["initContainerStatuses"] = [{"name": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    assert pod_item(pod, 1)["phase"] == "failed"


@pytest.mark.parametrize(("owner", "hash_", "kind", "short"), [
    ("web-7c9f6d8b5", "7c9f6d8b5", "ReplicaSet", "web-7c"),
    ("worker", "", "ReplicationController", "worker"),
    ("db", "", "StatefulSet", "db-0"),
    ("", "", "", "db-0"),
])
def test_short_name(world: World, owner: str, hash_: str, kind: str, short: str) -> None:
    """A tile is named after its owner, with two letters of the revision; a pod of its own keeps its name."""
    pod = world.pod("db-0", owner=owner, hash_=hash_)
    for reference in pod["metadata"].get("ownerReferences", ()):
        reference["kind"] = kind
    assert short_name(pod) == short


def test_pod_without_status_is_pending(world: World) -> None:
    """An object as a client may see it just after creation is drawn, not refused."""
    pod = world.pod("a")
    del pod["status"]
    assert pod_item(pod, 1)["phase"] == "pending"
    assert container_states(pod) == ["waiting"]


def test_ended_pod_asks_for_nothing(world: World) -> None:
    """Requests count while a pod may run, as in the scheduler's own sum."""
    assert requests(world.pod("a", "node-1")) == (100, 128 * 2**20)
    assert requests(world.pod("b", "node-1", "succeeded")) == (0, 0)


def test_node_shares(world: World) -> None:
    """Request bars are shares of what a node can give."""
    item = node_item(world.node("node-1"), (1000, 2 * 2**30))
    assert (item["cpu"], item["mem"], item["runtime"]) == (0.25, 0.25, "process")


def test_service_counts_ready_endpoints(world: World) -> None:
    """A Service knows which pods are behind it and which wait to be."""
    pods: list[dict[str, Any]] = [world.pod("a", "node-1"), world.pod("b", "node-1", "unready")]
    item = service_item(world.service("web"), [world.slice("web", pods)])
    assert (item["pods"], item["waiting"]) == (["uid-a"], ["uid-b"])
