"""Watches on the embedded store."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.api import Compacted, DeleteRange, Put, WatchedEvent, prefix_end
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock


async def started(**options: int) -> EmbeddedEtcd:
    etcd = EmbeddedEtcd(None, SteppedClock(), **options)
    await etcd.start()
    return etcd


def told(calls: list[list[WatchedEvent]]) -> list[tuple[str, bytes, int]]:
    return [(e.type, e.kv.key, e.kv.mod_revision) for events in calls for e in events]


async def test_a_watch_sees_its_range_in_order() -> None:
    """A watch hears of each change in its range, once, with what stood there before when it asks for it."""
    etcd = await started()
    calls: list[list[WatchedEvent]] = []
    etcd.watch(b"/pods/", prefix_end(b"/pods/"), on_events=calls.append, prev_kv=True)
    await etcd.put(b"/pods/a", b"1")
    await etcd.put(b"/nodes/a", b"1")
    await etcd.delete_range(b"/pods/a")
    assert told(calls) == [("PUT", b"/pods/a", 2), ("DELETE", b"/pods/a", 4)]
    assert calls[1][0].prev_kv is not None and calls[1][0].prev_kv.value == b"1"
    await etcd.stop()


async def test_one_transaction_is_one_delivery() -> None:
    """All events of a revision come in one call."""
    etcd = await started()
    calls: list[list[WatchedEvent]] = []
    etcd.watch(b"", b"\0", on_events=calls.append)
    await etcd.put(b"a", b"1")
    await etcd.txn((), [Put(b"b", b"1"), DeleteRange(b"a"), Put(b"c", b"1")])
    assert [len(events) for events in calls] == [1, 3]
    await etcd.stop()


async def test_a_watch_from_the_past_misses_nothing() -> None:
    """A watch from an earlier revision is told the history first, then goes on; a compacted one is refused."""
    etcd = await started()
    for i in range(5):
        await etcd.put(b"k", b"%d" % i)
    calls: list[list[WatchedEvent]] = []
    etcd.watch(b"k", start_revision=4, on_events=calls.append)
    await etcd.put(b"k", b"5")
    assert [e.kv.value for events in calls for e in events] == [b"2", b"3", b"4", b"5"]
    await etcd.compact(5)
    with pytest.raises(Compacted) as gone:
        etcd.watch(b"k", start_revision=3, on_events=calls.append)
    assert gone.value.compact_revision == 5
    await etcd.stop()


async def test_cancel_ends_it_and_a_failing_callback_hurts_nobody() -> None:
    """A cancelled watch hears nothing more, and one that raises does not make the write fail."""
    etcd = await started()
    calls: list[list[WatchedEvent]] = []

    def broken(events: list[WatchedEvent]) -> None:
        raise ZeroDivisionError

    etcd.watch(b"k", on_events=broken)
    handle = etcd.watch(b"k", on_events=calls.append)
    await etcd.put(b"k", b"1")
    handle.cancel()
    await etcd.put(b"k", b"2")
    assert len(calls) == 1
    await etcd.stop()


async def test_old_history_is_dropped_by_itself() -> None:
    """The store keeps a bounded number of revisions and never the less its newest state."""
    etcd = await started(retained_revisions=10)
    for i in range(100):
        await etcd.put(b"k%d" % (i % 3), b"v%d" % i)
    assert etcd.revision - etcd.compact_revision <= 20
    assert [kv.value for kv in (await etcd.range(b"k", prefix_end(b"k"))).kvs] == [b"v99", b"v97", b"v98"]
    await etcd.stop()


async def test_watches_of_one_key_and_of_ranges_hear_the_same() -> None:
    """A key's own watches and those of ranges around it are told of the same event; one may end another's."""
    etcd = await started()
    one, wide, full, late = [], [], [], []  # type: ignore[var-annotated]
    handles = [etcd.watch(b"k", on_events=one.append), etcd.watch(b"a", b"z", on_events=wide.append),
               etcd.watch(b"k", on_events=full.append, prev_kv=True)]
    etcd.watch(b"a", b"\0", on_events=lambda events: handles[3].cancel())
    handles.append(etcd.watch(b"a", b"\0", on_events=late.append))
    await etcd.put(b"k", b"1")
    await etcd.put(b"k", b"2")
    assert told(one) == told(wide) == told(full) == [("PUT", b"k", 2), ("PUT", b"k", 3)]
    assert one[1][0] is wide[1][0] and full[1][0].prev_kv.value == b"1"
    assert late == []
    for handle in handles:
        handle.cancel()
    await etcd.put(b"k", b"3")
    assert len(one) == len(wide) == 2
    await etcd.stop()


async def test_a_write_nobody_saw_is_no_previous_value() -> None:
    """Of a key that one transaction puts and deletes both are told, and what stood there in between is not."""
    etcd = await started()
    calls: list[list[WatchedEvent]] = []
    etcd.watch(b"k", on_events=calls.append, prev_kv=True)
    await etcd.txn((), [Put(b"k", b"1"), DeleteRange(b"k")])
    assert [(e.type, e.prev_kv) for e in calls[0]] == [("PUT", None), ("DELETE", None)]
    await etcd.stop()
