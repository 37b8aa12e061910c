"""Each component as a process of its own, against the API server that a kubeconfig names: the seams are honest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kubelab.magics import kubectl_path

pytestmark = pytest.mark.timeout(180)
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1.28"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: 80}]}
"""


@contextmanager
def component(*words: str, says: str) -> Iterator[subprocess.Popen[str]]:
    """Run `kubelab WORDS`, wait for its ready line, end it with SIGTERM and see it end well."""
    process = subprocess.Popen([sys.executable, "-m", "kubelab", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert says in line, f"kubelab {words[0]}: {line}"
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def kubectl(kubeconfig: Path, *words: str, stdin: str | None = None) -> str:
    done = subprocess.run([kubectl_path(), *words], input=stdin, capture_output=True, text=True, timeout=90,
                          env=os.environ | {"KUBECONFIG": str(kubeconfig)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_cluster_of_separate_processes(tmp_path: Path) -> None:
    """API server, controllers, scheduler, a node and the proxy, six processes that only know a kubeconfig."""
    config = tmp_path / "admin.conf"
    with ExitStack() as parts:
        parts.enter_context(component("apiserver", "--secure-port", "0", "--kubeconfig", str(config), says="https://"))
        for words in (("controller-manager",), ("scheduler",), ("proxy",),
                      ("kubelet", "--hostname-override", "solo", "--runtime", "process")):
            parts.enter_context(component(*words, "--kubeconfig", str(config), says="is running"))
        kubectl(config, "wait", "node/solo", "--for=condition=Ready", "--timeout=30s")
        kubectl(config, "apply", "-f", "-", stdin=WEB)
        kubectl(config, "rollout", "status", "deployment/web", "--timeout=60s")
        assert "nginx" in kubectl(config, "logs", "deployment/web")
        assert kubectl(config, "exec", "deployment/web", "--", "echo", "through").endswith("through\n")
        address = kubectl(config, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
        assert b"Welcome to nginx" in _fetch(f"http://{address}:8080/")
        kubectl(config, "delete", "deployment", "web", "--cascade=foreground", "--timeout=60s")


def _fetch(url: str) -> bytes:
    import urllib.error
    import urllib.request

    end = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bytes(answer.read())
        except urllib.error.URLError:
            assert time.monotonic() < end, url
            time.sleep(0.05)


def test_up_without_a_component_and_that_component_beside_it(tmp_path: Path) -> None:
    """`up --disable scheduler` leaves pods pending until `kubelab scheduler` joins from outside."""
    config = tmp_path / "config"
    words = ("up", "--quiet", "--nodes", "1", "--disable", "scheduler", "--kubeconfig", str(config))
    with component(*words, says="ready"):
        kubectl(config, "run", "lonely", "--image=nginx:1.28")
        pod = json.loads(kubectl(config, "get", "pod", "lonely", "-o", "json"))
        assert "nodeName" not in pod["spec"]
        with component("scheduler", "--kubeconfig", str(config), says="is running"):
            kubectl(config, "wait", "pod/lonely", "--for=condition=Ready", "--timeout=60s")


def test_a_data_directory_keeps_the_cluster(tmp_path: Path) -> None:
    """After a stop and a start on the same folder the Deployment runs again, its Service at the same address."""
    data, config = tmp_path / "data", tmp_path / "config"
    words = ("up", "--quiet", "--nodes", "2", "--data-dir", str(data), "--kubeconfig", str(config))
    with component(*words, says="ready"):
        kubectl(config, "apply", "-f", "-", stdin=WEB)
        kubectl(config, "rollout", "status", "deployment/web", "--timeout=60s")
        before = kubectl(config, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
        uid = kubectl(config, "get", "deployment", "web", "-o", "jsonpath={.metadata.uid}")
    assert (data.stat().st_mode & 0o777) == 0o700
    with component(*words, says="ready"):
        assert kubectl(config, "get", "deployment", "web", "-o", "jsonpath={.metadata.uid}") == uid
        kubectl(config, "rollout", "status", "deployment/web", "--timeout=60s")
        assert kubectl(config, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}") == before
        assert b"Welcome to nginx" in _fetch(f"http://{before}:8080/")


@pytest.mark.parametrize(("words", "says"), [
    (("scheduler", "--kubeconfig", "/no/such/file"), "no kubeconfig at /no/such/file"),
    (("up", "--nodes", "-1"), "must not be negative"),
    (("up", "--disable", "nonsense"), "no component nonsense"),
])
def test_mistakes_are_told_in_one_line(words: tuple[str, ...], says: str) -> None:
    """A wrong flag ends with exit code 1 and one line that says what is wrong, no traceback."""
    done = subprocess.run([sys.executable, "-m", "kubelab", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
