"""Preemption: who has to go, from which node, and that trying leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.control_plane.scheduler.cycle import Cycle, FitError
from kubelab.control_plane.scheduler.plugins import default_plugins
from kubelab.control_plane.scheduler.preemption import Candidate, find, waits_for_victims


@pytest.fixture
def put(pod: Any) -> Any:
    """Place a pod on a node of a cache."""

    def place(cache: Any, name: str, node: str, priority: int, cpu: str = "2", started: str = "", **labels: str) -> Any:
        made = pod(name, requests={"cpu": cpu}, node=node, priority=priority, labels=labels)
        made.obj["status"] = {"startTime": started} if started else {}
        cache.set_pod(made)
        return made

    return place


def choose(cache: Any, pod: Any, budgets: Any = ()) -> Candidate | None:
    cycle = Cycle(default_plugins())
    with pytest.raises(FitError) as error:
        cycle.place(pod, cache)
    before = {name: (node.used_cpu_m, set(node.pods)) for name, node in cache.nodes.items()}, set(cache.assumed)
    found = find(pod, cache, cycle.plugins, error.value.rejected, budgets)
    assert before == ({name: (node.used_cpu_m, set(node.pods)) for name, node in cache.nodes.items()},
                      set(cache.assumed))
    return found


def names(found: Candidate | None) -> list[str]:
    assert found is not None
    return [victim.name for victim in found.victims]


def test_the_least_important_go_and_no_more_than_needed(cluster: Any, node: Any, pod: Any, put: Any) -> None:
    """Of three lower pods on a full node only those go whose room is needed, the lowest first."""
    cache = cluster(node("n1", cpu="6"))
    for name, priority in (("low", 1), ("middle", 2), ("equal", 5)):
        put(cache, name, "n1", priority)
    assert names(choose(cache, pod("new", requests={"cpu": "2"}, priority=5))) == ["low"]
    assert names(choose(cache, pod("new", requests={"cpu": "3"}, priority=5))) == ["middle", "low"]
    assert choose(cache, pod("new", requests={"cpu": "5"}, priority=5)) is None
    assert choose(cache, pod("new", requests={"cpu": "2"}, priority=1)) is None
    assert choose(cache, pod("new", requests={"cpu": "2"}, priority=5, preemptionPolicy="Never")) is None


def test_the_node_where_it_costs_least(cluster: Any, node: Any, pod: Any, put: Any) -> None:
    """Lower victims before higher ones, fewer before more, younger before older."""
    new = {"requests": {"cpu": "4"}, "priority": 9}
    cache = cluster(node("n1"), node("n2"))
    put(cache, "high", "n1", 3, "4")
    put(cache, "low", "n2", 2, "4")
    assert names(choose(cache, pod("new", **new))) == ["low"]
    cache = cluster(node("n1"), node("n2"))
    put(cache, "old", "n1", 2, "4", "2026-01-01T00:00:00Z")
    put(cache, "young", "n2", 2, "4", "2026-01-02T00:00:00Z")
    assert names(choose(cache, pod("new", **new))) == ["young"]
    cache = cluster(node("n1"), node("n2"))
    for name in ("a", "b"):
        put(cache, name, "n1", 2)
    put(cache, "one", "n2", 2, "4")
    assert names(choose(cache, pod("new", **new))) == ["one"]


def test_budgets_are_spared_where_possible(cluster: Any, node: Any, pod: Any, put: Any) -> None:
    """A pod whose budget allows nothing more stays when another can go instead, even a more important one."""
    cache = cluster(node("n1"))
    put(cache, "kept", "n1", 1, app="db")
    put(cache, "free", "n1", 2)
    budget = {"metadata": {"namespace": "default", "name": "b"}, "status": {"disruptionsAllowed": 0},
              "spec": {"selector": {"matchLabels": {"app": "db"}}}}
    assert names(choose(cache, pod("new", requests={"cpu": "2"}, priority=9), [budget])) == ["free"]
    found = choose(cache, pod("new", requests={"cpu": "4"}, priority=9), [budget])
    assert names(found) == ["free", "kept"] and found is not None and found.broken == 1


def test_the_room_is_kept_for_whom_it_was_made(cluster: Any, node: Any, pod: Any, put: Any) -> None:
    """A lesser pod does not fit beside a nominated one; an equal or higher one is not held back by a lower."""
    cache = cluster(node("n1"))
    first = pod("first", requests={"cpu": "3"}, priority=5)
    cache.nominated[first.uid] = (first, "n1")
    with pytest.raises(FitError):
        Cycle(default_plugins()).place(pod("lesser", requests={"cpu": "2"}, priority=1), cache)
    assert Cycle(default_plugins()).place(pod("higher", requests={"cpu": "2"}, priority=6), cache) == "n1"
    assert Cycle(default_plugins()).place(first, cache) == "n1" and not cache.nodes["n1"].pods
    leaving = put(cache, "leaving", "n1", 1)
    assert not waits_for_victims(first, cache)
    leaving.terminating = True
    assert waits_for_victims(first, cache)
