"""The graph of owners, and the verdicts over dependents."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.ownership import Graph, Node, judge
from kubelab.units import find

POD = find("pods")


def node(uid: str, *owners: str, block: bool = True, finalizers: tuple[str, ...] = (), deleted: bool = False) -> Node:
    references = [{"uid": o, "name": o, "kind": "Pod", "blockOwnerDeletion": block} for o in owners]
    meta: dict[str, Any] = {"uid": uid, "name": uid, "namespace": "default", "ownerReferences": references,
                            "finalizers": list(finalizers)}
    if deleted:
        meta["deletionTimestamp"] = "now"
    return Node.of(POD, {"metadata": meta})


def graph(*nodes: Node) -> Graph:
    built = Graph()
    for one in nodes:
        built.put(one)
    return built


def test_dependents_follow_the_references() -> None:
    """Dependents are known even before their owner is, and move when the reference does."""
    built = graph(node("child", "parent"))
    assert [n.uid for n in built.dependents("parent")] == ["child"]
    built.put(node("child", "other"))
    assert not built.dependents("parent") and built.dependents("other")
    built.remove("child")
    assert not built.dependents("other")


def test_verdicts() -> None:
    """No owner left means delete, one left means keep and drop the dead reference."""
    child = node("child", "a", "b")
    built = graph(node("a"), node("b"), child)
    assert judge(child, [], built).action == "keep"
    assert judge(child, ["a"], built).drop == {"a"}
    assert (judge(child, ["a", "b"], built).action, judge(child, ["a", "b"], built).policy) == ("delete", "Background")
    assert judge(node("free"), [], built).action == "keep"


def test_an_owner_that_waits_takes_its_dependents_along() -> None:
    """Foreground deletion deletes dependents, in the foreground again where they have dependents of their own."""
    child, grandchild = node("child", "a"), node("grandchild", "child")
    built = graph(node("a", finalizers=("foregroundDeletion",), deleted=True), child, grandchild)
    assert judge(child, [], built).policy == "Foreground"
    built.remove("grandchild")
    assert judge(child, [], built).policy == "Background"
    assert child.blocks("a") and not node("x", "a", block=False).blocks("a")


def test_a_circle_is_broken_where_it_closes() -> None:
    """The last of a circle, whose own dependent waits already, is no longer to be waited for."""
    one, two, three = node("1", "3", finalizers=("foregroundDeletion",), deleted=True), node("2", "1"), node("3", "2")
    built = graph(one, two, three)
    assert not judge(two, [], built).unblock
    built.put(node("2", "1", finalizers=("foregroundDeletion",), deleted=True))
    assert judge(three, [], built).unblock and judge(three, [], built).policy == "Foreground"
