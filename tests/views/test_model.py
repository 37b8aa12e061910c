"""The projection: items of a whole cluster, kept up to date event by event."""

from __future__ import annotations

from kubelab.views.model import Projection, view_model
from tests.views.world import World


def test_take_returns_only_what_changed(world: World) -> None:
    """A diff holds the changed items once, however often they changed."""
    projection = Projection()
    projection.pod("ADDED", world.pod("a", "node-1"))
    projection.pod("ADDED", world.pod("b", "node-1"))
    projection.take()
    assert projection.take() is None
    for _ in range(3):
        projection.pod("MODIFIED", world.pod("b", "node-1", "failed"))
    diff = projection.take()
    assert diff is not None
    assert set(diff["set"]) == {"pod:uid-b", "cluster"}
    assert diff["del"] == []


def test_deleted_pod_is_told_and_forgotten(world: World) -> None:
    """A pod that goes leaves its node's sums and the items."""
    projection = Projection()
    projection.node("ADDED", world.node("node-1"))
    projection.pod("ADDED", world.pod("a", "node-1"))
    assert projection.items["node:node-1"]["cpu"] == 0.025
    projection.take()
    projection.pod("DELETED", world.pod("a", "node-1"))
    diff = projection.take()
    assert diff is not None
    assert diff["del"] == ["pod:uid-a"]
    assert projection.items["node:node-1"]["cpu"] == 0


def test_order_of_arrival_is_kept(world: World) -> None:
    """A pod keeps its order when it changes, so its tile keeps its place."""
    projection = Projection()
    projection.pod("ADDED", world.pod("a"))
    projection.pod("ADDED", world.pod("b"))
    projection.pod("MODIFIED", world.pod("a", "node-1"))
    assert [projection.items[f"pod:uid-{n}"]["order"] for n in "ab"] == [1, 2]


def test_slice_before_its_service(world: World) -> None:
    """Events may come in any order: the Service finds the slice that came before it."""
    projection = Projection()
    projection.slice("ADDED", world.slice("web", [world.pod("a", "node-1")]))
    projection.service("ADDED", world.service("web"))
    assert projection.items["svc:uid-web"]["pods"] == ["uid-a"]


def test_kubelet_state_survives_node_events(world: World) -> None:
    """What this process knows of a kubelet is not lost when the node's object changes."""
    projection = Projection()
    projection.node("ADDED", world.node("node-1"))
    projection.kubelet("node-1", "stopped")
    projection.node("MODIFIED", world.node("node-1", ready=False))
    assert (projection.items["node:node-1"]["kubelet"], projection.items["node:node-1"]["ready"]) == ("stopped", False)


def test_item_of_an_unchanged_object_is_the_same_object(world: World) -> None:
    """An event that changes nothing drawable costs no message."""
    projection = Projection()
    pod = world.pod("a", "node-1")
    projection.pod("ADDED", pod)
    before = projection.items["pod:uid-a"]
    projection.take()
    projection.pod("MODIFIED", pod)
    assert projection.items["pod:uid-a"] is before
    assert projection.take() is None


def test_view_model_of_objects(world: World) -> None:
    """The whole picture follows from the objects alone."""
    items = view_model({"nodes": [world.node("node-1")], "pods": [world.pod("a", "node-1")],
                        "services": [world.service("web")]}, "lab")
    assert set(items) == {"cluster", "node:node-1", "pod:uid-a", "svc:uid-web"}
