"""A store on the wire, and the real etcdctl for it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.etcd.wire.server import EtcdWire
from kubelab.machinery.clock import RealClock


@dataclass(frozen=True)
class Served:
    """A store and its address, without TLS."""

    etcd: EmbeddedEtcd
    wire: EtcdWire

    @property
    def address(self) -> str:
        return self.wire.endpoint.partition("://")[2]


@pytest.fixture
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    """A store in memory; of a test that is parametrized with "disk", one on disk."""
    on_disk = getattr(request, "param", "memory") == "disk"
    etcd = EmbeddedEtcd(tmp_path / "etcd" if on_disk else None, RealClock())
    await etcd.start()
    wire = EtcdWire(etcd, "127.0.0.1:0", clock=RealClock())
    await wire.start()
    yield Served(etcd, wire)
    await wire.stop()
    await etcd.stop()


@dataclass(frozen=True)
class Done:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Etcdctl = Callable[..., Awaitable[Done]]


def etcdctl_for(*where: str) -> Etcdctl:
    """Return a function that runs the real etcdctl with these flags and its own words."""
    program = shutil.which("etcdctl")
    if program is None:
        pytest.skip("Debian's etcd-client is not installed")

    async def run(*words: str, stdin: str = "", timeout_s: float = 20) -> Done:
        process = await asyncio.create_subprocess_exec(
            program, *where, *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=os.environ | {"ETCDCTL_API": "3"})
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), timeout_s)
        except TimeoutError:
            process.kill()
            raise
        return Done(process.returncode or 0, out.decode(), err.decode())

    return run


@pytest.fixture
def etcdctl(served: Served) -> Etcdctl:
    return etcdctl_for(f"--endpoints={served.address}")
