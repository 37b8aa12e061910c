"""What every etcd here does with its keyspace alone, whoever agreed to its changes: watch it, sum it up, save it.

    changes ─► Store ─► WatchHub ─► watches        EmbeddedEtcd (alone) and Member (one of several) stand on this

Invariant: nothing here changes a key but through `txn`.
Models:    etcdserver's kv and watch calls, where they need no consensus
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby

from kubelab.control_plane.etcd.api import (
    Compacted,
    Compare,
    DeleteRange,
    DeleteResult,
    OnEvents,
    OnLost,
    OnProgress,
    Op,
    Put,
    PutResult,
    TxnResult,
    Unavailable,
)
from kubelab.control_plane.etcd.lease import Leases
from kubelab.control_plane.etcd.mvcc import Change, Store
from kubelab.control_plane.etcd.records import Snapshot
from kubelab.control_plane.etcd.server_api import Hash
from kubelab.control_plane.etcd.snapshot_file import pack
from kubelab.control_plane.etcd.watch import Watcher, WatchHub


class Writes(ABC):
    """The writes that are transactions of one operation."""

    @abstractmethod
    async def txn(self, compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op] = ()) -> TxnResult:
        """Do `success` when all `compares` hold, else `failure`, all of it or nothing. Raises EtcdError."""

    async def put(self, key: bytes, value: bytes, *, lease: int = 0, prev_kv: bool = False) -> PutResult:
        result = (await self.txn((), (Put(key, value, lease, prev_kv),))).responses[0]
        assert isinstance(result, PutResult)
        return result

    async def delete_range(self, key: bytes, range_end: bytes | None = None, *, prev_kv: bool = False) -> DeleteResult:
        result = (await self.txn((), (DeleteRange(key, range_end, prev_kv),))).responses[0]
        assert isinstance(result, DeleteResult)
        return result


class Keyspace(Writes):
    """A store with its watches and leases."""

    _store: Store
    _hub: WatchHub
    _leases: Leases
    _up = False  # whether the store answers

    def _check(self) -> None:
        """Raise when the store does not serve."""
        if not self._up:
            raise Unavailable

    @property
    def revision(self) -> int:
        return self._store.revision

    @property
    def compact_revision(self) -> int:
        return self._store.compact_revision

    # ── watches ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def watched_revision(self) -> int:
        return self._hub.published

    def watch(self, key: bytes, range_end: bytes | None = None, start_revision: int = 0, *, prev_kv: bool = False,
              on_events: OnEvents, on_progress: OnProgress | None = None,
              on_lost: OnLost | None = None) -> Watcher:
        if not self._up:
            raise Unavailable
        past: Sequence[Change] = ()
        if 0 < start_revision < self._store.compact_revision:
            raise Compacted(self._store.compact_revision)
        if 0 < start_revision <= self._hub.published:
            past = self._store.changes_since(start_revision)
        watcher = Watcher(self._hub, key, range_end, start_revision, prev_kv, on_events, on_progress, on_lost)
        self._hub.add(watcher, past)
        return watcher

    def make_up(self) -> None:
        """Tell the watches what has happened to the store without them, or end them if that is gone."""
        told, now = self._hub.published, self._store.revision
        if len(self._hub) and told < now:
            if told + 1 < self._store.compact_revision:
                self._hub.lose(Compacted(self._store.compact_revision))
            else:
                for revision, changes in groupby(self._store.changes_since(told + 1), lambda c: c.kv.mod_revision):
                    self._hub.publish(list(changes), revision)
        self._hub.published = now

    def ask_progress(self) -> None:
        self._hub.progress()

    # ── the whole of it ──────────────────────────────────────────────────────────────────────────────────────

    async def lease_list(self) -> list[int]:
        self._check()
        return [lease for lease, _ in self._leases.granted()]

    async def hash_kv(self, revision: int = 0) -> Hash:
        self._check()
        value, at = self._store.hash(revision)
        return Hash(value, at, self._store.compact_revision)

    async def snapshot(self) -> bytes:
        self._check()
        return pack(Snapshot(self._store.revision, self._store.live(), self._leases.granted()))

    async def defragment(self) -> None:
        self._check()
        self._store.defragment()
