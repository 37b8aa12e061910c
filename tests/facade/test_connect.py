"""`Cluster.connect` on another cluster's kubeconfig: the same verbs, over HTTPS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster, Deployment, Service
from kubelab.client.kubeconfig import KubeconfigError


@pytest.fixture(scope="module")
def far() -> Iterator[Cluster]:
    with Cluster(nodes=1, quiet=True, name="far") as made:
        yield made


@pytest.fixture
def near(far: Cluster) -> Iterator[Any]:
    with Cluster.connect(far.kubeconfig, context="far") as connected:
        connected.quiet = True
        yield connected


def until_answered(cluster: Cluster) -> None:
    """Wait until the server in the container listens, which without a probe is later than its pod is ready."""
    deadline = time.monotonic() + 20
    while True:
        try:
            cluster.http("http://web/")
            return
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_same_verbs(far: Cluster, near: Any) -> None:
    """apply, wait, get, logs, follow_logs, exec, http, scale, events and delete work from outside."""
    web = Deployment("web", image="nginx", replicas=1), Service("web", port=80)
    assert near.apply(*web) == ["deployment.apps/web created", "service/web created"]
    near.wait("deployment/web", "Available")
    until_answered(far)
    assert near.http("http://web/").text == far.http("http://web/").text
    assert "GET /" in near.logs("deployment/web")
    assert next(near.follow_logs("deployment/web"))
    assert near.exec("deployment/web", "cat; exit 2", stdin="x").exit_code == 2
    assert [n["metadata"]["name"] for n in near.get("nodes")] == ["node-1"]
    near.scale("deployment/web", 2)
    near.wait("deployment/web", lambda d: d["status"].get("readyReplicas") == 2)
    assert near.events("deployment/web") and "v1.36" in repr(near)
    near.delete(*web)
    near.wait("deployment/web", "Deleted")
    with pytest.raises(ConnectionError, match='services "web" not found'):
        near.http("http://web/")


def test_views_work_from_outside(near: Any) -> None:
    """The live view and the graph are clients of the API alone."""
    assert near.graph() is not None
    assert near._repr_mimebundle_()


def test_what_cannot_be_connected(far: Cluster, tmp_path: Path) -> None:
    """No file, no such context, nobody there: each says what to do."""
    with pytest.raises(KubeconfigError, match=r"no kubeconfig at .*no-file"):
        Cluster.connect(tmp_path / "no-file")
    with pytest.raises(KubeconfigError, match="kind-kind"):
        Cluster.connect(far.kubeconfig, context="kind-kind")
    dead = tmp_path / "dead"
    dead.write_text(Path(far.kubeconfig).read_text().replace(far.url, "https://127.0.0.1:1"))
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1"):
        Cluster.connect(dead)
