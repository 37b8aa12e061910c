"""The keyspace in memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.control_plane.etcd.api import (
    Compacted,
    Compare,
    DeleteRange,
    FutureRevision,
    KeyValue,
    NestedTxn,
    Op,
    Put,
    PutResult,
    Range,
    RangeResult,
    TxnResult,
    prefix_end,
)
from kubelab.control_plane.etcd.errors import EtcdError, KeyNotFound
from kubelab.control_plane.etcd.mvcc import Change, Store


def values(result: RangeResult) -> list[tuple[bytes, bytes]]:
    return [(kv.key, kv.value) for kv in result.kvs]


def test_revisions_versions_and_creation() -> None:
    """A key counts its puts, remembers when it was created, and starts anew after a deletion."""
    store = Store()
    assert store.revision == 1
    store.txn((), [Put(b"a", b"1")])
    store.txn((), [Put(b"a", b"2")])
    kv = store.range(b"a").kvs[0]
    assert (kv.create_revision, kv.mod_revision, kv.version) == (2, 3, 2)
    store.txn((), [DeleteRange(b"a")])
    store.txn((), [Put(b"a", b"3")])
    kv = store.range(b"a").kvs[0]
    assert (kv.create_revision, kv.mod_revision, kv.version) == (5, 5, 1)


def test_a_read_in_the_past() -> None:
    """A range at a revision shows the keys as they were then, deletions included."""
    store = Store()
    store.txn((), [Put(b"a", b"1"), Put(b"b", b"1")])
    store.txn((), [DeleteRange(b"a")])
    store.txn((), [Put(b"c", b"1")])
    assert [kv.key for kv in store.range(b"a", b"z", revision=2).kvs] == [b"a", b"b"]
    assert [kv.key for kv in store.range(b"a", b"z", revision=3).kvs] == [b"b"]
    assert [kv.key for kv in store.range(b"a", b"z").kvs] == [b"b", b"c"]
    with pytest.raises(FutureRevision):
        store.range(b"a", revision=99)


def test_limit_count_and_keys_only() -> None:
    """A limited range says how many keys there are and that more follow."""
    store = Store()
    for i in range(30):
        store.txn((), [Put(b"k%02d" % i, b"v")])
    found = store.range(b"k", prefix_end(b"k"), limit=10, keys_only=True)
    assert (len(found.kvs), found.count, found.more) == (10, 30, True)
    assert found.kvs[0].value == b""
    assert store.range(b"k", prefix_end(b"k"), count_only=True) == RangeResult([], 31, 30, False)
    assert store.range(b"k05", b"\0").count == 25


def test_transactions_choose_a_branch() -> None:
    """Compares on version, revisions, value and lease decide; a branch that changes nothing uses no revision."""
    store = Store()
    made = store.txn([Compare(b"a", "mod", "=", 0)], [Put(b"a", b"1")], [Range(b"a")])
    assert (made.succeeded, made.revision) == (True, 2)
    again = store.txn([Compare(b"a", "mod", "=", 0)], [Put(b"a", b"2")], [Range(b"a")])
    assert (again.succeeded, again.revision) == (False, 2)
    assert isinstance(again.responses[0], RangeResult) and again.responses[0].kvs[0].value == b"1"
    assert store.txn([Compare(b"a", "value", "=", b"1"), Compare(b"a", "version", "<", 2),
                      Compare(b"a", "create", ">", 1), Compare(b"a", "lease", "!=", 7)], []).succeeded
    assert not store.txn([Compare(b"none", "value", "!=", b"1")], []).succeeded


def test_all_operations_of_a_transaction_share_a_revision() -> None:
    """Later operations see earlier ones, and a put can return what it replaced."""
    store = Store()
    store.txn((), [Put(b"a", b"1")])
    result = store.txn((), [Put(b"a", b"2", prev_kv=True), Put(b"b", b"2"), Range(b"a", b"z")])
    assert isinstance(result.responses[0], PutResult) and result.responses[0].prev_kv is not None
    assert result.responses[0].prev_kv.value == b"1"
    assert isinstance(result.responses[2], RangeResult)
    assert {kv.mod_revision for kv in result.responses[2].kvs} == {3}


def test_compaction_forgets_the_past_only() -> None:
    """After compaction, reads at that revision or later answer as before, older ones are refused."""
    store = Store()
    store.txn((), [Put(b"a", b"1")])
    store.txn((), [Put(b"a", b"2"), Put(b"b", b"1")])
    store.txn((), [DeleteRange(b"b")])
    store.txn((), [Put(b"a", b"3")])
    before = store.range(b"a", b"z", revision=4)
    store.compact(4)
    assert store.range(b"a", b"z", revision=4).kvs == before.kvs
    with pytest.raises(Compacted) as gone:
        store.range(b"a", revision=3)
    assert gone.value.compact_revision == 4
    with pytest.raises(Compacted):
        store.compact(4)
    with pytest.raises(Compacted):
        store.changes_since(3)
    assert [change.kv.mod_revision for change in store.changes_since(4)] == [5]  # a deletion is compacted away
    store.compact(5)
    assert store.changes_since(5) == [Change(store.range(b"a").kvs[0], None)]


KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS = st.lists(st.one_of(st.tuples(st.just("put"), KEYS, st.binary(max_size=3)), st.tuples(st.just("delete"), KEYS),
                           st.tuples(st.just("compact"), st.integers(1, 40))), max_size=40)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_history_equals_a_plain_model(steps: list[tuple[object, ...]]) -> None:
    """Whatever is put, deleted and compacted: each revision still readable shows what a copied dict shows."""
    store, model, past = Store(), {}, {1: {}}  # type: ignore[var-annotated]
    for step in steps:
        if step[0] == "put":
            store.txn((), [Put(step[1], step[2])])  # type: ignore[arg-type]
            model[step[1]] = step[2]
        elif step[0] == "delete":
            store.txn((), [DeleteRange(step[1])])  # type: ignore[arg-type]
            model.pop(step[1], None)
        elif store.compact_revision < step[1] <= store.revision:  # type: ignore[operator]
            store.compact(step[1])  # type: ignore[arg-type]
        past[store.revision] = dict(model)
    for revision, expected in past.items():
        if revision >= max(store.compact_revision, 1):
            assert dict(values(store.range(b"a", b"z", revision=revision))) == expected


def test_prefix_end() -> None:
    """The end of a prefix is its last byte plus one; a prefix of 0xff bytes reaches to the end."""
    assert prefix_end(b"/registry/") == b"/registry0"
    assert prefix_end(b"a\xff") == b"b"
    assert prefix_end(b"\xff") == b"\0"


def test_a_put_can_keep_the_value_or_the_lease() -> None:
    """ignore_value and ignore_lease take over what stands there, and need something to stand there."""
    store = Store()
    store.txn((), [Put(b"a", b"1", lease=7)])
    store.txn((), [Put(b"a", b"", ignore_value=True)])
    assert store.range(b"a").kvs[0] == KeyValue(b"a", b"1", 2, 3, 2, 0)
    store.txn((), [Put(b"a", b"2", lease=9)])
    store.txn((), [Put(b"a", b"3", ignore_lease=True)])
    assert store.range(b"a").kvs[0][1:] == (b"3", 2, 5, 4, 9)
    with pytest.raises(KeyNotFound):
        store.txn((), [Put(b"none", b"", ignore_value=True)])


@pytest.mark.parametrize("refused", [Put(b"none", b"", ignore_value=True), Put(b"x", b"", lease=5),
                                     Range(b"a", revision=9), Range(b"a", revision=2),
                                     NestedTxn((), [Put(b"x", b"", lease=5)])])
def test_a_refused_transaction_changes_nothing(refused: Op) -> None:
    """An operation that cannot be done stops those before it as well."""
    store = Store(has_lease=lambda lease: lease == 4)
    for value in (b"1", b"2"):
        store.txn((), [Put(b"a", value, lease=4)])
    store.compact(3)
    before = (store.revision, store.live())
    with pytest.raises(EtcdError):
        store.txn((), [Put(b"a", b"3"), refused])
    with pytest.raises(EtcdError):
        store.txn((), [refused])
    assert (store.revision, store.live()) == before
    assert store.txn([Compare(b"a", "value", "=", b"no")], [Put(b"x", b"", lease=5)]).succeeded is False


def test_transactions_in_transactions() -> None:
    """Compares of a nested transaction see the keys from before; all changes still share one revision."""
    store = Store()
    inner = NestedTxn([Compare(b"a", "version", "=", 0)], [Put(b"new", b"1")], [Put(b"old", b"1")])
    result = store.txn((), [Put(b"a", b"1"), inner, Range(b"a", b"z")])
    assert result.responses[1] == TxnResult(True, [PutResult(None, 2)], 0)
    assert isinstance(result.responses[2], RangeResult)
    assert [(kv.key, kv.mod_revision) for kv in result.responses[2].kvs] == [(b"a", 2), (b"new", 2)]
    assert store.txn((), [inner]).responses[0] == TxnResult(False, [PutResult(None, 3)], 0)


def test_reads_in_a_transaction_know_the_past_from_the_present() -> None:
    """A read at the revision before the transaction does not see what it has changed; one of now does."""
    store = Store()
    store.txn((), [Put(b"a", b"1")])
    now, past = store.txn((), [Put(b"a", b"2"), Range(b"a"), Range(b"a", revision=2)]).responses[1:]
    assert isinstance(now, RangeResult) and isinstance(past, RangeResult)
    assert (values(now), values(past)) == ([(b"a", b"2")], [(b"a", b"1")])
    assert (now.revision, store.revision) == (3, 3)


def test_a_compare_over_a_range() -> None:
    """It must hold for every key there; over none, for an absent key."""
    store = Store()
    store.txn((), [Put(b"a1", b"x"), Put(b"a2", b"x"), Put(b"b", b"y")])

    def holds(*compare: object) -> bool:
        return store.txn([Compare(*compare)], ()).succeeded  # type: ignore[arg-type]

    assert holds(b"a", "value", "=", b"x", b"b") and not holds(b"a", "value", "=", b"x", b"c")
    assert holds(b"b", "create", ">", 1, b"\0") and holds(b"c", "version", "=", 0, b"d")
    assert not holds(b"c", "value", "!=", b"x", b"d")


def test_the_hash_is_of_the_history() -> None:
    """Stores with the same history have the same checksum at each revision, others another."""
    one, two = Store(), Store()
    for store in (one, two):
        store.txn((), [Put(b"a", b"1")])
    assert one.hash() == two.hash() and one.hash(2)[1] == 2
    two.txn((), [Put(b"a", b"2")])
    assert one.hash() != two.hash() and one.hash(2) == two.hash(2)
    with pytest.raises(FutureRevision):
        one.hash(9)
