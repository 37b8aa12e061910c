"""A cluster per runtime for the whole module, and the real kubectl on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubelab import Cluster
from kubelab.magics import kubectl_path
from tests.images import build


@dataclass
class Kubectl:
    """Runs the real kubectl against one cluster."""

    kubeconfig: Path
    runtime: str

    def __call__(self, *words: str, stdin: str | None = None, ok: bool = True, timeout_s: float = 60) -> str:
        """Return what it printed (standard error too when it is to fail)."""
        done = subprocess.run([kubectl_path(), *words], env=self.environment, input=stdin, capture_output=True,
                              text=True, timeout=timeout_s)
        said = f"kubectl {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert (done.returncode == 0) is ok, said
        return done.stdout if ok else done.stdout + done.stderr

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it in the background."""
        return subprocess.Popen([kubectl_path(), *words], env=self.environment, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "KUBECTL_KUBERC": "false"}


def until(check: Callable[[], object], what: str, timeout_s: float = 30) -> None:
    """Wait for a condition outside our own loop, where there is nothing to watch."""
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def kubectl(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    if request.param == "docker":
        docker = pytest.importorskip("docker")
        try:
            client = docker.from_env()
        except docker.errors.DockerException as error:
            pytest.skip(f"no Docker engine: {error}")
        build(client)
        client.close()
    with Cluster(nodes=2, runtime=request.param, quiet=True) as cluster:
        yield Kubectl(Path(cluster.kubeconfig), request.param)


__all__ = ["Kubectl", "sys", "until"]
