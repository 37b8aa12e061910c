"""Members as processes: killed under load, joined, promoted, removed, without a majority."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kubelab.control_plane.etcd.api import EtcdError
from kubelab.control_plane.etcd.endpoints import EtcdEndpoints
from kubelab.control_plane.etcd.remote import RemoteEtcd
from kubelab.machinery.clock import RealClock
from tests.etcd.members.processes import Members, in_thread, members, stopped
from tests.etcd.real_members import free_ports

WRITERS, READERS = 8, 3


async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.01)


class Load:
    """Clients of all members: each writer counts upwards in a key of its own, each reader looks at the revision."""

    def __init__(self, group: Members) -> None:
        pki = group.folder / "pki"
        ends = EtcdEndpoints(tuple(group.urls), pki / "ca.crt", pki / "client.crt", pki / "client.key")
        self.clients = [RemoteEtcd(ends, RealClock()) for _ in range(READERS)]
        self.acknowledged = [0] * WRITERS
        self.went_back: list[tuple[int, int]] = []
        self._ends = False

    async def __aenter__(self) -> Load:
        for client in self.clients:
            await client.start()
        self._tasks = [asyncio.create_task(self._write(i)) for i in range(WRITERS)]
        self._tasks += [asyncio.create_task(self._read(i)) for i in range(READERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends = True
        await asyncio.gather(*self._tasks)
        for client in self.clients:
            await client.stop()

    async def _write(self, writer: int) -> None:
        client, number = self.clients[writer % READERS], 0
        while not self._ends:
            number += 1
            try:
                await client.put(b"/w/%d" % writer, b"%d" % number)
                self.acknowledged[writer] = number
            except EtcdError:
                await asyncio.sleep(0.01)

    async def _read(self, reader: int) -> None:
        newest = 0
        while not self._ends:
            try:
                found = await self.clients[reader].range(b"/w/0")
            except EtcdError:
                await asyncio.sleep(0.01)
                continue
            if found.revision < newest:
                self.went_back.append((newest, found.revision))
            newest = max(newest, found.revision)

    async def goes_on(self) -> None:
        """Wait until every writer has written some more."""
        before = list(self.acknowledged)
        await until(lambda: all(now > then + 2 for now, then in zip(self.acknowledged, before, strict=True)))


async def test_kill_9_of_the_leader_under_load(tmp_path: Path) -> None:
    """Writes go on under the next leader, nothing acknowledged is lost, no reader sees time go back."""
    with members(tmp_path) as group:
        async with Load(group) as load:
            await load.goes_on()
            for _ in range(2):
                leader = await in_thread(group.leader)
                process = group.process_at(leader)
                process.kill()
                await load.goes_on()
                assert await in_thread(group.leader) != leader or group.process_at(leader).pid != process.pid
        found = {kv.key: int(kv.value) for kv in await everything(group)}
        for writer, number in enumerate(load.acknowledged):
            assert found[b"/w/%d" % writer] >= number
        assert load.went_back == []
        await until(lambda: len(psutil.Process(group.process.pid).children()) == 3)
        await until(lambda: len({line.rpartition(", ")[2] for line in hashes(group)}) == 1 and len(hashes(group)) == 3)


async def everything(group: Members) -> list[object]:
    pki = group.folder / "pki"
    client = RemoteEtcd(EtcdEndpoints((group.urls[0],), pki / "ca.crt", pki / "client.crt", pki / "client.key"),
                        RealClock())
    await client.start()
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    return list((await client.range(b"/w/", b"/w0")).kvs)
                except EtcdError:
                    await asyncio.sleep(0.05)
    finally:
        await client.stop()


def hashes(group: Members) -> list[str]:
    return group.etcdctl("endpoint", "hashkv").stdout.split("\n")[:-1]


def test_a_member_joins_learns_leads_and_leaves(tmp_path: Path) -> None:
    """etcdctl adds a learner, promotes it, moves the leadership to it, and removes it: the others go on."""
    with members(tmp_path / "group") as group:
        assert group.etcdctl("put", "/a", "1").returncode == 0
        client, peer = (f"https://127.0.0.1:{port}" for port in free_ports(2))
        added = group.etcdctl("member", "add", "m3", "--learner", f"--peer-urls={peer}").stdout
        number = added.split()[1]
        cluster = next(line for line in added.splitlines() if line.startswith("ETCD_INITIAL_CLUSTER="))
        assert "in sync with leader" in group.etcdctl("member", "promote", number).stderr
        joined = group.join(tmp_path / "m3", client, peer, cluster.partition("=")[2].strip('"'))
        try:
            while "not supported for learner" not in group.etcdctl("get", "/a", at=client).stderr:
                assert joined.poll() is None
            assert "true" in group.etcdctl("endpoint", "status", at=client).stdout
            while group.etcdctl("member", "promote", number).returncode:
                assert joined.poll() is None
            assert group.etcdctl("get", "/a", at=client).stdout == "/a\n1\n"
            assert group.etcdctl("member", "list").stdout.count("started") == 4
            assert "transferred" in group.etcdctl("move-leader", number).stdout
            assert group.etcdctl("member", "remove", number).returncode == 0
            assert joined.wait(20) == 0
            assert "removed from its etcd" in (joined.stdout.read() if joined.stdout else "")
        finally:
            joined.kill()
            joined.wait()
            assert joined.stdout is not None
            joined.stdout.close()
        assert group.etcdctl("put", "/a", "2").returncode == 0
        assert group.etcdctl("member", "list").stdout.count("started") == 3


def test_without_a_majority_writes_end_in_etcds_error(tmp_path: Path) -> None:
    """Two of three stand still: a write is refused with etcd's words, and goes through when they are back."""
    with members(tmp_path) as group:
        leader = group.leader()
        others = [group.process_at(url) for url in group.urls if url != leader]
        with stopped(*others):
            refused = group.etcdctl("put", "/a", "1", "--command-timeout=15s", at=leader)
            assert refused.returncode
            assert "etcdserver: request timed out" in refused.stderr
            kept = group.etcdctl("get", "/a", "--consistency=s", at=leader)
            assert (kept.returncode, kept.stdout) == (0, "")
        assert group.leader()
        assert group.etcdctl("put", "/a", "2").returncode == 0


