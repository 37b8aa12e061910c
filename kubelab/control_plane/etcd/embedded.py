"""etcd in this process: the keyspace, its watches and leases, and on request a log that outlives the process.

    txn ─► Store (memory) ─┬─ without data_dir ─────────────────────────────► watches ─► return
                           └─ with data_dir: Wal ─► fsync with the others ─► watches ─► return

Invariant: what a watch has told or a call has returned survives kill -9, when there is a data_dir. `range` may show
           a write a moment before that, to callers in this process, which would die with it.
Models:    an etcd cluster of one member
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from kubelab.client.component import Component
from kubelab.control_plane.etcd.api import (
    Compare,
    DeleteRange,
    Op,
    RangeResult,
    TxnResult,
    Unavailable,
)
from kubelab.control_plane.etcd.lease import Leases
from kubelab.control_plane.etcd.mvcc import Change, Store
from kubelab.control_plane.etcd.records import (
    Compact,
    Grant,
    Revoke,
    Snapshot,
    Txn,
    decode,
    decode_snapshot,
    encode,
    encode_snapshot,
)
from kubelab.control_plane.etcd.single import Single
from kubelab.control_plane.etcd.wal import Wal
from kubelab.control_plane.etcd.watch import WatchHub
from kubelab.machinery.clock import Clock

RETAINED_REVISIONS = 5_000  # history kept for watches and reads from the past
SNAPSHOT_EVERY = 10_000  # entries of the log


class EmbeddedEtcd(Single, Component):
    """The store of one cluster; see `EtcdApi` for its calls. In memory when `data_dir` is None."""

    shared = False  # whoever else writes does it through here, and the watches hear of it before he is answered

    def __init__(self, data_dir: Path | None, clock: Clock, *, retained_revisions: int = RETAINED_REVISIONS,
                 snapshot_every: int = SNAPSHOT_EVERY) -> None:
        super().__init__("etcd")
        self.data_dir = data_dir
        self._retained, self._snapshot_every = retained_revisions, snapshot_every
        self._leases = Leases(clock, self._expired)
        self._store = Store(self._leases.has)
        self._hub = WatchHub(self._store.revision)
        self._wal: Wal | None = None
        self._unpublished: deque[tuple[int, list[Change]]] = deque()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def setup(self) -> None:
        """Take the data directory and read what is there. Raises DataDirInUse, CorruptLog."""
        if self.data_dir is not None:
            self._wal = Wal(self.data_dir, self._publish_until)
            self._recover(self._wal)
        self.make_up()
        self._leases.restart()
        self._up = True

    async def teardown(self) -> None:
        """Let go of the data directory. Without one, the keys stay in memory for the next start."""
        self._up = False
        self._leases.stop()
        if self._wal is not None:
            await self._wal.close()
            self._wal = None
            self._unpublished.clear()

    async def run(self) -> None:
        """Watch over the disk: when it refused a write, stop serving and read back what it did take."""
        if self.data_dir is None:
            return
        if self._wal is None or self._wal.failure is not None:
            await self.teardown()
            await self.setup()
        assert self._wal is not None
        await self._wal.failed.wait()
        assert self._wal.failure is not None
        raise self._wal.failure

    def _check(self) -> None:
        super()._check()
        if self._wal is not None and self._wal.failure is not None:
            raise self._wal.failure

    async def _durable(self) -> None:
        if self._wal is not None and self._unpublished:
            await self._wal.flushed()

    def _recover(self, wal: Wal) -> None:
        kept, payloads = wal.read()
        store = self._store = Store(self._leases.has)
        self._leases.clear()
        if kept is not None:
            snapshot = decode_snapshot(kept)
            store.load(snapshot.kvs, snapshot.revision)
            for lease, ttl_s in snapshot.leases:
                self._leases.grant(ttl_s, lease)
        for entry in (entry for payload in payloads for entry in decode(payload)):
            if isinstance(entry, Txn):
                if entry.revision > store.revision:
                    store.replay(entry.revision, entry.changes)
            elif isinstance(entry, Grant):
                if not self._leases.has(entry.lease):
                    self._leases.grant(entry.ttl_s, entry.lease)
            elif isinstance(entry, Revoke):
                self._leases.drop(entry.lease)
            elif store.compact_revision < entry.revision <= store.revision:
                store.compact(entry.revision)
        for kv in store.live():
            self._leases.follow(Change(kv, None))

    # ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def range(self, key: bytes, range_end: bytes | None = None, *, revision: int = 0, limit: int = 0,
                    count_only: bool = False, keys_only: bool = False) -> RangeResult:
        if not self._up:
            raise Unavailable
        return self._store.range(key, range_end, revision, limit, count_only, keys_only)

    async def txn(self, compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op] = ()) -> TxnResult:
        self._check()
        result = self._store.txn(compares, success, failure)
        self._commit(result.revision)
        if self._wal is not None:
            await self._wal.flushed()  # also for a transaction that only read: what it saw must stay true
        return result

    def _commit(self, revision: int) -> None:
        """Bring the changes of one transaction to the leases, the log and the watches."""
        changes = self._store.take_changes()
        if not changes:
            return
        for change in changes:
            if change.kv.lease or (change.prev is not None and change.prev.lease):
                self._leases.follow(change)
        if self._wal is None:
            self._hub.publish(changes, revision)
        else:
            self._unpublished.append((revision, changes))
            written = [(kv.key, kv.value if kv.version else None, kv.lease) for kv, _ in changes]
            self._wal.append(encode(Txn(revision, written)), revision)
            if self._wal.records_since_snapshot >= self._snapshot_every:
                state = Snapshot(revision, self._store.live(), self._leases.granted())
                self._wal.snapshot_soon(partial(encode_snapshot, state))
        if revision - self._store.compact_revision > 2 * self._retained:
            self._compact(revision - self._retained)

    def _publish_until(self, revision: int) -> None:
        while self._unpublished and self._unpublished[0][0] <= revision:
            durable, changes = self._unpublished.popleft()
            self._hub.publish(changes, durable)

    async def compact(self, revision: int) -> None:
        self._check()
        self._compact(revision)
        if self._wal is not None:
            await self._wal.flushed()

    def _compact(self, revision: int) -> None:
        self._store.compact(revision)
        if self._wal is not None:
            self._wal.append(encode(Compact(revision)))

    # ── leases ───────────────────────────────────────────────────────────────────────────────────────────────

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        self._check()
        lease = self._leases.grant(ttl_s, lease)
        if self._wal is not None:
            self._wal.append(encode(Grant(lease, ttl_s)))
            await self._wal.flushed()
        return lease

    async def lease_keepalive(self, lease: int) -> int:
        return self._leases.keepalive(lease)

    async def lease_revoke(self, lease: int) -> None:
        self._check()
        self._leases.get(lease)
        self._expired(lease)
        if self._wal is not None:
            await self._wal.flushed()

    async def lease_time_to_live(self, lease: int) -> tuple[float, int, list[bytes]]:
        entry = self._leases.get(lease)
        return self._leases.left_s(lease), entry.ttl_s, sorted(entry.keys)

    def _expired(self, lease: int) -> None:
        """Delete the keys of a lease at one revision, then the lease."""
        if self._wal is not None and self._wal.failure is not None:
            return
        entry = self._leases.drop(lease)
        if entry is None:
            return
        if entry.keys:
            result = self._store.txn((), [DeleteRange(key) for key in sorted(entry.keys)])
            self._commit(result.revision)
        if self._wal is not None:
            self._wal.append(encode(Revoke(lease)))
