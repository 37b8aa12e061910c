"""Leases in the hand."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.api import LeaseNotFound
from kubelab.facade.etcd import EtcdHandle, NoSuchKey


def test_keys_end_with_their_lease(etcd: EtcdHandle) -> None:
    """A lease knows its keys and its time; when it is revoked they are gone."""
    lease = etcd.lease(60)
    etcd.put("/demo/here", "x", lease=lease)
    assert lease.keys == ["/demo/here"] and 50 < lease.keep_alive().left_s <= 60
    assert repr(lease) == f"<lease {lease.id:x}: 60 of 60 s left, holds /demo/here>"
    assert etcd.get("/demo/here").lease == lease.id
    lease.revoke()
    with pytest.raises(NoSuchKey):
        etcd.get("/demo/here")
    with pytest.raises(LeaseNotFound, match="It has expired or was revoked"):
        lease.keep_alive()
    assert repr(lease) == f"<lease {lease.id:x}: ended>"
