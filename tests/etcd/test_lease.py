"""Leases on the embedded store, on a stepped clock."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.api import LeaseNotFound
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock


async def test_keys_vanish_with_their_lease() -> None:
    """When a lease runs out, its keys are deleted at one revision; others stay."""
    clock = SteppedClock()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    lease = await etcd.lease_grant(10)
    await etcd.put(b"a", b"1", lease=lease)
    await etcd.put(b"b", b"1", lease=lease)
    await etcd.put(b"c", b"1")
    assert (await etcd.lease_time_to_live(lease))[1:] == (10, [b"a", b"b"])
    before = etcd.revision
    await clock.step(11)
    assert [kv.key for kv in (await etcd.range(b"a", b"z")).kvs] == [b"c"]
    assert etcd.revision == before + 1
    with pytest.raises(LeaseNotFound):
        await etcd.put(b"d", b"1", lease=lease)
    await etcd.stop()


async def test_keepalive_and_detaching() -> None:
    """A lease kept alive lives on, and a key put again without the lease outlives it."""
    clock = SteppedClock()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    lease = await etcd.lease_grant(10)
    await etcd.put(b"a", b"1", lease=lease)
    await etcd.put(b"b", b"1", lease=lease)
    await clock.step(8)
    assert await etcd.lease_keepalive(lease) == 10
    await clock.step(8)
    assert (await etcd.range(b"a")).count == 1
    await etcd.put(b"a", b"2")
    await etcd.lease_revoke(lease)
    assert [kv.key for kv in (await etcd.range(b"a", b"z")).kvs] == [b"a"]
    with pytest.raises(LeaseNotFound):
        await etcd.lease_keepalive(lease)
    await etcd.stop()
