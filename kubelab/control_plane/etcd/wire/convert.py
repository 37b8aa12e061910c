"""Messages to values and back: the only place that knows both etcd's protocol and the store's types.

    RangeRequest ─► Range ─► store ─► RangeResult ─► RangeResponse

Invariant: what a message leaves out has protobuf's default, which is what it means in etcd, too: an empty range_end
           is one key, a compare without a value compares with 0.
Models:    etcdserver's apply.go, where it reads requests
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

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
    SortOrder,
    SortTarget,
    TxnResult,
)
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import stubs as pb

Message = Any  # the classes are made at run time

SORT_TARGETS: tuple[SortTarget, ...] = ("key", "version", "create", "mod", "value")  # in the order of their numbers
SORT_ORDERS: tuple[SortOrder, ...] = ("none", "ascend", "descend")
RESULTS: tuple[Literal["=", ">", "<", "!="], ...] = ("=", ">", "<", "!=")
FIELDS: tuple[tuple[Literal["version", "create", "mod", "value", "lease"], str], ...] = (
    ("version", "version"), ("create", "create_revision"), ("mod", "mod_revision"), ("value", "value"),
    ("lease", "lease"))
_VALUE = 3
_NEVER = Compare(b"\0", "version", "<", 0)

_KeyValue, _Header, _Op = pb.KeyValue, pb.ResponseHeader, pb.ResponseOp


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────


def range_of(m: Message) -> Range:
    return Range(m.key, m.range_end or None, m.revision, m.limit, m.count_only, m.keys_only,
                 SORT_TARGETS[m.sort_target], SORT_ORDERS[m.sort_order], m.min_mod_revision, m.max_mod_revision,
                 m.min_create_revision, m.max_create_revision, m.serializable)


def put_of(m: Message) -> Put:
    return Put(m.key, m.value, m.lease, m.prev_kv, m.ignore_value, m.ignore_lease)


def delete_of(m: Message) -> DeleteRange:
    return DeleteRange(m.key, m.range_end or None, m.prev_kv)


def txn_of(m: Message) -> NestedTxn:
    return NestedTxn(_compares_of(m.compare), [_op_of(op) for op in m.success], [_op_of(op) for op in m.failure])


def _op_of(m: Message) -> Op:
    kind = m.WhichOneof("request")
    if kind == "request_put":
        return put_of(m.request_put)
    if kind == "request_range":
        return range_of(m.request_range)
    return delete_of(m.request_delete_range) if kind == "request_delete_range" else txn_of(m.request_txn)


def _compares_of(compares: Sequence[Message]) -> list[Compare]:
    """Return the compares, as etcd takes them.

    One of an unknown target finds equality; one of an unknown result holds, but a value that is not there never does.
    """
    found = []
    for m in compares:
        end = m.range_end or None
        if not 0 <= m.result < len(RESULTS):
            if m.target == _VALUE:
                found.append(Compare(m.key, "version", ">", 0, end))
        elif 0 <= m.target < len(FIELDS):
            target, field = FIELDS[m.target]
            found.append(Compare(m.key, target, RESULTS[m.result], getattr(m, field), end))
        elif RESULTS[m.result] != "=":
            found.append(_NEVER)
    return found


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def header(etcd: EtcdServer, revision: int | None = None) -> Message:
    """Return the header of an answer as of `revision`, or of now."""
    cluster, member, term = etcd.identity
    return _Header(cluster_id=cluster, member_id=member, raft_term=term,
                   revision=etcd.revision if revision is None else revision)


def kv_message(kv: KeyValue) -> Message:
    return _KeyValue(key=kv[0], value=kv[1], create_revision=kv[2], mod_revision=kv[3], version=kv[4], lease=kv[5])


def range_message(result: RangeResult, head: Message) -> Message:
    return pb.RangeResponse(header=head, kvs=[kv_message(kv) for kv in result.kvs], more=result.more,
                            count=result.count)


def put_message(result: PutResult, head: Message) -> Message:
    if result.prev_kv is None:
        return pb.PutResponse(header=head)
    return pb.PutResponse(header=head, prev_kv=kv_message(result.prev_kv))


def delete_message(result: DeleteResult, head: Message) -> Message:
    return pb.DeleteRangeResponse(header=head, deleted=result.deleted, prev_kvs=map(kv_message, result.prev_kvs))


def txn_message(result: TxnResult, head: Message) -> Message:
    return pb.TxnResponse(header=head, succeeded=result.succeeded, responses=map(_answer, result.responses))


def _answer(result: OpResult) -> Message:
    head = _Header(revision=result.revision)  # etcd names the revision alone in here, and none for a nested one
    if isinstance(result, PutResult):
        return _Op(response_put=put_message(result, head))
    if isinstance(result, RangeResult):
        return _Op(response_range=range_message(result, head))
    if isinstance(result, DeleteResult):
        return _Op(response_delete_range=delete_message(result, head))
    return _Op(response_txn=txn_message(result, head))
