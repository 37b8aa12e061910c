"""The first exercise on a real cluster: processes, probes, proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster
from kubelab.lab import Result, cli_check, exercise


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, quiet=True) as running:
        yield running


def eventually(check: Any, done: Any, within_s: float = 30) -> Result:
    """Check until `done(result)`, as a learner who presses the button again; return the last result."""
    ends = time.monotonic() + within_s
    while not done(result := check()) and time.monotonic() < ends:
        time.sleep(0.25)
    return result


def test_from_broken_to_healed(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str]) -> None:
    """The start fails, a half-healed shop fails on what is left, the solution passes; here and on the CLI."""
    monkeypatch.setenv("KUBELAB_DATA", str(tmp_path))
    ex = exercise("01")
    ex.start(cluster)
    cluster.wait("pod/" + wait_for_pod(cluster), lambda pod: pod["status"]["phase"] == "Running", namespace="shop")
    assert [r.ok for r in ex.check().requirements] == [False, True, False, False]

    cluster.patch("service/shop", {"spec": {"selector": {"app": "shop"}}}, namespace="shop")
    cluster.scale("deployment/shop", 3, namespace="shop")
    assert not ex.check().ok, "the probe still knocks at the wrong port"
    assert cli_check("01", cluster.kubeconfig) == 1

    cluster.apply(ex.solution())
    result = eventually(ex.check, lambda r: r.ok)
    assert result.ok, result
    assert cli_check("heal-the-shop", cluster.kubeconfig) == 0
    assert "✓ http://shop.shop/ answers" in capsys.readouterr().out
    assert ex.solved


def wait_for_pod(cluster: Cluster) -> str:
    ends = time.monotonic() + 10
    while not (pods := cluster.get("pods", namespace="shop")) and time.monotonic() < ends:
        time.sleep(0.05)
    return str(pods[0]["metadata"]["name"])
