"""The keyspace in memory: every key keeps its versions, every change has a revision.

    txn ─► compare ─► apply ─► revision + 1 ─► log ─► watchers
                        │
    key ─► [v1 @5] [v2 @9] [deleted @12]          (versions, oldest first)
    log ─► @5 @6 @7 ... @12                       (changes, for watches from the past)

Invariants: revisions only rise; a transaction that changes nothing uses none; `_log` is in revision order;
            after `compact(r)` every read at a revision >= r still gives the same answer.
Models:     etcd's mvcc package (its B-tree index and backend are a dict and a sorted list here)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from kubelab.control_plane.etcd.api import (
    Compacted,
    Compare,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    Op,
    OpResult,
    Put,
    PutResult,
    RangeResult,
    TxnResult,
)

_FIELD = {"create": 2, "mod": 3, "version": 4, "lease": 5}  # positions in KeyValue
_FEW_NEW_KEYS = 16  # up to here, inserting one by one beats sorting anew


class Change(NamedTuple):
    """One key changed: `kv.version` is 0 for a deletion, `prev` is what stood there before."""

    kv: KeyValue
    prev: KeyValue | None


class Store:
    """The keyspace. Not safe for threads; nothing here waits.

    Every applied change is handed out once by `take_changes`, for the log on disk and for the watchers.
    """

    def __init__(self) -> None:
        self.revision = 1  # as etcd: an empty store stands at revision 1
        self.compact_revision = 0
        self._versions: dict[bytes, list[KeyValue]] = {}  # every key that has history, oldest version first
        self._live: dict[bytes, KeyValue] = {}  # the newest version of every key that exists
        self._sorted: list[bytes] = []  # the keys of _versions in order, except those in _unsorted
        self._unsorted: list[bytes] = []
        self._log: list[Change] = []
        self._fresh: list[Change] = []

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, key: bytes) -> KeyValue | None:
        return self._live.get(key)

    def range(self, key: bytes, range_end: bytes | None = None, revision: int = 0, limit: int = 0,
              count_only: bool = False, keys_only: bool = False) -> RangeResult:
        """Read one key or [key, range_end) as of `revision` (0: now). Raises Compacted, FutureRevision."""
        now = self.revision
        if revision > now:
            raise FutureRevision(revision, now)
        if 0 < revision < self.compact_revision:
            raise Compacted(self.compact_revision)
        if range_end is None:
            kv = self._at(key, revision) if 0 < revision < now else self._live.get(key)
            found = [] if kv is None else [kv]
        else:
            found = self._between(key, range_end, revision if 0 < revision < now else 0)
        count = len(found)
        if count_only:
            return RangeResult([], now, count, False)
        more = 0 < limit < count
        if more:
            del found[limit:]
        if keys_only:
            found = [kv._replace(value=b"") for kv in found]
        return RangeResult(found, now, count, more)

    def _between(self, key: bytes, range_end: bytes, revision: int) -> list[KeyValue]:
        keys = self._order()
        first = bisect_left(keys, key)
        last = len(keys) if range_end == b"\0" else bisect_left(keys, range_end)
        if revision:
            versions = (self._at(k, revision) for k in keys[first:last])
        else:
            versions = map(self._live.get, keys[first:last])  # type: ignore[assignment]
        return [kv for kv in versions if kv is not None]

    def _at(self, key: bytes, revision: int) -> KeyValue | None:
        for kv in reversed(self._versions.get(key, ())):
            if kv.mod_revision <= revision:
                return kv if kv.version else None
        return None

    def _order(self) -> list[bytes]:
        if self._unsorted:
            if len(self._unsorted) <= _FEW_NEW_KEYS:
                for key in self._unsorted:
                    insort(self._sorted, key)
            else:
                self._sorted += self._unsorted
                self._sorted.sort()  # two sorted runs: linear
            self._unsorted = []
        return self._sorted

    def changes_since(self, revision: int) -> Sequence[Change]:
        """Return the changes with mod_revision >= `revision`, oldest first. Raises Compacted."""
        if revision <= self.compact_revision:
            raise Compacted(self.compact_revision)
        return self._log[bisect_left(self._log, revision, key=_revision_of):]

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    def txn(self, compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op] = ()) -> TxnResult:
        """Run `success` if every compare holds, else `failure`; all changes get the same new revision."""
        live = self._live
        succeeded = True
        for compare in compares:
            if not _holds(compare, live.get(compare.key)):
                succeeded = False
                break
        next_revision = self.revision + 1
        responses: list[OpResult] = []
        changed = False
        for op in success if succeeded else failure:
            kind = type(op)
            if kind is Put:
                responses.append(self._put(op, next_revision))  # type: ignore[arg-type]
                changed = True
            elif kind is DeleteRange:
                result = self._delete(op, next_revision)  # type: ignore[arg-type]
                changed = changed or result.deleted > 0
                responses.append(result)
            else:
                responses.append(self.range(*op))
        if changed:
            self.revision = next_revision
        return TxnResult(succeeded, responses, self.revision)

    def _put(self, op: Put, revision: int) -> PutResult:
        key = op.key
        prev = self._live.get(key)
        if prev is None:
            kv = KeyValue(key, op.value, revision, revision, 1, op.lease)
        else:
            kv = KeyValue(key, op.value, prev.create_revision, revision, prev.version + 1, op.lease)
        self._append(kv, prev)
        return PutResult(prev if op.prev_kv else None)

    def _delete(self, op: DeleteRange, revision: int) -> DeleteResult:
        if op.range_end is None:
            kv = self._live.get(op.key)
            doomed = [] if kv is None else [kv]
        else:
            doomed = self._between(op.key, op.range_end, 0)
        for prev in doomed:
            self._append(KeyValue(prev.key, b"", 0, revision, 0), prev)
        return DeleteResult(len(doomed), doomed if op.prev_kv else [])

    def _append(self, kv: KeyValue, prev: KeyValue | None) -> None:
        key = kv.key
        versions = self._versions.get(key)
        if versions is None:
            self._versions[key] = [kv]
            self._unsorted.append(key)
        else:
            versions.append(kv)
        if kv.version:
            self._live[key] = kv
        else:
            del self._live[key]
        change = Change(kv, prev)
        self._log.append(change)
        self._fresh.append(change)

    def take_changes(self) -> list[Change]:
        """Return what was changed since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    # ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────

    def compact(self, revision: int) -> None:
        """Forget every version that no read at `revision` or later can see. Raises Compacted, FutureRevision."""
        if revision <= self.compact_revision:
            raise Compacted(self.compact_revision)
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        end = bisect_left(self._log, revision + 1, key=_revision_of)
        gone = set()
        for key in {change.kv.key for change in self._log[:end]}:
            versions = self._versions[key]
            keep = len(versions) - 1  # the newest version at or before `revision` stays, unless it is a deletion
            while versions[keep].mod_revision > revision:
                keep -= 1
            if versions[keep].version == 0:
                keep += 1
            del versions[:keep]
            if not versions:
                del self._versions[key]
                gone.add(key)
        if gone:
            self._sorted = [key for key in self._order() if key not in gone]
        del self._log[:end]
        self.compact_revision = revision

    # ── the state as a whole, for snapshots ──────────────────────────────────────────────────────────────────

    def live(self) -> list[KeyValue]:
        return list(self._live.values())

    def load(self, kvs: Sequence[KeyValue], revision: int) -> None:
        """Become the state of a snapshot: its keys, and no history before `revision`."""
        self._live = {kv.key: kv for kv in kvs}
        self._versions = {kv.key: [kv] for kv in kvs}
        self._sorted, self._unsorted = sorted(self._live), []
        self._log, self._fresh = [], []
        self.revision = self.compact_revision = revision

    def replay(self, revision: int, changes: Sequence[tuple[bytes, bytes | None, int]]) -> None:
        """Apply a logged transaction again: (key, value or None for a deletion, lease) at its own revision."""
        for key, value, lease in changes:
            if value is None:
                self._delete(DeleteRange(key), revision)
            else:
                self._put(Put(key, value, lease), revision)
        self.revision = revision
        self._fresh = []


def _revision_of(change: Change) -> int:
    return change.kv.mod_revision


def _holds(compare: Compare, kv: KeyValue | None) -> bool:
    _, target, op, want = compare
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
