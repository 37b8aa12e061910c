"""The seam to the store: etcd v3's KV, Watch and Lease as Python calls.

    API server ─► EtcdApi ─► EmbeddedEtcd (this process)
                         └─► a remote etcd (gRPC)

Invariant: every value here is immutable; a `KeyValue` may be shared by store, watchers and callers.
Models:    etcdserverpb's rpc.proto (the calls about members and maintenance are in server_api.py)
Left out:  users and roles
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from kubelab.control_plane.etcd.errors import Compacted as Compacted
from kubelab.control_plane.etcd.errors import EtcdError as EtcdError
from kubelab.control_plane.etcd.errors import FutureRevision as FutureRevision
from kubelab.control_plane.etcd.errors import LeaseNotFound as LeaseNotFound
from kubelab.control_plane.etcd.errors import StoreFailed as StoreFailed
from kubelab.control_plane.etcd.errors import Unavailable as Unavailable

SortTarget = Literal["key", "version", "create", "mod", "value"]
SortOrder = Literal["none", "ascend", "descend"]


class KeyValue(NamedTuple):
    """One key at one revision. `version` counts the puts since creation; 0 marks a deletion."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class Compare(NamedTuple):
    """One guard of a transaction: `Compare(key, "mod", "=", 7)`; an absent key has 0 everywhere and no value.

    With `range_end` it must hold for every key of [key, range_end).
    """

    key: bytes
    target: Literal["version", "create", "mod", "value", "lease"]
    op: Literal["=", "!=", "<", ">"]
    value: int | bytes
    range_end: bytes | None = None


class Put(NamedTuple):
    """Write a key; `ignore_value` and `ignore_lease` keep what it has, and need it to be there."""

    key: bytes
    value: bytes
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class DeleteRange(NamedTuple):
    """Delete one key, or all of [key, range_end)."""

    key: bytes
    range_end: bytes | None = None
    prev_kv: bool = False


class Range(NamedTuple):
    """Read one key, or [key, range_end), as of `revision` (0: now). `limit` 0 is none.

    The bounds on revisions (0: none) sift what was found; `count` is from before that, as in etcd. `serializable`
    is content with what this member knows, which may be a moment old.
    """

    key: bytes
    range_end: bytes | None = None
    revision: int = 0
    limit: int = 0
    count_only: bool = False
    keys_only: bool = False
    sort_target: SortTarget = "key"
    sort_order: SortOrder = "none"
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0
    serializable: bool = False


class NestedTxn(NamedTuple):
    """A transaction as one operation of another; its compares look at the keys from before the outermost one."""

    compares: Sequence[Compare]
    success: Sequence[Op]
    failure: Sequence[Op] = ()


Op = Put | DeleteRange | Range | NestedTxn


class RangeResult(NamedTuple):
    """`count` is the number of keys in the range, whatever `limit` was; `more` says that some were left out."""

    kvs: list[KeyValue]
    revision: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses here
    more: bool


class PutResult(NamedTuple):
    prev_kv: KeyValue | None
    revision: int = 0


class DeleteResult(NamedTuple):
    deleted: int
    prev_kvs: list[KeyValue]
    revision: int = 0


class TxnResult(NamedTuple):
    """`responses` answers the operations of the branch that ran, in order."""

    succeeded: bool
    responses: list[OpResult]
    revision: int


OpResult = RangeResult | PutResult | DeleteResult | TxnResult


class WatchedEvent(NamedTuple):
    """`type` is PUT or DELETE; a DELETE's `kv` has only key and mod_revision. `prev_kv` is there when asked for."""

    type: Literal["PUT", "DELETE"]
    kv: KeyValue
    prev_kv: KeyValue | None


OnEvents = Callable[[list[WatchedEvent]], None]
OnProgress = Callable[[int], None]
OnLost = Callable[[EtcdError], None]


class WatchHandle(Protocol):
    """A running watch."""

    def cancel(self) -> None: ...


def prefix_end(prefix: bytes) -> bytes:
    """Return the `range_end` that covers every key with this prefix: the prefix with its last byte plus one."""
    for i in range(len(prefix) - 1, -1, -1):
        if prefix[i] < 0xFF:
            return prefix[:i] + bytes([prefix[i] + 1])
    return b"\0"  # etcd's mark for "to the end of the keyspace"


class EtcdApi(Protocol):
    """What an API server needs of its store. Writes return when they are durable."""

    @property
    def revision(self) -> int: ...

    @property
    def compact_revision(self) -> int: ...

    @property
    def shared(self) -> bool:
        """Say whether others may write too, so that the newest revision has to be asked for."""
        ...

    async def range(self, key: bytes, range_end: bytes | None = None, *, revision: int = 0, limit: int = 0,
                    count_only: bool = False, keys_only: bool = False) -> RangeResult:
        """Read as of `revision` (0: now, whichever member answers). Raises Compacted, FutureRevision."""
        ...

    async def txn(self, compares: Sequence[Compare], success: Sequence[Op],
                  failure: Sequence[Op] = ()) -> TxnResult:
        """Run `success` if every compare holds, else `failure`, at one revision. Raises LeaseNotFound."""
        ...

    async def put(self, key: bytes, value: bytes, *, lease: int = 0, prev_kv: bool = False) -> PutResult: ...

    async def delete_range(self, key: bytes, range_end: bytes | None = None, *,
                           prev_kv: bool = False) -> DeleteResult: ...

    def watch(self, key: bytes, range_end: bytes | None = None, start_revision: int = 0, *, prev_kv: bool = False,
              on_events: OnEvents, on_progress: OnProgress | None = None,
              on_lost: OnLost | None = None) -> WatchHandle:
        """Call `on_events` for every change from `start_revision` on (0: from now), in order, past ones at once.

        All events of one revision come in one call. A watch that cannot go on calls `on_lost` once, and nothing after
        it: with Compacted when its history is gone, else with Unavailable, and may then be opened anew.
        Raises Compacted, Unavailable.
        """
        ...

    def ask_progress(self) -> None:
        """Have `on_progress` of every watch called soon, with a revision up to which it has been told everything."""
        ...

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int: ...
    async def lease_keepalive(self, lease: int) -> int:
        """Start the lease's time anew and return it in seconds. Raises LeaseNotFound."""
        ...

    async def lease_revoke(self, lease: int) -> None: ...
    async def lease_time_to_live(self, lease: int) -> tuple[float, int, list[bytes]]:
        """Return (seconds left, seconds granted, keys). Raises LeaseNotFound."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`. Raises Compacted, FutureRevision."""
        ...
