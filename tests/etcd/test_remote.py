"""The seam over gRPC: against kubelab's own server, and against Debian's etcd that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubelab.control_plane.etcd import remote
from kubelab.control_plane.etcd.api import Compacted, Compare, DeleteRange, Put, Range, Unavailable, WatchedEvent
from kubelab.control_plane.etcd.compactor import COMPACT_KEY
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.etcd.endpoints import EtcdEndpoints
from kubelab.control_plane.etcd.errors import EtcdError, FutureRevision, LeaseNotFound
from kubelab.control_plane.etcd.remote import RemoteEtcd
from kubelab.control_plane.etcd.wire.access import certify
from kubelab.control_plane.etcd.wire.server import EtcdWire
from kubelab.machinery.clock import RealClock

from .real_members import RealMembers

KEY, END = b"/registry/k/", b"/registry/k0"


@asynccontextmanager
async def connected(*urls: str, prefix: str = "/registry") -> AsyncIterator[RemoteEtcd]:
    etcd = RemoteEtcd(EtcdEndpoints(urls, prefix=prefix), RealClock())
    await etcd.start()
    async with asyncio.timeout(10):
        while not (await etcd.range(COMPACT_KEY)).count:  # noqa: ASYNC110 - its first write, which tests do not count
            await asyncio.sleep(0.01)
    try:
        yield etcd
    finally:
        await etcd.stop()


@asynccontextmanager
async def ours(store: EmbeddedEtcd | None = None, listen: str = "127.0.0.1:0") -> AsyncIterator[EtcdWire]:
    """kubelab's own etcd on the wire."""
    etcd = store or EmbeddedEtcd(None, RealClock())
    await etcd.start()
    wire = EtcdWire(etcd, listen, clock=RealClock())
    await wire.start()
    try:
        yield wire
    finally:
        await wire.stop()
        await etcd.stop()


async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.01)


class Heard:
    """What one watch was told."""

    def __init__(self, etcd: RemoteEtcd, start_revision: int = 0) -> None:
        self.events: list[WatchedEvent] = []
        self.progress: list[int] = []
        self.lost: list[EtcdError] = []
        self.handle = etcd.watch(KEY, END, start_revision, on_events=self.events.extend,
                                 on_progress=self.progress.append, on_lost=self.lost.append)

    @property
    def revisions(self) -> list[int]:
        return [event.kv.mod_revision for event in self.events]


async def says_what_the_embedded_one_says(etcd: RemoteEtcd) -> None:
    await etcd.put(KEY + b"a", b"1")
    made = await etcd.txn((Compare(KEY + b"b", "mod", "=", 0),), (Put(KEY + b"b", b"2"),), (Range(KEY + b"b"),))
    again = await etcd.txn((Compare(KEY + b"b", "mod", "=", 0),), (Put(KEY + b"b", b"3"),), (Range(KEY + b"b"),))
    assert (made.succeeded, again.succeeded) == (True, False)
    assert again.responses[0].kvs[0].value == b"2"  # type: ignore[union-attr]
    found = await etcd.range(KEY, END)
    assert [(kv.key, kv.value) for kv in found.kvs] == [(KEY + b"a", b"1"), (KEY + b"b", b"2")]
    assert found.revision == made.revision == etcd.revision
    assert (await etcd.range(KEY, END, count_only=True)).count == 2
    await etcd.txn((Compare(KEY + b"b", "mod", "=", made.revision),), (DeleteRange(KEY + b"b"),))
    assert (await etcd.range(KEY + b"b", revision=made.revision)).count == 1
    with pytest.raises(FutureRevision):
        await etcd.range(KEY, revision=10_000)
    lease = await etcd.lease_grant(60)
    await etcd.put(KEY + b"c", b"x", lease=lease)
    assert await etcd.lease_keepalive(lease) == 60
    assert (await etcd.lease_time_to_live(lease))[1:] == (60, [KEY + b"c"])
    await etcd.lease_revoke(lease)
    with pytest.raises(LeaseNotFound):
        await etcd.lease_keepalive(lease)
    assert [kv.key for kv in (await etcd.range(KEY, END)).kvs] == [KEY + b"a"]
    await etcd.compact(etcd.revision)
    with pytest.raises(Compacted):
        await etcd.range(KEY, revision=made.revision)


async def test_a_write_names_its_revision() -> None:
    """A put and a delete are answered with the revision at which they happened, as by the store itself."""
    async with ours() as wire, connected(wire.endpoint) as etcd:
        put = await etcd.put(KEY, b"1")
        assert put.revision == (await etcd.range(KEY)).kvs[0].mod_revision
        assert (await etcd.delete_range(KEY)).revision == put.revision + 1
        assert (await etcd.delete_range(KEY)).revision == put.revision + 1  # nothing was there


