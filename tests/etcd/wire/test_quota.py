"""A store that is full."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.server import EtcdWire
from kubelab.machinery.clock import RealClock

from .client import Client, Refusal, connected
from .conftest import etcdctl_for


@pytest.fixture
async def small() -> AsyncIterator[tuple[Client, str]]:
    """A client of a store with room for 20 kB, and its address."""
    etcd = EmbeddedEtcd(None, RealClock())
    await etcd.start()
    wire = EtcdWire(etcd, "127.0.0.1:0", clock=RealClock(), quota_bytes=20_000)
    await wire.start()
    address = wire.endpoint.partition("://")[2]
    async with connected(address) as client:
        yield client, address
    await wire.stop()
    await etcd.stop()


async def _fill(client: Client) -> Refusal:
    for _ in range(100):
        try:
            await client("KV", "Put", key=b"k", value=bytes(1000))
        except Refusal as refused:
            return refused
    raise AssertionError("100 kB found room in 20 kB")


async def test_a_full_store_reads_and_deletes_alone(small: tuple[Client, str]) -> None:
    """Puts, transactions that put and leases are refused with etcd's code; the rest goes on."""
    client, _ = small
    refused = await _fill(client)
    assert (refused.code, refused.text) == ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
    for service, method, request in (
            ("KV", "Put", pb.PutRequest(key=b"a")), ("KV", "Txn", pb.TxnRequest(failure=[put])),
            ("KV", "Txn", pb.TxnRequest(success=[pb.RequestOp(request_txn=pb.TxnRequest(success=[put]))])),
            ("Lease", "LeaseGrant", pb.LeaseGrantRequest(TTL=60))):
        with pytest.raises(Refusal, match="space exceeded"):
            await client(service, method, request)
    assert (await client("KV", "Range", key=b"k")).count == 1
    reading = pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"k"))])
    assert (await client("KV", "Txn", reading)).succeeded
    assert (await client("KV", "DeleteRange", key=b"k")).deleted == 1


@pytest.mark.etcd
async def test_the_way_out_of_it(small: tuple[Client, str]) -> None:
    """etcdctl shows the alarm; compact, defrag and disarm make room again."""
    client, address = small
    await _fill(client)
    etcdctl = etcdctl_for(f"--endpoints={address}")
    assert (await etcdctl("alarm", "list")).out.endswith("alarm:NOSPACE \n")
    assert "NOSPACE" in (await etcdctl("endpoint", "status", "-w", "table")).out
    revision = (await client("KV", "Range", key=b"k")).header.revision
    for words in (("compact", str(revision)), ("defrag",), ("alarm", "disarm")):
        assert (await etcdctl(*words)).code == 0
    assert (await etcdctl("put", "k", "small")).out == "OK\n"
