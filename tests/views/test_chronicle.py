"""What happened, revision by revision."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.views import chronicle
from kubelab.views.chronicle import Chronicle, sentence_of, stamp
from tests.views.world import World


def deployment(world: World, replicas: int = 1, ready: int = 0, **status: Any) -> dict[str, Any]:
    return {"metadata": world.meta("web"), "spec": {"replicas": replicas}, "status": {"readyReplicas": ready, **status}}


def test_changes_in_plain_words(world: World) -> None:
    """One sentence for each change, from the two versions alone."""
    new, bound, ready = world.pod("a"), world.pod("a", "node-1", "creating"), world.pod("a", "node-1")
    assert [sentence_of("Pod", *pair)[0] for pair in [
        (None, new), (new, bound), (bound, ready), (ready, world.pod("a", "node-1", "unready")),
        (bound, world.pod("a", "node-1", "unready")), (ready, world.pod("a", "node-1", "succeeded")),
        (ready, world.pod("a", "node-1", gone=True)), (ready, None)]] == [
        "Pod a is created", "Pod a is placed on node-1", "Pod a is ready", "Pod a is no longer ready",
        "Pod a has its containers running", "Pod a is no longer ready", "Pod a is asked to end", "Pod a is gone"]
    assert sentence_of("Pod", ready, world.pod("a", "node-1", "failed")) == ("a fails", "broke")
    assert sentence_of("Deployment", deployment(world), deployment(world, 3))[0] == "scale web 1→3"
    assert sentence_of("Deployment", deployment(world), deployment(world, ready=1))[0] == \
        "Deployment web has 1 of 1 ready"
    changed = sentence_of("Deployment", deployment(world), deployment(world, x=1))[0]
    assert changed == "Deployment web changes its status"
    behind = world.slice("web", [ready]), world.slice("web", [])
    assert sentence_of("EndpointSlice", *behind)[0] == "EndpointSlice web-x1 leads to 0 ready pods"


def test_a_picture_is_true_from_change_to_change(world: World) -> None:
    """Between two changes nothing differs; what came last is true as far as all has been heard of."""
    told = Chronicle()
    told.complete_from = 100
    pods = [world.pod("a"), world.pod("b")]  # revisions 101 and 102
    world.revision = 110
    last = world.pod("c")
    for pod in (last, *pods):  # read back in any order
        told.note("Pod", None, pod, 7.0)
    assert [told.span(r, 115) for r in (99, 100, 101, 104, 111, 120)] == [
        (99, 99), (100, 100), (101, 101), (102, 110), (111, 115), (111, 120)]
    assert told.neighbours(102) == (101, 111) and told.neighbours(101) == (0, 102) and told.neighbours(111) == (102, 0)


def test_a_revision_is_told_once(world: World) -> None:
    """The first account stays; what is not drawn is told by who wrote it, and its time by what came before."""
    told = Chronicle()
    pod = world.pod("a")
    first = told.note("Pod", None, pod, 7.0)
    assert told.note("Pod", pod, pod, 9.0) is first
    assert told.told(101) == {"at": 7.0, "words": "Pod a is created", "mood": "did",
                              "of": {"kind": "Pod", "ns": "default", "name": "a"}}
    told.wrote(105, 8.0, "update", "leases/kube-node-lease/node-1", "system:node:node-1")
    lease = {"kind": "Lease", "ns": "kube-node-lease", "name": "node-1"}
    assert told.told(105) == {"at": 8.0, "words": "Lease node-1: update, by system:node:node-1", "mood": "did",
                              "of": lease}
    assert [h.revision for h in told.changes_of(lease)] == [105]
    told.wrote(107, 8.0, "create", "widgets/default/x", "me")
    assert (told.told(107)["words"], told.told(107)["of"]) == ("widgets x: create, by me", None)
    assert told.told(106) == {"at": 7.0, "words": "", "mood": "did", "of": None}
    assert [h.revision for h in told.changes_of({"kind": "Pod", "ns": "default", "name": "a"})] == [101]


def test_the_oldest_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chronicle is bounded, and says from where on it is complete."""
    monkeypatch.setattr(chronicle, "KEPT", 10)
    told = Chronicle()
    for i in range(15):
        told.note("Pod", None, world.pod(f"p{i}"), 1.0)
        told.wrote(i, 1.0, "update", "pods/default/x", "me")
    assert told.complete_from == 106 and told.happening(105) is None and told.happening(106) is not None
    assert told.span(104, 115) == (104, 104) and told.told(3)["words"] == ""


def test_when_an_object_says_it_was_written(world: World) -> None:
    """The newest of its own times."""
    pod = world.pod("a")
    assert stamp(pod) == 0
    pod["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z"
    pod["metadata"]["managedFields"] = [{"time": "2026-01-02T03:04:07Z"}]
    assert stamp(pod) % 60 == 7
