"""The embedded store as a component."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.api import EtcdApi, Unavailable, WatchedEvent
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock


async def test_a_stopped_store_answers_nothing_and_keeps_its_keys() -> None:
    """Stopped, it refuses; started again, keys and watches go on where they were."""
    etcd = EmbeddedEtcd(None, SteppedClock())
    shape: EtcdApi = etcd
    await etcd.start()
    calls: list[list[WatchedEvent]] = []
    shape.watch(b"a", on_events=calls.append)
    await etcd.put(b"a", b"1")
    await etcd.stop()
    with pytest.raises(Unavailable):
        await etcd.range(b"a")
    with pytest.raises(Unavailable):
        await etcd.put(b"a", b"2")
    await etcd.start()
    assert (await etcd.range(b"a")).kvs[0].value == b"1"
    await etcd.put(b"a", b"2")
    assert len(calls) == 2
    await etcd.stop()
