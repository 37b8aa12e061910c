"""The arithmetic of rollouts."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.control_plane.controllers.deployment_sizes import (
    DESIRED,
    MAX,
    being_scaled,
    fenceposts,
    new_size,
    scaled_sizes,
    shrink_old,
)


def deployment(replicas: int, surge: Any = "25%", unavailable: Any = "25%") -> Any:
    return {"metadata": {"name": "d"}, "spec": {"replicas": replicas, "strategy": {
        "type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}}


def replica_set(name: str, size: int, available: int | None = None, desired: int | None = None, most: int = 0,
                created: str = "1") -> Any:
    notes = {} if desired is None else {DESIRED: str(desired), MAX: str(most)}
    return {"metadata": {"name": name, "annotations": notes, "creationTimestamp": created}, "spec": {"replicas": size},
            "status": {"availableReplicas": size if available is None else available}}


@pytest.mark.parametrize(("replicas", "surge", "unavailable", "expected"), [
    (3, "25%", "25%", (1, 0)), (4, "25%", "25%", (1, 1)), (10, "25%", "25%", (3, 2)), (1, 0, 0, (0, 1)),
    (10, 2, "50%", (2, 5)), (2, "0%", "1%", (0, 1))])
def test_surge_is_rounded_up_and_unavailable_down(replicas: int, surge: Any, unavailable: Any,
                                                  expected: tuple[int, int]) -> None:
    """And never are both zero: a rollout that may do nothing would never end."""
    assert fenceposts(deployment(replicas, surge, unavailable)) == expected


def test_the_new_set_grows_within_the_surge() -> None:
    """Old and new together stay below replicas + maxSurge."""
    d = deployment(10)
    assert new_size(d, [replica_set("old", 10)], 0) == 3
    assert new_size(d, [replica_set("old", 8), replica_set("new", 3)], 3) == 5
    assert new_size(d, [replica_set("old", 0), replica_set("new", 8)], 8) == 10
    assert new_size(d, [replica_set("old", 13)], 0) == 0


def test_old_sets_shrink_as_the_new_becomes_available() -> None:
    """Available pods stay above replicas - maxUnavailable; what is unhealthy goes first."""
    d = deployment(10)
    assert shrink_old(d, [replica_set("old", 10)], replica_set("new", 3, 0)) == {"old": 8}
    assert shrink_old(d, [replica_set("old", 8)], replica_set("new", 5, 0)) == {}
    assert shrink_old(d, [replica_set("old", 8)], replica_set("new", 5, 3)) == {"old": 5}
    sick, well = replica_set("sick", 4, 1, created="2"), replica_set("well", 6, created="1")
    assert shrink_old(d, [sick, well], replica_set("new", 0, 0)) == {"sick": 2}
    assert shrink_old(d, [replica_set("old", 1, 0)], replica_set("new", 10)) == {"old": 0}


def test_scaling_midway_keeps_the_proportions() -> None:
    """10 → 30 replicas during a rollout of 8 old and 5 new scales both, the remainder to the largest."""
    d = deployment(30, 3, 2)
    olds, new = [replica_set("old", 8, desired=10, most=13, created="1")], replica_set("new", 5, 2, 10, 13, "2")
    assert being_scaled(d, [*olds, new])
    sizes = scaled_sizes(d, new, olds)
    assert sizes == {"old": 20, "new": 13}
    assert sum(sizes.values()) == 33
    assert scaled_sizes(deployment(5, 3, 2), new, olds) == {"old": 5, "new": 3}


def test_a_single_active_set_takes_all() -> None:
    """With one ReplicaSet scaling is simple; a finished new one lets the old ones go."""
    d = deployment(7)
    assert scaled_sizes(d, replica_set("new", 3, desired=3), [replica_set("old", 0)]) == {"new": 7}
    assert scaled_sizes(d, replica_set("new", 7, 7, 7), [replica_set("old", 2, desired=9)]) == {"old": 0}
    assert scaled_sizes(d, None, []) == {}
    assert not being_scaled(d, [replica_set("new", 7, desired=7), replica_set("old", 0, desired=9)])
