"""The exercise of consensus: alone, and on a store of three members with its whole night."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster
from kubelab.lab import Look, Result, exercise
from kubelab.machinery.yaml import load_all


@dataclass
class Says:
    """What a member says of itself."""

    name: str
    state: str = "running"
    leader: str = "m2"
    revision: int = 40


class HarbourLook(Look):
    """A stand-in for a cluster with this ledger, these members and so many cranes."""

    def __init__(self, members: list[Says], ledger: dict[str, Any], cranes: int = 3) -> None:
        self.says, self.ledger, self.cranes = members, ledger, cranes

    @property
    def members(self) -> list[Says]:
        return self.says

    def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        if resource == "configmaps":
            return self.ledger
        return {"spec": {"replicas": self.cranes}, "status": {"readyReplicas": self.cranes}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELAB_DATA", str(tmp_path))


def solved_ledger() -> dict[str, Any]:
    return load_all(exercise("07").solution())[0]


WELL = [Says("m0"), Says("m1"), Says("m2")]


def test_solution_passes() -> None:
    """One way that is right."""
    assert exercise("07").check_with(HarbourLook(WELL, solved_ledger())).ok


@pytest.mark.parametrize(("members", "failing"), [
    ([Says("m0"), Says("m1", "dead"), Says("m2")], [0]),
    ([Says("m0", leader="m0"), Says("m1"), Says("m2")], [0]),
    ([Says("m0", revision=39), Says("m1"), Says("m2")], [1]),
    ([Says("m0", leader=""), Says("m1", "dead", ""), Says("m2", leader="")], [0]),
])
def test_members_that_do_not_agree_are_named(members: list[Says], failing: list[int]) -> None:
    """Who is dead, cut off or behind fails its requirement, with what to do next."""
    result = exercise("07").check_with(HarbourLook(members, solved_ledger()))
    assert [i for i, r in enumerate(result.requirements) if not r.ok] == failing
    assert all(r.todo for r in result.requirements if not r.ok)


def test_half_solved_says_what_is_left() -> None:
    """A ship that is missing, cranes that are missing, a wrong name."""
    ledger = solved_ledger()
    del ledger["data"]["dolphin"]
    ledger["metadata"]["annotations"]["harbour/fell-behind"] = "m1"
    result = exercise("07").check_with(HarbourLook(WELL, ledger, cranes=1))
    assert [r.ok for r in result.requirements] == [True, True, False, False, False]
    assert "dolphin" in result.requirements[2].todo and "m1" in result.requirements[4].todo


def test_a_store_of_one_member_is_told_to_start_three() -> None:
    """The exercise says which cluster it needs, before and after its start."""
    with Cluster(nodes=0, quiet=True) as alone:
        ex = exercise("07")
        assert "etcd=3" in ex.check(alone).requirements[0].todo
        with pytest.raises(ValueError, match="etcd=3"):
            ex.start(alone)


def eventually(check: Any, within_s: float = 30) -> Result:
    deadline = time.monotonic() + within_s
    while not (result := check()).ok and time.monotonic() < deadline:
        time.sleep(0.1)
    return result


def test_the_hints_lead_through_the_night() -> None:
    """After the storm nothing is agreed on; healed and restarted, every ship is there."""
    with Cluster(nodes=1, etcd=3, quiet=True) as cluster:
        ex = exercise("07")
        ex.start(cluster)
        before = ex.check()
        assert [r.ok for r in before.requirements] == [False] and "m1" in before.requirements[0].todo
        m0, m1, m2 = cluster.etcd.members
        assert (m0.state, m1.state, m2.state) == ("running", "dead", "running") and m0.revision < m2.revision
        cluster.etcd.heal()
        cluster.etcd.restart(1)
        cluster.scale("deployment/crane", 3, namespace="harbour")
        cluster.patch("configmap/ledger", {"metadata": {"annotations": {"harbour/fell-behind": "m0"}}},
                      namespace="harbour")
        result = eventually(ex.check)
        assert result.ok, result
        assert ex.solved
