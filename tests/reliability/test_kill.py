"""What is left behind: nothing after a stop, no process after a kill -9, nothing at all after the next start."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kubelab import host
from kubelab.magics import kubectl_path

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "IMAGE"}, {name: side, image: "busybox:1.36", command: [sleep, "1000"]}]}
"""


class Up:
    """`kubelab up` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.kubeconfig = folder / f"kubeconfig-{secrets.token_hex(3)}"
        command = [sys.executable, "-m", "kubelab", "up", "--quiet", "--kubeconfig", str(self.kubeconfig), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()
        assert self.ready.startswith("ready in"), self.ready

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        done = subprocess.run([kubectl_path(), *words], input=stdin, capture_output=True, text=True, timeout=90,
                              env=os.environ | {"KUBECONFIG": str(self.kubeconfig)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(40)


def _until(check: Callable[[], bool], within_s: float, what: str) -> None:
    end = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def _with_pods(folder: Path, *options: str, image: str = "nginx:1.28") -> Up:
    up = Up(folder, *options)
    up.kubectl("apply", "-f", "-", stdin=WEB.replace("IMAGE", image))
    up.kubectl("rollout", "status", "deployment/web", "--timeout=80s")
    return up


def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM: exit code 0, every container's process gone at once, the state folder too."""
    before = set(host._base().iterdir())
    up = _with_pods(tmp_path)
    family = up.family()
    assert len(family) >= 6  # three pods with two containers each
    up.end()
    assert up.process.returncode == 0
    assert _alive(family) == []
    assert {p for p in set(host._base().iterdir()) - before if p.is_dir()} == set()


def test_a_kill_leaves_no_process(tmp_path: Path) -> None:
    """kill -9: every container's process is gone within 2 s, and the next start frees the rest."""
    up = _with_pods(tmp_path)
    family = up.family()
    up.end(signal.SIGKILL)
    _until(lambda: not _alive(family), 2.0, "the containers' end")
    dead = list(host.dead_states())
    assert dead
    again = Up(tmp_path, "--nodes", "1")
    assert not any(path.exists() for path in dead)
    again.end()


@pytest.mark.docker
def test_a_kill_leaves_nothing_in_docker_after_the_next_start(tmp_path: Path) -> None:
    """kill -9 with runtime docker: containers, network and route are gone after the next start."""
    docker = pytest.importorskip("docker")
    from tests.images import build

    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    build(client)
    up = _with_pods(tmp_path, "--runtime", "docker")
    assert client.containers.list(filters={"label": "kubelab.cluster"})
    up.end(signal.SIGKILL)
    again = Up(tmp_path, "--nodes", "1")
    assert client.containers.list(all=True, filters={"label": "kubelab.cluster"}) == []
    assert client.networks.list(filters={"label": "kubelab.cluster"}) == []
    again.end()
    client.close()


def test_a_graceful_stop_leaves_nothing_in_docker(tmp_path: Path) -> None:
    """SIGTERM with runtime docker: no container and no network is left at once."""
    docker = pytest.importorskip("docker")
    from tests.images import build

    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    build(client)
    up = _with_pods(tmp_path, "--runtime", "docker", "--nodes", "1")
    up.end()
    assert client.containers.list(all=True, filters={"label": "kubelab.cluster"}) == []
    assert client.networks.list(filters={"label": "kubelab.cluster"}) == []
    client.close()


def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    """kill -9 in a loop of writes, five times over: what was acknowledged is there after the restart."""
    data = tmp_path / "data"
    acknowledged: dict[str, str] = {}
    for round_ in range(5):
        up = Up(tmp_path, "--nodes", "0", "--data-dir", str(data))
        found = json.loads(up.kubectl("get", "configmaps", "-o", "json"))["items"]
        kept = {item["metadata"]["name"]: item["data"].get("value", "") for item in found if "data" in item}
        assert acknowledged.items() <= kept.items()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(up.kubeconfig), str(round_)],
                                  stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(60 + 17 * round_):
            name = writer.stdout.readline().strip()
            acknowledged[name] = name
        up.end(signal.SIGKILL)
        for line in writer.stdout:  # what was acknowledged between the last line read and the kill
            acknowledged[line.strip()] = line.strip()
        writer.wait(30)
    assert len(acknowledged) >= 300


WRITER = """
import asyncio, itertools, sys
from pathlib import Path
from kubelab.client import kubeconfig
from kubelab.units import ConfigMap

async def main():
    client = kubeconfig.connect(Path(sys.argv[1]))
    async def write(lane):
        for number in itertools.count():
            name = f"w-{sys.argv[2]}-{lane}-{number}"
            await client.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                                               "data": {"value": name}}, "default")
            print(name, flush=True)
    try:
        await asyncio.gather(*(write(lane) for lane in range(4)))
    except Exception:
        await client.close()

asyncio.run(main())
"""
