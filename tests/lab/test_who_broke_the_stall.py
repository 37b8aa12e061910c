"""The exercise of time travel: alone, and on a real cluster with its whole story."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster
from kubelab.lab import Look, Result, exercise
from kubelab.machinery.yaml import load_all

KEY = "/registry/deployments/market/stall"


class StallLook(Look):
    """A stand-in for a cluster that has this Deployment, and whose pods are all ready."""

    def __init__(self, manifests: str) -> None:
        self.stall = next((o for o in load_all(manifests) if o["kind"] == "Deployment"), None)

    def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        ready = self.stall["spec"]["replicas"] if self.stall else 0
        return self.stall and {**self.stall, "status": {"readyReplicas": ready}}

    def visit(self, service: str, port: int, namespace: str, path: str = "/") -> tuple[int, str]:
        return 200, "hello"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELAB_DATA", str(tmp_path))


def test_solution_passes() -> None:
    """One way that is right."""
    ex = exercise("06")
    assert ex.check_with(StallLook(ex.solution())).ok


@pytest.mark.parametrize(("right", "wrong", "failing"), [
    ("image: nginx", "image: ngnix:1.28", [0, 2]),
    ("quince-4417", "changeme", [0, 2]),
    ("            port: 80\n", "            port: 8080\n", [0, 2]),
    ("replicas: 4", "replicas: 2", [1, 2]),
    ("team: fruit", "team: other", [1, 2]),
    ("broken-by: night-shift", "broken-by: ben", [4]),
    ("market/broken-by: night-shift", "other: x", [4]),
])
def test_half_solved_says_what_is_left(right: str, wrong: str, failing: list[int]) -> None:
    """Each thing that is missing fails its requirement, with what to do next."""
    text = exercise("06").solution()
    assert right in text
    result = exercise("06").check_with(StallLook(text.replace(right, wrong)))
    assert [i for i, r in enumerate(result.requirements) if not r.ok] == failing
    assert all(r.todo for r in result.requirements if not r.ok)


def test_going_back_to_the_start_forgets_what_came_after() -> None:
    """Applying the first version again heals the container, and undoes the others' work."""
    ex = exercise("06")
    result = ex.check_with(StallLook((ex.folder / "start.yaml").read_text()))
    assert [r.ok for r in result.requirements] == [True, False, False, True, False]


def test_an_empty_cluster_is_told_to_start() -> None:
    """Where nothing was applied, the check says how to begin."""
    assert "ex.start(cluster)" in exercise("06").check_with(StallLook("")).requirements[0].todo


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, quiet=True) as running:
        yield running


def eventually(check: Any, within_s: float = 30) -> Result:
    ends = time.monotonic() + within_s
    while not (result := check()) and time.monotonic() < ends:
        time.sleep(0.25)
    return result


def test_history_finds_the_culprit_and_heals_the_stall(cluster: Cluster) -> None:
    """The way that the hints lead: the history names who changed the image; the version before has the template."""
    ex = exercise("06")
    ex.start(cluster)
    assert [r.ok for r in ex.check().requirements] == [False, True, False, True, False]
    history = cluster.etcd.history(KEY)
    assert [step.by for step in history if step.by in ("anna", "night-shift", "ben")] == ["anna", "night-shift", "ben"]
    broken = next(step for step in history if any(s == "+" and "image: ngnix" in text for s, text in step.diff))
    assert broken.by == "night-shift" and f"revision {broken.revision}  changed by night-shift" in repr(history)
    old = cluster.etcd.get(KEY, revision=broken.revision - 1).value
    cluster.patch("deployment/stall", {"spec": {"template": old["spec"]["template"]}}, namespace="market")
    cluster.patch("deployment/stall", {"metadata": {"annotations": {"market/broken-by": broken.by}}},
                  namespace="market")
    result = eventually(ex.check)
    assert result.ok, result
    assert ex.solved
