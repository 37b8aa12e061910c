"""The client's side of etcd's messages: values to requests, answers to values, keys moved to the cluster's prefix.

    Put(b"/registry/pods/x") ─► PutRequest(key=b"/lab-7/pods/x")       prefix /lab-7 in place of /registry

Invariant: what goes out through `key` comes back through `kv` as it was.
Models:    clientv3's op.go
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.etcd import api
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import FIELDS, RESULTS, SORT_ORDERS, SORT_TARGETS, Message

HOME = b"/registry"
_TARGETS = {target: (number, field) for number, (target, field) in enumerate(FIELDS)}


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

    def kv(self, m: Message) -> api.KeyValue:
        key = m.key
        if self._moved and key.startswith(self._prefix):
            key = HOME + key[len(self._prefix):]
        return api.KeyValue(key, m.value, m.create_revision, m.mod_revision, m.version, m.lease)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────

    def range(self, op: api.Range) -> Message:
        return pb.RangeRequest(
            key=self.key(op.key), range_end=self.key(op.range_end), revision=op.revision, limit=op.limit,
            count_only=op.count_only, keys_only=op.keys_only, sort_target=SORT_TARGETS.index(op.sort_target),
            sort_order=SORT_ORDERS.index(op.sort_order), min_mod_revision=op.min_mod_revision,
            max_mod_revision=op.max_mod_revision, min_create_revision=op.min_create_revision,
            max_create_revision=op.max_create_revision, serializable=op.serializable)

    def txn(self, compares: Sequence[api.Compare], success: Sequence[api.Op], failure: Sequence[api.Op]) -> Message:
        return pb.TxnRequest(compare=map(self._compare, compares), success=map(self._op, success),
                             failure=map(self._op, failure))

    def _compare(self, compare: api.Compare) -> Message:
        number, field = _TARGETS[compare.target]
        return pb.Compare(key=self.key(compare.key), range_end=self.key(compare.range_end), target=number,
                          result=RESULTS.index(compare.op), **{field: compare.value})

    def _op(self, op: api.Op) -> Message:
        if isinstance(op, api.Put):
            return pb.RequestOp(request_put=pb.PutRequest(
                key=self.key(op.key), value=op.value, lease=op.lease, prev_kv=op.prev_kv,
                ignore_value=op.ignore_value, ignore_lease=op.ignore_lease))
        if isinstance(op, api.DeleteRange):
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(
                key=self.key(op.key), range_end=self.key(op.range_end), prev_kv=op.prev_kv))
        if isinstance(op, api.Range):
            return pb.RequestOp(request_range=self.range(op))
        assert isinstance(op, api.NestedTxn)
        return pb.RequestOp(request_txn=self.txn(op.compares, op.success, op.failure))

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────

    def range_result(self, m: Message) -> api.RangeResult:
        return api.RangeResult([self.kv(kv) for kv in m.kvs], m.header.revision, m.count, m.more)

    def txn_result(self, m: Message) -> api.TxnResult:
        revision = m.header.revision  # on the wire it stands with the whole transaction alone
        return api.TxnResult(m.succeeded, [self._result(answer, revision) for answer in m.responses], revision)

    def _result(self, m: Message, revision: int) -> api.OpResult:
        kind = m.WhichOneof("response")
        if kind == "response_put":
            put = m.response_put
            return api.PutResult(self.kv(put.prev_kv) if put.HasField("prev_kv") else None, revision)
        if kind == "response_range":
            return self.range_result(m.response_range)
        if kind == "response_delete_range":
            gone = m.response_delete_range
            return api.DeleteResult(gone.deleted, [self.kv(kv) for kv in gone.prev_kvs], revision)
        return self.txn_result(m.response_txn)
