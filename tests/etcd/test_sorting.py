"""Order and bounds of a range."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.api import Put, Range, RangeResult
from kubelab.control_plane.etcd.mvcc import Store


@pytest.fixture
def store() -> Store:
    """a=3 (created 2, written 5), b=1 (3, 3), c=2 (4, 6)."""
    store = Store()
    for key, value in ((b"a", b"0"), (b"b", b"1"), (b"c", b"0"), (b"a", b"3"), (b"c", b"2")):
        store.txn((), [Put(key, value)])
    return store


def keys(found: RangeResult) -> bytes:
    return b"".join(kv.key for kv in found.kvs)


@pytest.mark.parametrize(("target", "order", "expected"), [
    ("key", "none", b"abc"), ("key", "ascend", b"abc"), ("key", "descend", b"cba"),
    ("version", "ascend", b"bac"), ("version", "descend", b"acb"), ("create", "descend", b"cba"),
    ("mod", "ascend", b"bac"), ("mod", "descend", b"cab"), ("value", "ascend", b"bca"), ("value", "descend", b"acb"),
    ("value", "none", b"bca")])
def test_every_order(store: Store, target: str, order: str, expected: bytes) -> None:
    """A range sorts by each field, up and down; a field alone means up; equals keep their order."""
    found = store.read(Range(b"a", b"z", sort_target=target, sort_order=order))  # type: ignore[arg-type]
    assert keys(found) == expected


def test_bounds_sift_before_the_limit(store: Store) -> None:
    """Bounds on revisions leave keys out, the limit cuts what is left, and the count is of all keys."""
    assert keys(store.read(Range(b"a", b"z", min_mod_revision=5))) == b"ac"
    assert keys(store.read(Range(b"a", b"z", max_mod_revision=5))) == b"ab"
    assert keys(store.read(Range(b"a", b"z", min_create_revision=3, max_create_revision=3))) == b"b"
    found = store.read(Range(b"a", b"z", limit=1, min_mod_revision=5))
    assert (keys(found), found.count, found.more) == (b"a", 3, True)
    found = store.read(Range(b"a", b"z", limit=1, sort_target="mod", sort_order="descend", keys_only=True))
    assert (keys(found), found.more, found.kvs[0].value) == (b"c", True, b"")
    assert store.read(Range(b"a", b"z", count_only=True, sort_order="ascend")) == RangeResult([], 6, 3, False)