def test_everything_is_there_after_a_restart_and_nothing_runs_after_the_end(tmp_path: Path) -> None:
    """All members stop with their supervisor, also after kill -9 of it, and begin again where they were."""
    with members(tmp_path) as group:
        assert group.etcdctl("put", "/a", "1").returncode == 0
        children = psutil.Process(group.process.pid).children()
        group.process.kill()
        _, left = psutil.wait_procs(children, 20)
        assert not left
    with members(tmp_path) as group:
        children = psutil.Process(group.process.pid).children()
        assert group.etcdctl("get", "/a").stdout == "/a\n1\n"
        lock = group.etcdctl("lock", "mutex", "echo", "held")
        assert (lock.returncode, lock.stdout) == (0, "held\n")
    assert not [child for child in children if child.is_running()]


async def test_strangers_are_not_heard(tmp_path: Path) -> None:
    """A peer's port takes nobody without a certificate of the members, and no bytes that are no parcel."""
    from kubelab.client.pki import Pki

    with members(tmp_path) as group:
        assert group.etcdctl("put", "/a", "1").returncode == 0
        peer = group.etcdctl("member", "list").stdout.split(", ")[3]
        host, port = peer.removeprefix("https://").split(":")
        stranger = Pki.open(None).client_context("etcd-peer")
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((OSError, EOFError)):
            await answer(host, int(port), stranger, b"\0" * 64)
        ours = Pki.authority(tmp_path / "pki" / "peer", "etcd-peer-ca").client_context("etcd-peer")
        for garbage in (b"\xff" * 64, b"\2\0\0\0{}" + b"\5\0\0\0Rxxxx", b"\x15\0\0\0" + b'{"cluster":1,"from":2}'):
            with pytest.raises(EOFError):
                await answer(host, int(port), ours, garbage)
        assert group.etcdctl("endpoint", "health").returncode == 0


async def answer(host: str, port: int, context: ssl.SSLContext, data: bytes) -> bytes:
    """Return the first byte of what a peer's port answers. Raises EOFError when it closes instead."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.readexactly(1)
    finally:
        writer.close()


def test_three_members_begin_with_a_snapshot_of_another_etcd(tmp_path: Path) -> None:
    """What `etcdctl snapshot save` took from three members is what three new ones begin with."""
    with members(tmp_path / "old") as group:
        for value in ("1", "2"):
            assert group.etcdctl("put", "/a", value).returncode == 0
        saved = group.etcdctl("snapshot", "save", str(tmp_path / "file"), at=group.urls[1])
        assert saved.returncode == 0
    with members(tmp_path / "new", "--restore", str(tmp_path / "file")) as group:
        assert group.leader()
        assert '"Version" : 2' in group.etcdctl("get", "/a", "--write-out=fields").stdout
        found = hashes(group)
        assert len(found) == 3 and len({line.rpartition(", ")[2] for line in found}) == 1