async def test_every_call_over_our_own_wire() -> None:
    """Keys, transactions, leases, compaction and their errors are the embedded store's."""
    async with ours() as wire, connected(wire.endpoint) as etcd:
        await says_what_the_embedded_one_says(etcd)


@pytest.mark.etcd
async def test_every_call_over_a_real_etcd(tmp_path: Path) -> None:
    """The same calls give the same answers from Debian's etcd."""
    with RealMembers(tmp_path) as real:
        async with connected(*real.urls) as etcd:
            await says_what_the_embedded_one_says(etcd)


async def test_watches_share_a_stream_and_tell_progress() -> None:
    """Past and coming events arrive in order, each once; progress says how far everything has been told."""
    async with ours() as wire, connected(wire.endpoint) as etcd:
        first = (await etcd.txn((), (Put(KEY + b"a", b"1"),))).revision
        past, now = Heard(etcd, first), Heard(etcd)
        await until(lambda: bool(past.events) and now.handle.next > 0)
        await etcd.put(KEY + b"a", b"2")
        await etcd.put(b"/elsewhere", b"")
        await until(lambda: past.revisions == [first, first + 1] and now.revisions == [first + 1])
        etcd.ask_progress()
        await until(lambda: first + 2 in past.progress and first + 2 in now.progress)
        now.handle.cancel()
        await etcd.put(KEY + b"a", b"3")
        await until(lambda: len(past.events) == 3)
        assert len(now.events) == 1


async def test_a_watch_whose_history_is_gone_is_lost() -> None:
    """It hears Compacted, once, and nothing more."""
    async with ours() as wire, connected(wire.endpoint) as etcd:
        for i in range(5):
            await etcd.put(KEY + b"a", b"%d" % i)
        await etcd.compact(etcd.revision)
        heard = Heard(etcd, 2)
        await until(lambda: bool(heard.lost))
        assert isinstance(heard.lost[0], Compacted) and not heard.events


async def test_keys_stand_below_a_prefix_of_choice() -> None:
    """Two clusters share one etcd when each has its prefix; each sees its own keys as if they were alone."""
    store = EmbeddedEtcd(None, RealClock())
    async with ours(store) as wire, connected(wire.endpoint, prefix="/lab-7") as etcd, \
            connected(wire.endpoint) as other:
        heard = Heard(etcd)
        await until(lambda: heard.handle.next > 0)
        await etcd.put(KEY + b"a", b"1")
        assert [kv.key for kv in (await store.range(b"/", b"0")).kvs] == [b"/lab-7/k/a"]
        assert [kv.key for kv in (await etcd.range(KEY, END)).kvs] == [KEY + b"a"]
        await until(lambda: [e.kv.key for e in heard.events] == [KEY + b"a"])
        assert (await other.range(KEY, END)).count == 0


async def test_tls_takes_the_certificates_of_the_flags(tmp_path: Path) -> None:
    """With the authority and a client's certificate it is let in; without, the error names what to look at."""
    store, tls = EmbeddedEtcd(None, RealClock()), certify(tmp_path, "127.0.0.1")
    await store.start()
    wire = EtcdWire(store, "127.0.0.1:0", clock=RealClock(), tls=tls)
    await wire.start()
    files = tls.files
    etcd = RemoteEtcd(EtcdEndpoints((wire.endpoint,), files.ca, files.certificate, files.key), RealClock())
    await etcd.start()
    await etcd.put(KEY, b"1")
    assert (await store.range(KEY)).count == 1
    await etcd.stop()
    await wire.stop()
    await store.stop()


@pytest.mark.parametrize("where", ["127.0.0.1:2379", "ftp://127.0.0.1", "", "http://"])
def test_an_address_that_is_none_shows_how_it_is_written(where: str) -> None:
    """The error has an example."""
    with pytest.raises(ValueError, match=r"for example http://127\.0\.0\.1:2379"):
        EtcdEndpoints.of(where)


