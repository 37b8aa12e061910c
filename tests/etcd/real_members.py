"""One or three members of Debian's etcd, each a process on loopback that a test may kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class RealMembers:
    """An etcd of `count` members with its data below `folder`, in m0, m1, ...; use it as a context."""

    def __init__(self, folder: Path, count: int = 1, *flags: str) -> None:
        self._program = shutil.which("etcd")
        if self._program is None or shutil.which("etcdctl") is None:
            pytest.skip("Debian's etcd-server and etcd-client are not installed")
        self._folder, self._flags = folder, flags
        self._clients, self._peers = free_ports(2 * count)[:count], free_ports(2 * count)[count:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> str:
        """The first member's host and port."""
        return f"127.0.0.1:{self._clients[0]}"

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._clients]

    def start(self, index: int) -> None:
        peers = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(self._peers))
        client, peer = self.urls[index], f"http://127.0.0.1:{self._peers[index]}"
        with (self._folder / f"m{index}.log").open("ab") as out:
            self._processes[index] = subprocess.Popen(
                [self._program or "", "--name", f"m{index}", "--data-dir", str(self._folder / f"m{index}"),
                 "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                 "--initial-advertise-peer-urls", peer, "--initial-cluster", peers, "--log-level", "error",
                 *self._flags], stdout=out, stderr=out, env=os.environ | {"ETCD_UNSUPPORTED_ARCH": "arm64"})

    def kill(self, index: int) -> None:
        """kill -9."""
        process = self._processes.pop(index)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def pause(self, index: int) -> None:
        """Let a member hang: its sockets stay open and say nothing."""
        self._processes[index].send_signal(signal.SIGSTOP)

    def leader(self) -> int:
        """Return the index of the leader."""
        for index, url in enumerate(self.urls):
            if index in self._processes:
                status = self._etcdctl(url, "endpoint", "status").stdout.split(", ")
                if len(status) > 4 and status[4] == "true":
                    return index
        raise AssertionError("no member leads")

    def ready(self) -> None:
        """Wait until every member that runs answers."""
        for index in self._processes:
            for _ in range(150):
                if self._etcdctl(self.urls[index], "endpoint", "health").returncode == 0:
                    break
            else:
                raise AssertionError((self._folder / f"m{index}.log").read_text())

    def _etcdctl(self, url: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["etcdctl", f"--endpoints={url}", "--dial-timeout=1s", "--command-timeout=1s", *words],
                              capture_output=True, text=True, env={"ETCDCTL_API": "3", "PATH": os.environ["PATH"]})

    def __enter__(self) -> RealMembers:
        for index in range(len(self._clients)):
            self.start(index)
        try:
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for index in list(self._processes):
            self.kill(index)
