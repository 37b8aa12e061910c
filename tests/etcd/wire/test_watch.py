"""The Watch service, on one stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kubelab.control_plane.etcd.api import Put
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire import watch
from kubelab.control_plane.etcd.wire.server import EtcdWire
from kubelab.machinery.clock import SteppedClock

from .client import Client, answer, ask_progress, connected, create


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def etcd(clock: SteppedClock) -> AsyncIterator[EmbeddedEtcd]:
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    yield etcd
    await etcd.stop()


@pytest.fixture
async def client(etcd: EmbeddedEtcd, clock: SteppedClock) -> AsyncIterator[Client]:
    wire = EtcdWire(etcd, "127.0.0.1:0", clock=clock, progress_s=10)
    await wire.start()
    async with connected(wire.endpoint.partition("://")[2]) as client:
        yield client
    await wire.stop()


async def test_filters_and_previous_values(client: Client, etcd: EmbeddedEtcd) -> None:
    """NOPUT and NODELETE hide what they say; prev_kv brings what stood there."""
    stream = client.stream()
    await stream.write(create(key=b"k", filters=[0], prev_kv=True))
    await stream.write(create(key=b"k", filters=[1]))
    for _ in range(2):
        assert (await answer(stream)).created
    await etcd.put(b"k", b"1")
    await etcd.delete_range(b"k")
    await etcd.put(b"k", b"2")
    seen = {0: [], 1: []}  # type: ignore[var-annotated]
    while len(seen[0]) + len(seen[1]) < 3:
        told = await answer(stream)
        seen[told.watch_id] += [(event.type, event.kv.mod_revision, event.prev_kv.value) for event in told.events]
    assert seen == {0: [(1, 3, b"1")], 1: [(0, 2, b""), (0, 4, b"")]}
    stream.cancel()


async def test_progress_on_request_comes_after_the_events(client: Client, etcd: EmbeddedEtcd) -> None:
    """The answer names the revision up to which everything has been told, and no watch."""
    stream = client.stream()
    await stream.write(create(key=b"k"))
    await answer(stream)
    await etcd.put(b"k", b"1")
    await etcd.put(b"other", b"1")
    await stream.write(ask_progress())
    assert (await answer(stream)).events[0].kv.mod_revision == 2
    progress = await answer(stream)
    assert (progress.watch_id, progress.header.revision, len(progress.events)) == (-1, 3, 0)
    stream.cancel()


async def test_a_quiet_watch_says_now_and_then_where_it_is(client: Client, etcd: EmbeddedEtcd,
                                                           clock: SteppedClock) -> None:
    """With progress_notify an interval without events brings a notification; one with events does not."""
    stream = client.stream()
    await stream.write(create(key=b"k", progress_notify=True))
    await answer(stream)
    await etcd.put(b"k", b"1")
    assert (await answer(stream)).events
    await clock.step(10)
    await etcd.put(b"other", b"1")
    await clock.step(10)
    told = await answer(stream)
    assert (told.watch_id, told.header.revision, len(told.events)) == (0, 3, 0)
    stream.cancel()


async def test_large_histories_come_in_pieces(client: Client, etcd: EmbeddedEtcd) -> None:
    """Answers end between revisions; a revision that is larger comes in fragments, to a client that asked for them."""
    for i in range(4):
        await etcd.put(b"k%d" % i, bytes(1_000_000))
    await etcd.txn((), [Put(b"k%d" % i, bytes(1_000_000)) for i in range(4)])
    stream = client.stream()
    await stream.write(create(key=b"k", range_end=b"l", start_revision=2))
    await answer(stream)
    sizes = []
    while sum(sizes) < 8:
        told = await answer(stream)
        sizes.append(len(told.events))
        assert not told.fragment
    assert sizes == [1, 1, 1, 1, 4]
    await stream.write(create(key=b"k", range_end=b"l", start_revision=6, fragment=True))
    await answer(stream)
    pieces = [await answer(stream) for _ in range(4)]
    assert [(piece.fragment, len(piece.events)) for piece in pieces] == [(True, 1)] * 3 + [(False, 1)]
    stream.cancel()


async def test_a_client_that_does_not_read_costs_little_and_misses_nothing(
        client: Client, etcd: EmbeddedEtcd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the outbox its watch waits in the history, and goes on from there when the client reads."""
    monkeypatch.setattr(watch, "OUTBOX_EVENTS", 10)
    stream = client.stream()
    await stream.write(create(key=b"k"))
    await answer(stream)
    for i in range(500):
        await etcd.put(b"k", b"%d" % i)  # without a turn of the loop, so that nothing goes out
    assert len(etcd._hub) == 0
    seen: list[int] = []
    while len(seen) < 500:
        seen += [event.kv.mod_revision for event in (await answer(stream)).events]
    assert seen == list(range(2, 502))
    await etcd.put(b"k", b"last")
    assert (await answer(stream)).events[0].kv.value == b"last"
    stream.cancel()


async def test_history_that_is_gone(client: Client, etcd: EmbeddedEtcd) -> None:
    """A watch from a compacted revision is created, then canceled with the revision that it can have."""
    for i in range(5):
        await etcd.put(b"k", b"%d" % i)
    await etcd.compact(4)
    stream = client.stream()
    await stream.write(create(key=b"k", start_revision=2))
    assert (await answer(stream)).created
    gone = await answer(stream)
    assert (gone.canceled, gone.compact_revision, gone.watch_id) == (True, 4, 0)
    await stream.write(create(key=b"k", start_revision=4))
    assert (await answer(stream)).watch_id == 1
    assert [event.kv.mod_revision for event in (await answer(stream)).events] == [4, 5, 6]
    stream.cancel()


async def test_a_client_that_goes_leaves_nothing(client: Client, etcd: EmbeddedEtcd) -> None:
    """The end of a stream ends its watches in the store."""
    stream = client.stream()
    await stream.write(create(key=b"k"))
    await stream.write(create(key=b"k", range_end=b"l"))
    for _ in range(2):
        await answer(stream)
    stream.cancel()
    await client("KV", "Put", pb.PutRequest(key=b"k"))  # on the same connection, so after it
    assert len(etcd._hub) == 0