async def test_where_no_etcd_is_the_error_says_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the endpoints, and the component stays stopped."""
    monkeypatch.setattr(remote, "PATIENCE_S", 0.2)
    etcd = RemoteEtcd(EtcdEndpoints.of("http://127.0.0.1:1,http://127.0.0.1:2"), RealClock())
    with pytest.raises(ConnectionError, match=r"no etcd at http://127\.0\.0\.1:1, .*Is it running"):
        await etcd.start()
    assert etcd.state == "stopped"


async def test_a_write_whose_answer_is_lost_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has happened: that is the answer. It has not: it is sent again. Its compare lets it happen once."""
    async with ours() as wire, connected(wire.endpoint) as etcd:
        send, lost = etcd._members.call, ["after", "before"]

        async def unreliable(method: object, request: object, timeout_s: float = 4.0) -> object:
            if not str(getattr(method, "path", "")).endswith("/Txn") or not lost:
                return await send(method, request, timeout_s)
            if lost.pop(0) == "after":
                await send(method, request, timeout_s)
            raise Unavailable("the connection broke")

        monkeypatch.setattr(etcd._members, "call", unreliable)
        made = await etcd.txn((Compare(KEY, "mod", "=", 0),), (Put(KEY, b"1"),))
        assert made.succeeded and (await etcd.range(KEY)).kvs[0].mod_revision == made.revision
        changed = await etcd.txn((Compare(KEY, "mod", "=", made.revision),), (Put(KEY, b"2"),))
        kv = (await etcd.range(KEY)).kvs[0]
        assert changed.succeeded and (kv.value, kv.version, kv.mod_revision) == (b"2", 2, changed.revision)
        lost.append("after")
        with pytest.raises(Unavailable):  # without a guard nobody can know
            await etcd.put(KEY, b"3")
        lost.append("after")
        assert (await etcd.txn((Compare(KEY, "mod", "=", changed.revision + 1),), (DeleteRange(KEY),))).succeeded


@pytest.mark.etcd
async def test_kill_9_of_a_real_etcd_loses_nothing(tmp_path: Path) -> None:
    """While it is away writes wait or fail; then watches go on from where they were, and all acknowledged is there."""
    with RealMembers(tmp_path) as real:
        async with connected(*real.urls) as etcd:
            heard, acknowledged = Heard(etcd), list[bytes]()
            await until(lambda: heard.handle.next > 0)

            async def write(writer: int) -> None:
                for i in range(60):
                    key = KEY + b"%d-%d" % (writer, i)
                    assert (await etcd.txn((Compare(key, "mod", "=", 0),), (Put(key, key),))).succeeded
                    acknowledged.append(key)

            writers = asyncio.gather(*(write(n) for n in range(5)))
            await until(lambda: len(acknowledged) > 40)
            await asyncio.to_thread(real.kill, 0)
            real.start(0)
            await writers
            there = [kv.key for kv in (await etcd.range(KEY, END)).kvs]
            assert sorted(acknowledged) == there and len(there) == 300
            await until(lambda: len(heard.events) >= 300)
            assert sorted(event.kv.key for event in heard.events) == there
            assert heard.revisions == sorted(set(heard.revisions)) and not heard.lost


@pytest.mark.etcd
async def test_a_member_that_hangs_is_left(tmp_path: Path) -> None:
    """Its sockets are open and nothing comes: calls and watches go on at another."""
    with RealMembers(tmp_path, 3) as real:
        async with connected(*real.urls) as etcd:
            heard = Heard(etcd)
            await until(lambda: heard.handle.next > 0)
            real.pause(etcd._members.channels.index(etcd._members.channel))
            assert (await etcd.txn((Compare(KEY + b"a", "mod", "=", 0),), (Put(KEY + b"a", b"1"),))).succeeded

            def told() -> bool:
                etcd.ask_progress()  # as a reader does that waits
                return bool(heard.events)

            await until(told, 15)
            assert [event.kv.key for event in heard.events] == [KEY + b"a"]


@pytest.mark.etcd
async def test_of_three_members_the_leader_may_be_killed(tmp_path: Path) -> None:
    """Calls go on at another member, watches too; the dead one shows in the list of members."""
    with RealMembers(tmp_path, 3) as real:
        async with connected(*real.urls) as etcd:
            heard = Heard(etcd)
            await until(lambda: heard.handle.next > 0)
            for i in range(10):
                await etcd.put(KEY + b"%02d" % i, b"")
            leader = await asyncio.to_thread(real.leader)
            await asyncio.to_thread(real.kill, leader)
            for i in range(10, 20):
                key = KEY + b"%02d" % i
                assert (await etcd.txn((Compare(key, "mod", "=", 0),), (Put(key, b""),))).succeeded
            await until(lambda: len(heard.events) == 20)
            assert [event.kv.key for event in heard.events] == [KEY + b"%02d" % i for i in range(20)]
            members = await etcd.members()
            assert [member.healthy for member in members] == [index != leader for index in range(3)]
            assert [member.role for member in members].count("leader") == 1
