"""Marks on the time bar."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.views.marks import Mark, Marks, marks_of
from kubelab.views.model import Projection
from tests.views.world import World


def deployment(replicas: int = 3, image: str = "nginx", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "template": {"image": image}} | spec}


@pytest.mark.parametrize(("old", "new", "texts"), [
    (None, deployment(), ["apply web"]),
    (deployment(3), deployment(5), ["scale web 3→5"]),
    (deployment(), deployment(image="nginx:2"), ["rollout web"]),
    (deployment(), deployment(paused=True), ["pause web"]),
    (deployment(), None, ["delete web"]),
    (deployment(), deployment(), []),
])
def test_deployment_marks(old: Any, new: Any, texts: list[str]) -> None:
    """What somebody did to a Deployment is one mark in few words."""
    assert [m.text for m in marks_of("Deployment", old, new)] == texts


def test_lost_node_broke(world: World) -> None:
    """A node that stops reporting is a red mark, its return a plain one."""
    lost = marks_of("Node", world.node("n"), world.node("n", ready=False))
    back = marks_of("Node", world.node("n", ready=False), world.node("n"))
    assert [(m.text, m.mood) for m in lost + back] == [("n lost", "broke"), ("n is back", "did")]


def test_pod_that_starts_to_fail(world: World) -> None:
    """A container that fails makes one mark, when it fails, and none for pods that come and go."""
    fine, bad = world.pod("a", "n"), world.pod("a", "n", "failed", restarts=1)
    assert [m.text for m in marks_of("Pod", fine, bad)] == ["a fails"]
    assert marks_of("Pod", bad, bad) == []
    assert marks_of("Pod", None, fine) == marks_of("Pod", fine, None) == []


def test_the_bar_keeps_the_newest_and_one_of_many_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty pods that fail at once make one mark; beyond the bound the oldest goes."""
    monkeypatch.setattr("kubelab.views.marks.KEPT", 3)
    bar = Projection()
    marks = Marks(bar)
    for i in range(20):
        marks.put(Mark(f"web-{i} fails", "broke"), 5.0 + i / 100, 100 + i)
    assert [(i["text"], i["rev"]) for i in bar.items.values() if i["t"] == "mark"] == [("web-0 fails", 100)]
    for i in range(5):
        marks.put(Mark("scale web"), 9.0, 200 + i, {"kind": "Deployment", "ns": "default", "name": "web"})
    assert [i["rev"] for i in bar.items.values() if i["t"] == "mark"] == [202, 203, 204]
