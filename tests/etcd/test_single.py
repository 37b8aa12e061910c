"""One member that is its whole cluster."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from kubelab.control_plane.etcd import wal
from kubelab.control_plane.etcd.api import Range
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.etcd.errors import BadTransferee, MemberNotFound, MemberNotLearner, NotClustered
from kubelab.control_plane.etcd.server_api import Alarm, EtcdServer
from kubelab.control_plane.etcd.single import id_of
from kubelab.machinery.clock import SteppedClock


async def started(folder: Path | None = None) -> EmbeddedEtcd:
    etcd = EmbeddedEtcd(folder, SteppedClock())
    await etcd.start()
    return etcd


async def test_a_reader_on_the_wire_sees_nothing_that_could_be_lost(tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that finds a write waits until that write is on disk."""
    etcd = await started(tmp_path)
    disk = threading.Event()
    monkeypatch.setattr(wal, "_sync", lambda fd: disk.wait(30))
    writing = asyncio.ensure_future(etcd.put(b"k", b"1"))
    await asyncio.sleep(0)
    reading = asyncio.ensure_future(etcd.read(Range(b"k")))
    await asyncio.wait([reading], timeout=0.05)
    assert not reading.done() and not writing.done()
    disk.set()
    assert (await reading).kvs[0].value == b"1"
    await writing
    await etcd.stop()


async def test_it_is_its_own_leader_and_cannot_grow() -> None:
    """Leadership goes to itself alone; members are refused with what to start instead."""
    etcd: EtcdServer = await started()
    me = etcd.identity.member_id
    assert [member.id for member in await etcd.member_list()] == [me] and (await etcd.status()).leader == me
    await etcd.move_leader(me)
    with pytest.raises(BadTransferee):
        await etcd.move_leader(1)
    with pytest.raises(NotClustered, match="--members 3"):
        await etcd.member_add(["http://127.0.0.1:2380"])
    with pytest.raises(NotClustered):
        await etcd.member_remove(me)
    with pytest.raises(MemberNotFound):
        await etcd.member_update(1, [])
    with pytest.raises(MemberNotLearner):
        await etcd.member_promote(me)


async def test_alarms_are_raised_and_disarmed_once() -> None:
    """What changes nothing is not answered; member 0 is the one that there is."""
    etcd = await started()
    raised = Alarm(etcd.identity.member_id, "NOSPACE")
    assert await etcd.alarm_set(Alarm(0, "NOSPACE"), True) == [raised]
    assert await etcd.alarm_set(raised, True) == [] and await etcd.alarms() == [raised]
    assert "alarm:NOSPACE" in (await etcd.status()).errors[0]
    assert await etcd.alarm_set(Alarm(7, "NOSPACE"), False) == []
    assert await etcd.alarm_set(raised, False) == [raised] and await etcd.alarms() == []
    await etcd.stop()


async def test_size_and_defragmentation() -> None:
    """Every version counts until it is compacted away; rebuilding changes no answer."""
    etcd = await started()
    for _ in range(3):
        await etcd.put(b"key", b"12345")
    assert ((await etcd.status()).db_size, (await etcd.status()).db_size_in_use) == (24, 8)
    await etcd.compact(etcd.revision)
    before = await etcd.read(Range(b"key"))
    await etcd.defragment()
    assert (await etcd.status()).db_size == 8 and await etcd.read(Range(b"key")) == before
    assert (await etcd.hash_kv()).compact_revision == 4
    await etcd.stop()


def test_ids_are_the_same_for_the_same_name() -> None:
    """An id has 64 bits and is never 0."""
    assert id_of("kubelab") == id_of("kubelab") != id_of("other")
    assert 0 < id_of("kubelab") < 1 << 64
