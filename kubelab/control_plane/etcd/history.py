"""Every key with its versions, and every change in order: what can be read, of now and of the past.

    key ─► [v1 @5] [v2 @9] [deleted @12]          (versions, oldest first)
    log ─► @5 @6 @7 ... @12                       (changes, for watches from the past)

Invariants: `_log` is in revision order; after `compact(r)` every read at a revision >= r still gives the same answer.
Models:     etcd's mvcc package: key index and backend (its B-tree is a dict and a sorted list here)
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from kubelab.control_plane.etcd.api import Compacted, FutureRevision, KeyValue, Range, RangeResult
from kubelab.control_plane.etcd.sorting import arranged

_FEW_NEW_KEYS = 16  # up to here, inserting one by one beats sorting anew
_NONE: list[KeyValue | None] = [None]
_PLAIN = ("key", "none", 0, 0, 0, 0)  # a Range that neither sorts nor sifts, from its seventh field on


class Change(NamedTuple):
    """One key changed: `kv.version` is 0 for a deletion, `prev` is what stood there before."""

    kv: KeyValue
    prev: KeyValue | None


class Whole(NamedTuple):
    """A keyspace with its history: `base` are the versions that no watch can be told of any more, `log` the rest."""

    revision: int
    compact_revision: int
    base: Sequence[KeyValue]
    log: Sequence[KeyValue]


class History:
    """The versions of every key. Not safe for threads; nothing here waits.

    Every change is handed out once by `take_changes`, for the log on disk and for the watchers.
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
        if revision > 0:
            self._check_revision(revision)
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

    def read(self, query: Range) -> RangeResult:
        """Read with every option of a `Range`. Raises Compacted, FutureRevision."""
        if query[6:12] == _PLAIN:
            return self.range(*query[:6])
        everything = query.sort_order != "none" or query[8:12] != _PLAIN[2:]
        found = self.range(query.key, query.range_end, query.revision, 0, query.count_only)
        kvs = found.kvs if everything or not query.limit else found.kvs[:query.limit + 1]  # one tells of more
        kvs = arranged(kvs, query)
        more = 0 < query.limit < len(kvs)
        if more:
            kvs = kvs[:query.limit]
        if query.keys_only:
            kvs = [kv._replace(value=b"") for kv in kvs]
        return RangeResult(kvs, found.revision, found.count, more)

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
        """Return the changes with mod_revision >= `revision`, oldest first. Raises Compacted.

        Of the compacted revision itself the puts are there, as in etcd, without what stood before them.
        """
        if revision < self.compact_revision:
            raise Compacted(self.compact_revision)
        return self._log[bisect_left(self._log, revision, key=_revision_of):]

    def _check_revision(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if 0 < revision < self.compact_revision:
            raise Compacted(self.compact_revision)

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────

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
        self._log[:end] = [Change(change.kv, None) for change in self._log[bisect_left(self._log, revision,
                           key=_revision_of):end] if self._versions.get(change.kv.key, _NONE)[0] is change.kv]
        self.compact_revision = revision

    def hash(self, revision: int = 0) -> tuple[int, int]:
        """Return (a checksum of all versions up to `revision` that are kept, the revision it is of).

        Two members with the same history have the same one. Raises Compacted, FutureRevision.
        """
        self._check_revision(revision)
        if 0 < revision == self.compact_revision:
            raise Compacted(self.compact_revision)
        until = revision or self.revision
        crc = 0
        for key in self._order():
            for kv in self._versions[key]:
                if kv.mod_revision <= until:
                    crc = zlib.crc32(repr(tuple(kv)).encode(), crc)
        return crc, until

    def size_bytes(self) -> tuple[int, int]:
        """Return (bytes of keys and values in all versions kept, the same of the live ones alone)."""
        total = sum(len(kv.key) + len(kv.value) for versions in self._versions.values() for kv in versions)
        return total, sum(len(kv.key) + len(kv.value) for kv in self._live.values())

    def defragment(self) -> None:
        """Rebuild the tables, so that the room of keys that are gone is given back."""
        self._sorted, self._unsorted = sorted(self._versions), []
        self._versions = {key: list(self._versions[key]) for key in self._sorted}
        self._live, self._log = dict(self._live), list(self._log)

    # ── the state as a whole, for snapshots ──────────────────────────────────────────────────────────────────

    def live(self) -> list[KeyValue]:
        return list(self._live.values())

    def load(self, kvs: Sequence[KeyValue], revision: int) -> None:
        """Become the state of a snapshot: its keys, and no history before `revision`."""
        self._live = {kv.key: kv for kv in kvs}
        self._versions = {kv.key: [kv] for kv in kvs}
        self._sorted, self._unsorted = sorted(self._live), []
        self._log, self._fresh = [Change(kv, None) for kv in kvs if kv.mod_revision == revision], []
        self.revision = self.compact_revision = revision

    def dump(self) -> Whole:
        """Return everything, past and present, for a member that has to answer as this one does."""
        told = {id(change.kv) for change in self._log}
        base = [kv for key in self._order() for kv in self._versions[key] if id(kv) not in told]
        return Whole(self.revision, self.compact_revision, base, [change.kv for change in self._log])

    def restore(self, whole: Whole) -> None:
        """Become what `dump` returned elsewhere."""
        self.load((), 0)
        for kv in whole.base:
            self._append(kv, None)
        self._log.clear()
        for kv in whole.log:
            self._append(kv, self._live.get(kv.key))
        self._fresh = []
        self.revision, self.compact_revision = whole.revision, whole.compact_revision


def _revision_of(change: Change) -> int:
    return change.kv.mod_revision
