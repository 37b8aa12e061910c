"""A snapshot of either etcd is a beginning for the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubelab.control_plane.etcd.api import KeyValue
from kubelab.control_plane.etcd.snapshot_file import unpack
from kubelab.control_plane.etcd.wire.convert import kv_message
from tests.etcd.real_members import RealMembers

from .client import connected
from .conftest import Etcdctl, Served, etcdctl_for

pytestmark = pytest.mark.etcd


async def _filled(served: Served) -> None:
    """Write enough for several levels of pages, a large value, a lease, a deletion at the end."""
    for i in range(300):
        await served.etcd.put(b"/swap/%d" % i, b"v" * (i * 13 % 900))
    await served.etcd.put(b"/swap/large", b"x" * 300_000)
    await served.etcd.put(b"/swap/leased", b"1", lease=await served.etcd.lease_grant(3600))
    await served.etcd.delete_range(b"/swap/7")


async def _all(address: str) -> Any:
    async with connected(address) as client:
        found = await client("KV", "Range", key=b"/", range_end=b"0")
        return found.header.revision, [kv.SerializeToString() for kv in found.kvs]


async def test_a_real_etcd_begins_with_our_snapshot(served: Served, etcdctl: Etcdctl, tmp_path: Path) -> None:
    """etcdctl checks and restores the file; a real etcd then has the same keys at the same revision, and the lease."""
    await _filled(served)
    file = tmp_path / "saved"
    await etcdctl("snapshot", "save", str(file))
    status = json.loads((await etcdctl("snapshot", "status", str(file), "-w", "json")).out)
    assert status["revision"] == served.etcd.revision - 1  # the newest that a key has; the deletion is compacted away
    assert (await etcdctl("snapshot", "restore", str(file), "--data-dir", str(tmp_path / "m0"))).code == 0
    with RealMembers(tmp_path, 1, "--force-new-cluster") as member:
        assert await _all(member.address) == await _all(served.address)
        leases = (await etcdctl_for(f"--endpoints={member.address}")("lease", "list")).out
        assert leases == (await etcdctl("lease", "list")).out


async def test_ours_begins_with_a_snapshot_of_a_real_one(tmp_path: Path) -> None:
    """Its newest versions, its leases and its revision; what it had deleted stays deleted."""
    file = tmp_path / "saved"
    with RealMembers(tmp_path, 1, "--unsafe-no-fsync") as member:
        async with connected(member.address) as client:
            await client("Lease", "LeaseGrant", ID=77, TTL=3600)
            for i in range(200):
                await client("KV", "Put", key=b"/k/%d" % (i % 50), value=b"%d" % i)
            await client("KV", "Put", key=b"/leased", value=b"1", lease=77)
            await client("KV", "DeleteRange", key=b"/k/3")
        real = etcdctl_for(f"--endpoints={member.address}")
        await real("snapshot", "save", str(file))
        revision, kvs = await _all(member.address)
    state = unpack(file.read_bytes()[:-32])
    assert (state.revision, state.leases) == (revision, [(77, 3600)])
    assert sorted(kv_message(kv).SerializeToString() for kv in state.kvs) == sorted(kvs)
    assert KeyValue(b"/leased", b"1", 202, 202, 1, 77) in state.kvs
