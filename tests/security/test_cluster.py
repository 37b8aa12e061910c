"""A whole cluster as `kubelab up` starts it: what it listens on, what it leaves readable, who its kubelets talk to."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from kubelab.client import kubeconfig
from kubelab.client.pki import Pki, load_cert_chain


def _connections(process: psutil.Process) -> list[Any]:
    """Return the sockets of a process, none of one that has ended meanwhile."""
    try:
        return list(process.net_connections())
    except psutil.NoSuchProcess:
        return []


@dataclass(frozen=True, slots=True)
class Up:
    process: subprocess.Popen[str]
    kubeconfig: Path
    data_dir: Path

    def family(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def context(self) -> ssl.SSLContext:
        return kubeconfig.load(self.kubeconfig).ssl_context()

    def connect(self, context: ssl.SSLContext, address: tuple[str, int] | None = None) -> ssl.SSLSocket:
        url = urlsplit(kubeconfig.load(self.kubeconfig).server)
        where = address or (str(url.hostname), int(url.port or 443))
        plain = socket.create_connection(where, timeout=10)
        try:
            return context.wrap_socket(plain, server_hostname=where[0])
        except BaseException:
            plain.close()
            raise


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("open")
    data = folder / "data"
    data.mkdir(mode=0o755)  # made by somebody who thought nothing of it
    config = folder / "kubeconfig"
    command = [sys.executable, "-m", "kubelab", "up", "--quiet", "--nodes", "2", "--kubeconfig", str(config),
               "--data-dir", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, umask=0o022) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready in"), ready
        yield Up(process, config, data)
        process.terminate()
        process.wait(30)


def test_nothing_listens_off_loopback(up: Up) -> None:
    """Every socket that a cluster's processes hold open to others is on a loopback address."""
    listening = [c.laddr for p in up.family() for c in _connections(p)
                 if c.laddr and c.status in ("LISTEN", "NONE")]
    assert len(listening) >= 4
    assert [a for a in listening if not ip_address(a.ip).is_loopback] == []


def test_keys_and_state_are_their_owners_alone(up: Up) -> None:
    """The kubeconfig, keys, the log of the store and the state folders cannot be read by others."""
    assert stat.S_IMODE(up.kubeconfig.stat().st_mode) == 0o600
    for name in ("ca.key", "sa.key", "ca.crt"):
        assert stat.S_IMODE((up.data_dir / "pki" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((up.data_dir / "pki").stat().st_mode) == 0o700
    state = Path("/tmp") / f"kubelab-{os.getuid()}"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    files = [path for path in up.data_dir.rglob("*") if path.is_file()]
    assert any("etcd" in path.parts for path in files)
    shown = {path.name for path in files if path.stat().st_mode & 0o077}
    assert shown <= {"cluster.json", "lock"}, "the addresses and the number of a process are no secret"


def answer(link: ssl.SSLSocket, path: str) -> bytes:
    """Send a request and return the first line of what comes back, b"" when the other side hangs up."""
    try:
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return link.recv(4096).split(b"\r\n")[0]
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        link.close()


def test_a_kubelet_talks_to_the_api_server_alone(up: Up) -> None:
    """Nobody, other users of the cluster, other nodes and certificates of another authority get nothing of it."""
    kubelets = [c.laddr for p in up.family() for c in _connections(p) if c.laddr and c.laddr.port == 10250
                and c.status == "LISTEN"]
    assert len(kubelets) == 2
    ours = Pki.open(up.data_dir / "pki")
    bare = ssl.create_default_context(cadata=ours.ca_pem.decode())
    forged = ssl.create_default_context(cadata=ours.ca_pem.decode())
    api_server = ("kube-apiserver-kubelet-client", ["system:masters"])
    load_cert_chain(forged, *Pki.open(None).issue_client(*api_server))
    for path in ("/pods", "/containerLogs/default/x/y", "/exec/default/x/y?command=id", "/stats/summary", "/nope"):
        for context in (bare, ours.client_context("ann"), ours.client_context("system:node:node-2", ["system:nodes"])):
            assert answer(up.connect(context, tuple(kubelets[0])), path) == b"HTTP/1.1 401 Unauthorized", path
        try:
            assert answer(up.connect(forged, tuple(kubelets[0])), path) == b""
        except ssl.SSLError:
            pass
    assert answer(up.connect(ours.client_context(*api_server), tuple(kubelets[0])), "/pods") == b"HTTP/1.1 200 OK"


def test_two_thousand_silent_clients_cost_little(up: Up) -> None:
    """2,000 idle TLS connections take a bounded part of the server's memory; it serves others and gets it back."""
    own = psutil.Process(up.process.pid)
    before = own.memory_info().rss
    context = up.context()
    with ThreadPoolExecutor(4) as pool:
        links = list(pool.map(lambda _: up.connect(context), range(2000)))
    grown = (own.memory_info().rss - before) / 1e6
    assert answer(up.connect(context), "/api/v1/nodes") == b"HTTP/1.1 200 OK"
    for link in links:
        link.close()
    print(f"2,000 idle TLS connections: {grown:.0f} MB, {1000 * grown / 2000:.0f} kB each")
    assert grown < 250
