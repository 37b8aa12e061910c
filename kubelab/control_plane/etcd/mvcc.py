"""The keyspace in memory: transactions on versions, each that changes something at a revision of its own.

    txn ─► compare ─► check ─► apply ─► revision + 1 ─► History ─► watchers
                        └─ refused: nothing has changed

Invariants: revisions only rise; a transaction that changes nothing uses none; one that is refused changes nothing.
Models:     etcd's mvcc package and apply.go
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kubelab.control_plane.etcd.api import (
    Compare,
    DeleteRange,
    DeleteResult,
    KeyValue,
    LeaseNotFound,
    NestedTxn,
    Op,
    OpResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    TxnResult,
)
from kubelab.control_plane.etcd.errors import KeyNotFound
from kubelab.control_plane.etcd.history import Change as Change
from kubelab.control_plane.etcd.history import History

_FIELD = {"create": 2, "mod": 3, "version": 4, "lease": 5}  # positions in KeyValue


class _Branch(NamedTuple):
    """A nested transaction whose compares have been decided."""

    succeeded: bool
    ops: Sequence[Op | _Branch]


def _any_lease(lease: int) -> bool:
    return True


class Store(History):
    """The keyspace. `has_lease(id)` says whether a put may name that lease."""

    def __init__(self, has_lease: Callable[[int], bool] = _any_lease) -> None:
        super().__init__()
        self._has_lease = has_lease

    def txn(self, compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op] = ()) -> TxnResult:
        """Run `success` if every compare holds, else `failure`; all changes get the same new revision.

        Raises LeaseNotFound, KeyNotFound, Compacted, FutureRevision, and then has changed nothing.
        """
        succeeded = self._all_hold(compares)
        ops: Sequence[Op | _Branch] = success if succeeded else failure
        before = len(self._log)
        if len(ops) == 1 and type(ops[0]) is Put:  # what an API server does all day
            responses: list[OpResult] = [self._put(ops[0], self.revision + 1)]
        else:
            if len(ops) != 1 or type(ops[0]) is NestedTxn:
                ops = self._checked(ops)  # a single operation refuses before it changes anything
            responses = self._run(ops, self.revision + 1, before)
        if len(self._log) > before:
            self.revision += 1
        return TxnResult(succeeded, responses, self.revision)

    def _all_hold(self, compares: Sequence[Compare]) -> bool:
        live = self._live
        for key, target, op, want, range_end in compares:
            if range_end is None:
                if not _holds(target, op, want, live.get(key)):
                    return False
            else:
                kvs: Sequence[KeyValue | None] = self._between(key, range_end, 0) or (None,)
                if not all(_holds(target, op, want, kv) for kv in kvs):
                    return False
        return True

    def _checked(self, ops: Sequence[Op | _Branch]) -> list[Op | _Branch]:
        """Decide nested transactions, then refuse what could not be done, before anything has changed."""
        decided = [self._decided(op) for op in ops]
        flat = list(_flat(decided))
        for op in flat:
            if type(op) is Put:
                self._check_put(op)
        for op in flat:
            if type(op) is Range:
                self._check_revision(op.revision)
        return decided

    def _decided(self, op: Op | _Branch) -> Op | _Branch:
        if not isinstance(op, NestedTxn):
            return op
        succeeded = self._all_hold(op.compares)
        return _Branch(succeeded, [self._decided(inner) for inner in (op.success if succeeded else op.failure)])

    def _check_put(self, op: Put) -> None:
        if op.lease and not self._has_lease(op.lease):
            raise LeaseNotFound(op.lease)
        if (op.ignore_value or op.ignore_lease) and op.key not in self._live:
            raise KeyNotFound

    def _run(self, ops: Sequence[Op | _Branch], revision: int, before: int) -> list[OpResult]:
        """Run operations at a new `revision`; `before` is how long the log was when the transaction began."""
        responses: list[OpResult] = []
        for op in ops:
            kind = type(op)
            if kind is Put:
                responses.append(self._put(op, revision))  # type: ignore[arg-type]
            elif kind is DeleteRange:
                responses.append(self._delete(op, revision, before))  # type: ignore[arg-type]
            elif kind is Range:
                responses.append(self._read_within(op, revision, before))  # type: ignore[arg-type]
            else:
                assert isinstance(op, _Branch)
                responses.append(TxnResult(op.succeeded, self._run(op.ops, revision, before), 0))
        return responses

    def _read_within(self, query: Range, revision: int, before: int) -> RangeResult:
        """Read inside a transaction: "now" includes what it has changed so far."""
        if len(self._log) == before:
            return self.read(query)
        self.revision = revision
        result = self.read(query)
        self.revision = revision - 1
        return result

    def _put(self, op: Put, revision: int) -> PutResult:
        key, value, lease, prev_kv, ignore_value, ignore_lease = op
        if lease or ignore_value or ignore_lease:
            self._check_put(op)
        prev = self._live.get(key)
        if prev is None:
            kv = KeyValue(key, value, revision, revision, 1, lease)
        else:
            if ignore_value:
                value = prev.value
            if ignore_lease:
                lease = prev.lease
            kv = KeyValue(key, value, prev.create_revision, revision, prev.version + 1, lease)
        self._append(kv, prev)
        return PutResult(prev if prev_kv else None, revision)

    def _delete(self, op: DeleteRange, revision: int, before: int = -1) -> DeleteResult:
        if op.range_end is None:
            kv = self._live.get(op.key)
            doomed = [] if kv is None else [kv]
        else:
            doomed = self._between(op.key, op.range_end, 0)
        for prev in doomed:
            self._append(KeyValue(prev.key, b"", 0, revision, 0), prev)
        at = revision if len(self._log) != before else revision - 1
        return DeleteResult(len(doomed), doomed if op.prev_kv else [], at)

    def replay(self, revision: int, changes: Sequence[tuple[bytes, bytes | None, int]]) -> None:
        """Apply a logged transaction again: (key, value or None for a deletion, lease) at its own revision."""
        for key, value, lease in changes:
            if value is None:
                self._delete(DeleteRange(key), revision)
            else:
                self._put(Put(key, value, lease), revision)
        self.revision = revision
        self._fresh = []


def _flat(ops: Sequence[Op | _Branch]) -> Iterator[Op]:
    """Yield the operations that will run, those of branches in their place."""
    for op in ops:
        if isinstance(op, _Branch):
            yield from _flat(op.ops)
        else:
            yield op


def _holds(target: str, op: str, want: int | bytes, kv: KeyValue | None) -> bool:
    if target == "value":
        if kv is None:
            return False  # as etcd: an absent key has no value to compare, not even an unequal one
        have: int | bytes = kv.value
    else:
        have = 0 if kv is None else kv[_FIELD[target]]
    if op == "=":
        return have == want
    if op == "!=":
        return have != want
    return have < want if op == "<" else have > want  # type: ignore[operator]
