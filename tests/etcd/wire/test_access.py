"""Who may come in."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from kubelab.client import pki
from kubelab.client.pki import Pki
from kubelab.control_plane.etcd.wire.access import ClientFiles, certify, host_and_port
from kubelab.control_plane.etcd.wire.server import EtcdWire
from kubelab.machinery.clock import RealClock

from .client import Refusal, connected
from .conftest import Served, etcdctl_for

IN_TLS = ("--cacert", "--cert", "--key")


@pytest.fixture
async def secured(served: Served, tmp_path: Path) -> AsyncIterator[tuple[EtcdWire, ClientFiles]]:
    """A second address of the store, over TLS."""
    tls = certify(tmp_path / "pki", "127.0.0.1")
    wire = EtcdWire(served.etcd, "127.0.0.1:0", clock=RealClock(), tls=tls)
    await wire.start()
    yield wire, tls.files
    await wire.stop()


@pytest.mark.etcd
async def test_etcdctl_over_tls(secured: tuple[EtcdWire, ClientFiles]) -> None:
    """With its certificate etcdctl does over TLS what it does without; watches and leases, too."""
    wire, files = secured
    flags = [f"{flag}={path}" for flag, path in zip(IN_TLS, files, strict=True)]
    etcdctl = etcdctl_for(f"--endpoints={wire.endpoint}", *flags)
    assert (await etcdctl("put", "a", "1")).out == "OK\n"
    assert (await etcdctl("get", "a")).out == "a\n1\n"
    assert "is healthy" in (await etcdctl("endpoint", "health")).err
    assert wire.endpoint in (await etcdctl("member", "list", "-w", "table")).out
    assert (await etcdctl("lock", "l", "echo", "held")).out == "held\n"
    by_environment = await asyncio.create_subprocess_exec(
        "etcdctl", "get", "a", env=os.environ | wire.environment, stdout=asyncio.subprocess.PIPE)
    assert (await by_environment.communicate())[0] == b"a\n1\n"


def _credentials(ca: bytes, pair: tuple[bytes, bytes] | None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(ca, *(reversed(pair) if pair else (None, None)))


async def test_nobody_comes_in_without_our_certificate(secured: tuple[EtcdWire, ClientFiles]) -> None:
    """No certificate, or one of another authority, is no way in; without TLS neither; then ours still is."""
    wire, files = secured
    address, ca = wire.endpoint.partition("://")[2], files.ca.read_bytes()
    stranger = Pki.open(None).issue_client("etcd-client")
    ours = (files.certificate.read_bytes(), files.key.read_bytes())
    for credentials in (_credentials(ca, None), _credentials(ca, stranger), None):
        async with connected(address, credentials) as client:
            with pytest.raises(Refusal) as refused:
                await client("KV", "Range", key=b"a")
            assert refused.value.code == "UNAVAILABLE"
    async with connected(address, _credentials(ca, ours)) as client:
        assert (await client("KV", "Range", key=b"a")).count == 0


def test_the_files_are_their_owners_alone_and_the_authority_stays(tmp_path: Path) -> None:
    """Mode 0600, also of the client's key; a second start trusts the clients of the first."""
    first = certify(tmp_path / "pki", "127.0.0.1").files.ca.read_bytes()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert certify(tmp_path / "pki", "example.test").files.ca.read_bytes() == first


def test_addresses() -> None:
    """HOST:PORT, with brackets around IPv6; anything else says how it is written."""
    assert host_and_port("127.0.0.1:2379") == ("127.0.0.1", 2379)
    assert host_and_port("[::1]:0") == ("::1", 0)
    for nonsense in ("2379", ":2379", "localhost:http", "localhost:70000"):
        with pytest.raises(ValueError, match="write HOST:PORT"):
            host_and_port(nonsense)


async def test_an_address_that_is_taken(served: Served) -> None:
    """It says so, and what to do."""
    with pytest.raises(OSError, match="choose another address"):
        await EtcdWire(served.etcd, served.address, clock=RealClock()).start()


@asynccontextmanager
async def _kubelab(*words: str) -> AsyncIterator[str]:
    """Run `kubelab etcd ...` and yield the line that it prints."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "kubelab", "etcd", "--listen", "127.0.0.1:0",
                                                   *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def _shell(line: str) -> str:
    shell = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
    return (await shell.communicate())[0].decode()


@pytest.mark.etcd
async def test_kubelab_etcd_and_what_it_says_to_type(tmp_path: Path) -> None:
    """The line it prints works; keys survive a restart, and a snapshot becomes another etcd."""
    state, other, file = tmp_path / "state", tmp_path / "other", tmp_path / "saved"
    async with _kubelab("--data-dir", str(state)) as line:
        endpoint, typed = line.split(maxsplit=1)
        assert endpoint.startswith("https://127.0.0.1:") and endpoint in await _shell(typed)
        command = typed.partition("etcdctl endpoint")[0]
        assert await _shell(f"{command} etcdctl put k v") == "OK\n"
    async with _kubelab("--data-dir", str(state)) as line:
        command = line.split(maxsplit=1)[1].partition("etcdctl endpoint")[0]
        assert await _shell(f"{command} etcdctl get k") == "k\nv\n"
        await _shell(f"{command} etcdctl snapshot save {file} 2>/dev/null")
    async with _kubelab("--data-dir", str(other), "--restore", str(file), "--insecure") as line:
        assert line.startswith("http://")
        command = line.split(maxsplit=1)[1].partition("etcdctl endpoint")[0]
        assert await _shell(f"{command} etcdctl get k") == "k\nv\n"


def test_a_client_keeps_its_certificate_while_it_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start leaves the pair as it is, unless it ends soon or is of another authority: somebody may be reading it."""
    first = certify(tmp_path, "127.0.0.1").files
    pair = first.certificate.read_bytes(), first.key.read_bytes()
    certify(tmp_path, "127.0.0.1")
    assert (first.certificate.read_bytes(), first.key.read_bytes()) == pair
    monkeypatch.setattr(pki, "RENEW_DAYS", 400)
    certify(tmp_path, "127.0.0.1")
    renewed = first.certificate.read_bytes()
    assert renewed != pair[0]
    monkeypatch.setattr(pki, "RENEW_DAYS", 30)
    (tmp_path / "ca.key").unlink()
    certify(tmp_path, "127.0.0.1")
    assert first.certificate.read_bytes() != renewed
