"""One cluster per runtime for all end-to-end tests; every pod of `manifests/` is applied at once, before the first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster
from tests.images import build

MANIFESTS = Path(__file__).with_name("manifests")
Pod = dict[str, Any]


def until(check: Callable[[], Any], what: str, timeout_s: float = 30) -> Any:
    """Return what `check` returns once it is true: for things that no watch tells."""
    end = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.05)
    return found


def prepared(runtime: str) -> None:
    """Have what the runtime needs, or skip."""
    if runtime != "docker":
        return
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    build(client)
    client.close()


@pytest.fixture(scope="package", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    prepared(request.param)
    with Cluster(nodes=2, runtime=request.param, quiet=True) as made:
        made.apply(MANIFESTS)
        yield made


def status_of(pod: Pod, container: str) -> dict[str, Any]:
    """Return a container's status by name, of an init container too; {} before there is one."""
    status = pod.get("status") or {}
    every = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return next((c for c in every if c["name"] == container), {})


def waits_for(reason: str, container: str = "main") -> Callable[[Pod], bool]:
    """Return a test for `wait`: the container waits for this reason."""
    return lambda pod: status_of(pod, container).get("state", {}).get("waiting", {}).get("reason") == reason


def ended(phase: str) -> Callable[[Pod], bool]:
    return lambda pod: bool(pod["status"].get("phase") == phase)


def events(cluster: Cluster, pod: str) -> dict[str, str]:
    """Return the pod's newest message for each reason of an Event."""
    return {event["reason"]: event["message"] for event in cluster.events(f"pod/{pod}")}
