"""`kubelab etcd --members 3`, started as a user starts it, with its members' processes to be killed and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest


class Members:
    """The processes of one `kubelab etcd --members 3`, and etcdctl for them."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder, self.etcdctl_path = folder, shutil.which("etcdctl")
        if self.etcdctl_path is None:
            pytest.skip("Debian's etcd-client is not installed")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kubelab", "etcd", "--members", "3", "--listen", "127.0.0.1:0",
             "--data-dir", str(folder), *flags], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline().split()
        self.urls = first[0].split(",")
        self.environment = dict(word.split("=", 1) for word in first if word.startswith("ETCDCTL_"))
        assert "is running" in self.process.stdout.readline()

    def etcdctl(self, *words: str, at: str = "", timeout_s: float = 20.0) -> subprocess.CompletedProcess[str]:
        where = {"ETCDCTL_ENDPOINTS": at} if at else {}
        return subprocess.run([self.etcdctl_path or "", *words], env=os.environ | self.environment | where,
                              capture_output=True, text=True, timeout=timeout_s)

    def status(self) -> list[dict[str, Any]]:
        """Return what each member that answers says of itself."""
        said = self.etcdctl("endpoint", "status", "--dial-timeout=1s", "--command-timeout=1s", "-w", "json").stdout
        return [found | {"id": found["Status"]["header"]["member_id"]} for found in json.loads(said or "[]")]

    def leader(self) -> str:
        """Return the leader's address, when there is one."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for found in self.status():
                if found["Status"].get("leader") == found["id"]:
                    return str(found["Endpoint"])
        raise AssertionError("nobody leads")

    def process_at(self, url: str) -> psutil.Process:
        """Return the process of the member that listens at a URL."""
        listen = url.partition("://")[2]
        for child in psutil.Process(self.process.pid).children():
            words = child.cmdline()
            if "--listen" in words and words[words.index("--listen") + 1] == listen:
                return child
        raise AssertionError(f"no process listens at {listen}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def join(self, folder: Path, url: str, peer_url: str, cluster: str) -> subprocess.Popen[str]:
        """Start one more member in the way that `etcdctl member add` says."""
        return subprocess.Popen(
            [sys.executable, "-m", "kubelab", "etcd", "--name", "m3", "--listen", url.partition("://")[2],
             "--data-dir", str(folder), "--cert-dir", str(self.folder / "pki"), "--initial-cluster", cluster,
             "--initial-cluster-state", "existing"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextmanager
def members(folder: Path, *flags: str) -> Iterator[Members]:
    started = Members(folder, *flags)
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """Let processes stand still inside."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


async def in_thread(call: Any, *words: Any, **options: Any) -> Any:
    return await asyncio.to_thread(call, *words, **options)
