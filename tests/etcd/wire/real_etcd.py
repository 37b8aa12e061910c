"""Debian's etcd as a process of its own, on loopback, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def real_etcd(*flags: str, data_dir: Path | None = None) -> Iterator[str]:
    """Yield the address of a real etcd with an empty store, or with that of a folder."""
    program = shutil.which("etcd")
    if program is None:
        pytest.skip("Debian's etcd-server is not installed")
    clients, peers = _free_ports(2)
    with tempfile.TemporaryDirectory(prefix="kubelab-etcd-") as folder:
        peer = f"http://127.0.0.1:{peers}"
        log = Path(folder, "log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [program, "--data-dir", str(data_dir or f"{folder}/data"), "--listen-client-urls", f"http://127.0.0.1:{clients}",
                 "--advertise-client-urls", f"http://127.0.0.1:{clients}", "--listen-peer-urls", peer,
                 "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--log-level", "error",
                 *flags], stdout=out, stderr=out, env=os.environ | {"ETCD_UNSUPPORTED_ARCH": "arm64"})
        try:
            _await_ready(process, clients, log)
            yield f"127.0.0.1:{clients}"
        finally:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        done = subprocess.run(["etcdctl", f"--endpoints=127.0.0.1:{port}", "endpoint", "health"], capture_output=True,
                              env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
        if done.returncode == 0:
            return
    raise AssertionError(f"etcd did not come up: {log.read_text()}")
