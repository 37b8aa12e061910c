"""The client's side of etcd's messages: values to requests, answers to values, keys moved to the cluster's prefix.

    Put(b"/registry/pods/x") ─► PutRequest(key=b"/lab-7/pods/x")       prefix /lab-7 in place of /registry

Invariant: what goes out through `key` comes back through `kv` as it was.
Models:    clientv3's op.go
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.etcd.api import (
    Compare,
    DeleteRange,
    DeleteResult,
    KeyValue,
    NestedTxn,
    Op,
    OpResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    TxnResult,
)
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import Message

HOME = b"/registry"
_RESULTS = {"=": 0, ">": 1, "<": 2, "!=": 3}
_TARGETS = {"version": (0, "version"), "create": (1, "create_revision"), "mod": (2, "mod_revision"),
            "value": (3, "value"), "lease": (4, "lease")}
_SORT_TARGETS = {"key": 0, "version": 1, "create": 2, "mod": 3, "value": 4}
_SORT_ORDERS = {"none": 0, "ascend": 1, "descend": 2}


class Words:
    """Speaks etcd's protocol for keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self._moved = self._prefix != HOME

    def key(self, key: bytes | None) -> bytes:
        """Return a key, or the end of a range, as etcd knows it."""
        if key is None:
            return b""
        return self._prefix + key[len(HOME):] if self._moved and key.startswith(HOME) else key

    def kv(self, m: Message) -> KeyValue:
        key = m.key
        if self._moved and key.startswith(self._prefix):
            key = HOME + key[len(self._prefix):]
        return KeyValue(key, m.value, m.create_revision, m.mod_revision, m.version, m.lease)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────

    def range(self, op: Range) -> Message:
        return pb.RangeRequest(
            key=self.key(op.key), range_end=self.key(op.range_end), revision=op.revision, limit=op.limit,
            count_only=op.count_only, keys_only=op.keys_only, sort_target=_SORT_TARGETS[op.sort_target],
            sort_order=_SORT_ORDERS[op.sort_order], min_mod_revision=op.min_mod_revision,
            max_mod_revision=op.max_mod_revision, min_create_revision=op.min_create_revision,
            max_create_revision=op.max_create_revision, serializable=op.serializable)

    def txn(self, compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op]) -> Message:
        return pb.TxnRequest(compare=map(self._compare, compares), success=map(self._op, success),
                             failure=map(self._op, failure))

    def _compare(self, compare: Compare) -> Message:
        number, field = _TARGETS[compare.target]
        return pb.Compare(key=self.key(compare.key), range_end=self.key(compare.range_end), target=number,
                          result=_RESULTS[compare.op], **{field: compare.value})

    def _op(self, op: Op) -> Message:
        if isinstance(op, Put):
            return pb.RequestOp(request_put=pb.PutRequest(
                key=self.key(op.key), value=op.value, lease=op.lease, prev_kv=op.prev_kv,
                ignore_value=op.ignore_value, ignore_lease=op.ignore_lease))
        if isinstance(op, DeleteRange):
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(
                key=self.key(op.key), range_end=self.key(op.range_end), prev_kv=op.prev_kv))
        if isinstance(op, Range):
            return pb.RequestOp(request_range=self.range(op))
        assert isinstance(op, NestedTxn)
        return pb.RequestOp(request_txn=self.txn(op.compares, op.success, op.failure))

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────

    def range_result(self, m: Message) -> RangeResult:
        return RangeResult([self.kv(kv) for kv in m.kvs], m.header.revision, m.count, m.more)

    def txn_result(self, m: Message) -> TxnResult:
        return TxnResult(m.succeeded, [self._result(answer) for answer in m.responses], m.header.revision)

    def _result(self, m: Message) -> OpResult:
        kind = m.WhichOneof("response")
        if kind == "response_put":
            return PutResult(self.kv(m.response_put.prev_kv) if m.response_put.HasField("prev_kv") else None)
        if kind == "response_range":
            return self.range_result(m.response_range)
        if kind == "response_delete_range":
            return DeleteResult(m.response_delete_range.deleted, [self.kv(k) for k in m.response_delete_range.prev_kvs])
        return self.txn_result(m.response_txn)
