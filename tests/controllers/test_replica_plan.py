"""The decisions of a ReplicaSet, on pods written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.control_plane.controllers.pods import available_in, deletion_order
from kubelab.control_plane.controllers.replica_plan import BURST, Plan, plan_replicas, pod_from, status_of, tally
from kubelab.machinery.clock import timestamp

NOW = 1_800_000_000.0


def pod(name: str, *, node: str = "n1", phase: str = "Running", ready_s: float | None = 100.0, age_s: float = 200.0,
        cost: str = "", restarts: int = 0, deleted: bool = False, labels: dict[str, str] | None = None) -> Any:
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels or {"a": "b"},
                            "creationTimestamp": timestamp(NOW - age_s)}
    if cost:
        meta["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    if deleted:
        meta["deletionTimestamp"] = timestamp(NOW)
    conditions = [] if ready_s is None else [{"type": "Ready", "status": "True",
                                              "lastTransitionTime": timestamp(NOW - ready_s)}]
    return {"metadata": meta, "spec": {"nodeName": node} if node else {},
            "status": {"phase": phase, "conditions": conditions, "containerStatuses": [{"restartCount": restarts}]}}


@pytest.mark.parametrize(("worse", "better"), [
    ({"node": ""}, {"node": "n1", "phase": "Pending", "ready_s": None}),
    ({"phase": "Pending"}, {"phase": "Unknown"}),
    ({"phase": "Unknown"}, {"phase": "Running"}),
    ({"ready_s": None}, {}),
    ({"cost": "-1"}, {}),
    ({}, {"cost": "5"}),
    ({"ready_s": 10.0}, {"ready_s": 100.0}),
    ({"restarts": 3}, {}),
    ({"age_s": 100.0, "ready_s": 90.0}, {"age_s": 5000.0, "ready_s": 90.0}),
])
def test_which_pod_is_given_up_first(worse: dict[str, Any], better: dict[str, Any]) -> None:
    """Each rule of the preference order decides when all before it are equal."""
    one, other = pod("one", **worse), pod("other", **better)
    assert deletion_order([other, one], NOW)[0] is one


def test_doubled_up_pods_go_before_lonely_ones() -> None:
    """Of pods that are otherwise alike, those sharing a node with siblings go first."""
    pods = [pod("a", node="n1"), pod("b", node="n2"), pod("c", node="n2")]
    assert [p["metadata"]["name"] for p in deletion_order(pods, NOW, pods)] == ["b", "c", "a"]


def test_the_plan_closes_the_gap() -> None:
    """Missing pods are made, surplus pods given up, finished and dying pods do not count; 500 at most at once."""
    pods = [pod("a"), pod("b"), pod("done", phase="Succeeded"), pod("dying", deleted=True)]
    assert plan_replicas(3, pods, NOW) == Plan(create=1)
    assert plan_replicas(2, pods, NOW) == Plan()
    assert len(plan_replicas(0, pods, NOW).delete) == 2
    assert plan_replicas(2000, pods, NOW).create == BURST


def test_counts_and_the_next_availability() -> None:
    """minReadySeconds holds pods back from available, and says when to look again."""
    pods = [pod("old", ready_s=60.0), pod("new", ready_s=5.0), pod("starting", ready_s=None),
            pod("other", labels={"a": "b", "x": "y"}), pod("dying", deleted=True)]
    found = tally(pods, {"a": "b", "x": "y"}, 30, NOW)
    assert (found.replicas, found.fully_labeled, found.ready, found.available, found.terminating) == (4, 1, 3, 2, 1)
    assert found.next_s == 25.0
    assert available_in(pods[1], 30, NOW) == 25.0


def test_the_status_is_written_as_recorded() -> None:
    """An empty set reports zero replicas and no other counts; a failure becomes a condition, and goes again."""
    owner: Any = {"metadata": {"generation": 4}, "status": {}}
    nothing = tally([], {}, 0, NOW)
    assert status_of(owner, nothing, None, NOW) == {"replicas": 0, "terminatingReplicas": 0, "observedGeneration": 4}
    failed = status_of(owner, nothing, ("FailedCreate", "no"), NOW)
    assert failed["conditions"] == [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                                     "message": "no", "lastTransitionTime": timestamp(NOW)}]
    assert "conditions" not in status_of({**owner, "status": failed}, nothing, None, NOW)
    assert status_of({**owner, "status": failed}, nothing, ("FailedCreate", "still no"), NOW) == failed


def test_a_pod_is_made_from_the_template() -> None:
    """The pod has the template's labels and spec, a generated name and its controller's reference."""
    owner: Any = {"metadata": {"name": "web-1", "namespace": "default"}}
    made = pod_from(owner, {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}, {"uid": "u"})
    assert made == {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}, "metadata": {
        "generateName": "web-1-", "namespace": "default", "labels": {"a": "b"}, "ownerReferences": [{"uid": "u"}]}}
