"""The scheduling cycle: who fits where, and the words for who does not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kubelab.control_plane.scheduler.cycle import Cycle, FitError, explain, sample_size
from kubelab.control_plane.scheduler.framework import Rejection
from kubelab.control_plane.scheduler.plugins import default_plugins
from kubelab.machinery.selectors import from_label_selector

HELPLESS = ("no new claims to deallocate, preemption: 0/2 nodes are available: "
            "2 Preemption is not helpful for scheduling.")
NO_VICTIMS = ("no new claims to deallocate, preemption: 0/2 nodes are available: "
              "2 No preemption victims found for incoming pod.")


def refusal(cycle: Cycle, pod: Any, cache: Any) -> str:
    with pytest.raises(FitError) as error:
        cycle.place(pod, cache)
    return error.value.message


def anti(labels: dict[str, str]) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def near(labels: dict[str, str]) -> dict[str, Any]:
    return {"podAffinity": anti(labels)["podAntiAffinity"]}


@pytest.mark.parametrize(("kwargs", "message"), [
    ({"requests": {"cpu": "100"}}, f"2 Insufficient cpu. {HELPLESS}"),
    ({"requests": {"cpu": "100", "memory": "1Ti"}}, f"2 Insufficient cpu, 2 Insufficient memory. {HELPLESS}"),
    ({"nodeSelector": {"disk": "ssd"}}, f"2 node(s) didn't match Pod's node affinity/selector. {HELPLESS}"),
    ({"affinity": near({"no": "body"})}, f"2 node(s) didn't match pod affinity rules. {HELPLESS}"),
    ({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "nokey", "whenUnsatisfiable": "DoNotSchedule",
                                     "labelSelector": {}}]},
     f"2 node(s) didn't match pod topology spread constraints (missing required label). {HELPLESS}"),
    ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "nope"}}]},
     'persistentvolumeclaim "nope" not found. not found'),
    ({"preemptionPolicy": "Never", "requests": {"cpu": "100"}},
     "2 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."),
])
def test_refusals_are_worded_as_recorded(cluster: Any, pod: Any, kwargs: dict[str, Any], message: str) -> None:
    """What does not fit is told in the words that Kubernetes 1.36 uses."""
    assert refusal(Cycle(default_plugins()), pod(**kwargs), cluster()) == f"0/2 nodes are available: {message}"


@pytest.mark.parametrize(("kwargs", "message"), [
    ({"labels": {"k": "v"}, "affinity": anti({"k": "v"})}, "2 node(s) didn't match pod anti-affinity rules. "),
    ({"ports": [{"containerPort": 80, "hostPort": 7000}]},
     "2 node(s) didn't have free ports for the requested pod ports. "),
    ({"requests": {"cpu": "3"}}, "2 Insufficient cpu. "),
])
def test_what_others_occupy_leaves_no_victims(cluster: Any, pod: Any, kwargs: dict[str, Any], message: str) -> None:
    """A node that is only full could be freed by preemption, so the message says that no victim was found."""
    cache, cycle = cluster(), Cycle(default_plugins())
    placed = []
    for i in range(2):
        first = pod(f"p{i}", **kwargs)
        placed.append(cycle.place(first, cache))
        cache.assume(first, placed[-1])
    assert sorted(placed) == ["n1", "n2"]
    assert refusal(cycle, pod("late", **kwargs), cache) == f"0/2 nodes are available: {message}{NO_VICTIMS}"


def test_taints_and_cordons(cluster: Any, pod: Any, node: Any) -> None:
    """A taint and a cordon are counted apart, each node by the first plugin that refuses it."""
    cache = cluster(node("n1", taints=[{"key": "team", "value": "red", "effect": "NoSchedule"}]),
                    node("n2", unschedulable=True))
    cycle = Cycle(default_plugins())
    assert refusal(cycle, pod(), cache) == (
        f"0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. {HELPLESS}")
    assert cycle.place(pod(tolerations=[{"key": "team", "operator": "Exists"}]), cache) == "n1"


def test_existing_anti_affinity_keeps_newcomers_away(cluster: Any, pod: Any) -> None:
    """A pod that wants to be alone keeps later pods off its node, though they ask for nothing."""
    cache, cycle = cluster(), Cycle(default_plugins())
    cache.set_pod(pod("hermit", affinity=anti({"app": "web"}), node="n1"))
    assert cycle.place(pod("w", labels={"app": "web"}), cache) == "n2"


def test_first_of_a_group_that_wants_itself_near(cluster: Any, pod: Any) -> None:
    """Required affinity to oneself lets the first pod in and gathers the rest around it."""
    cache, cycle = cluster(), Cycle(default_plugins())
    names = set()
    for i in range(3):
        one = pod(f"p{i}", labels={"k": "v"}, affinity=near({"k": "v"}))
        names.add(cycle.place(one, cache))
        cache.assume(one, one.node_name or next(iter(names)))
    assert len(names) == 1


def test_hard_spread_limits_the_skew(cluster: Any, pod: Any) -> None:
    """DoNotSchedule with maxSkew 1 alternates between the hosts."""
    cache, cycle = cluster(), Cycle(default_plugins())
    constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
                  "labelSelector": {"matchLabels": {"k": "v"}}}
    for i in range(6):
        one = pod(f"p{i}", labels={"k": "v"}, topologySpreadConstraints=[constraint])
        cache.assume(one, cycle.place(one, cache))
    assert [len(n.pods) for n in cache.node_list] == [3, 3]


def test_replicas_spread_by_default(cluster: Any, pod: Any, node: Any) -> None:
    """Pods of one selector are spread over the nodes although nobody asked for it."""
    cache = cluster(*(node(f"n{i}") for i in range(4)))
    cycle = Cycle(default_plugins(lambda p: from_label_selector({"matchLabels": {"app": "web"}})))
    for i in range(8):
        one = pod(f"p{i}", labels={"app": "web"})
        cache.assume(one, cycle.place(one, cache))
    assert [len(n.pods) for n in cache.node_list] == [2, 2, 2, 2]


def test_preferred_affinity_and_soft_taints_decide(cluster: Any, pod: Any, node: Any) -> None:
    """Preferred node affinity draws a pod, a PreferNoSchedule taint pushes it away."""
    cache = cluster(node("n1"), node("n2", labels={"disk": "ssd"}))
    term = {"weight": 50, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert Cycle(default_plugins()).place(pod(affinity=affinity), cache) == "n2"
    cache = cluster(node("n1"), node("n2", taints=[{"key": "a", "effect": "PreferNoSchedule"}]))
    assert Cycle(default_plugins()).place(pod(), cache) == "n1"


@pytest.mark.parametrize(("nodes", "sample"), [(3, 3), (99, 99), (100, 100), (250, 120), (1000, 420), (5000, 500)])
def test_sample_size_adapts(nodes: int, sample: int) -> None:
    """The larger the cluster, the smaller the share of nodes that is looked at, never below 100 nodes or 5 %."""
    assert sample_size(nodes) == sample


def test_mixed_verdicts_are_sorted() -> None:
    """Nodes that preemption could free and nodes that it could not are counted apart."""
    text = explain(3, [Rejection(("a",)), Rejection(("b",), helpless=True), Rejection(("b",), helpless=True)])
    assert text == ("0/3 nodes are available: 1 a, 2 b. no new claims to deallocate, preemption: 0/3 nodes are "
                    "available: 1 No preemption victims found for incoming pod, "
                    "2 Preemption is not helpful for scheduling.")


def test_no_nodes(cluster: Any, pod: Any) -> None:
    """Without any node the message says so."""
    cache = cluster()
    cache.remove_node("n1")
    cache.remove_node("n2")
    assert refusal(Cycle(default_plugins()), pod(), cache) == "no nodes available to schedule pods"


def test_a_thousand_pods_on_a_hundred_nodes_decide_fast(cluster: Any, pod: Any, node: Any) -> None:
    """Deciding takes well under a millisecond a pod, and the pods are spread evenly."""
    cache = cluster(*(node(f"n{i}") for i in range(100)))
    cycle = Cycle(default_plugins(lambda p: from_label_selector({"matchLabels": {"app": "web"}})))
    pods = [pod(f"p{i}", labels={"app": "web"}, requests={"cpu": "10m"}) for i in range(1000)]
    began = time.process_time()
    for one in pods:
        cache.assume(one, cycle.place(one, cache))
    spent_s = time.process_time() - began
    assert {len(n.pods) for n in cache.node_list} == {10}
    assert spent_s < 2.0, f"{1000 / spent_s:.0f} pods/s"
    print(f"{1000 / spent_s:.0f} pods/s")
