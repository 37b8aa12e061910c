"""The still drawing."""

from __future__ import annotations

from xml.etree import ElementTree

from kubelab.views.model import view_model
from kubelab.views.static_svg import draw
from tests.views.world import World


def test_picture_is_well_formed_and_tells_the_state(world: World) -> None:
    """It is plain SVG with every node, pod and Service, and a sentence for those who cannot see it."""
    pods = [world.pod("web-1", "node-1", owner="web-aa", hash_="aa"),
            world.pod("cart-1", "node-1", "failed", restarts=4), world.pod("late", "", "pending")]
    svg = draw(view_model({"nodes": [world.node("node-1"), world.node("node-2", ready=False)], "pods": pods,
                           "services": [world.service("web")]}, "lab"))
    root = ElementTree.fromstring(svg)
    words = " ".join(root.itertext())
    assert "script" not in svg
    for text in ("lab", "node-1", "NotReady", "web-aa", "✕", "no endpoints", "1 pod waiting"):
        assert text in words
    assert "2 nodes, 3 pods (1 ready, 1 pending, 1 failed)" in root.attrib["aria-label"]


def test_names_are_escaped(world: World) -> None:
    """A name from the cluster is never markup."""
    node = world.node("<script>alert(1)</script>")
    assert "<script" not in draw(view_model({"nodes": [node]}, "<x>"))


def test_hundred_nodes_stay_a_picture(world: World) -> None:
    """Of very many nodes the first dozen are drawn and the rest counted."""
    nodes = [world.node(f"node-{i}") for i in range(100)]
    assert "and 88 more nodes" in draw(view_model({"nodes": nodes}))
