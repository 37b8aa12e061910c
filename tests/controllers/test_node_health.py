"""Silent nodes: conditions, taints, and how many may be emptied."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.control_plane.controllers.node_health import (
    NOT_READY,
    UNREACHABLE,
    eviction_rate,
    next_taints,
    silent_conditions,
    wanted_taints,
)
from kubelab.control_plane.controllers.taint_eviction import leaves_in

NOW = 1_800_000_000.0


def node(ready: str | None, taints: list[Any] | None = None, **spec: Any) -> Any:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready, "reason": "KubeletReady"}]
    return {"metadata": {"name": "n"}, "spec": {"taints": taints or [], **spec}, "status": {"conditions": conditions}}


def test_a_silent_node_becomes_unknown() -> None:
    """Every condition of a silent node turns Unknown with the recorded words; one that never spoke is worded apart."""
    found = {c["type"]: c for c in silent_conditions(node("True"), NOW) or []}
    assert set(found) == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    assert (found["Ready"]["status"], found["Ready"]["reason"], found["Ready"]["message"]) == (
        "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    assert found["DiskPressure"]["reason"] == "NodeStatusNeverUpdated"
    again: Any = {"metadata": {}, "status": {"conditions": list(found.values())}}
    assert silent_conditions(again, NOW) is None


def test_taints_follow_the_conditions() -> None:
    """Not ready, unreachable and cordoned nodes get their taints, other taints stay."""
    assert wanted_taints(node("False")) == ({(NOT_READY, "NoSchedule")}, {(NOT_READY, "NoExecute")})
    assert wanted_taints(node("Unknown"))[1] == {(UNREACHABLE, "NoExecute")}
    assert wanted_taints(node("True", unschedulable=True))[0] == {("node.kubernetes.io/unschedulable", "NoSchedule")}
    mine = {"key": "team", "effect": "NoSchedule", "value": "red"}
    soft, hard = wanted_taints(node("Unknown"))
    tainted = next_taints(node("Unknown", [mine]), soft | hard, NOW) or []
    assert tainted[0] == mine and {t["effect"] for t in tainted[1:]} == {"NoSchedule", "NoExecute"}
    assert next_taints(node("Unknown", tainted), soft | hard, NOW) is None
    assert next_taints(node("True", tainted), set(), NOW) == [mine]


@pytest.mark.parametrize(("nodes", "down", "rate"), [
    (3, 1, 0.1), (3, 2, 0.1), (3, 3, 0.0), (1, 1, 0.0), (10, 6, 0.0), (10, 5, 0.1), (100, 60, 0.01)])
def test_a_cluster_that_is_mostly_gone_is_not_emptied(nodes: int, down: int, rate: float) -> None:
    """When most nodes are silent the fault is likelier in the network than in each of them."""
    assert eviction_rate(nodes, down, 0.1) == pytest.approx(rate)


@pytest.mark.parametrize(("tolerations", "seconds"), [
    ([], 0.0), ([{"operator": "Exists"}], None),
    ([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}], 300.0),
    ([{"operator": "Exists", "tolerationSeconds": 300}, {"key": UNREACHABLE, "operator": "Exists",
                                                         "tolerationSeconds": 5}], 5.0),
    ([{"key": "other", "operator": "Exists"}], 0.0)])
def test_how_long_a_pod_stays(tolerations: list[Any], seconds: float | None) -> None:
    """Not tolerated is at once, the shortest tolerationSeconds limits, no limit is for ever."""
    assert leaves_in([{"key": UNREACHABLE, "effect": "NoExecute"}], tolerations) == seconds
