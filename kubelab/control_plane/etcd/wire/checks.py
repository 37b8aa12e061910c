"""What etcd refuses before it looks at a key: requests that make no sense or want too much.

    request ─► check_range · check_put · check_delete · check_txn ─► store

Invariant: a request that passes names a key in each operation, puts no key twice in one transaction and none that the
           same transaction deletes; the branches of one nested transaction may put the same key, only one of them runs.
Models:    etcdserver's api/v3rpc/key.go
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.etcd.errors import (
    DuplicateKey,
    EmptyKey,
    InvalidSortOption,
    KeyNotFound,
    LeaseProvided,
    RequestTooLarge,
    TooManyOps,
    ValueProvided,
)
from kubelab.control_plane.etcd.wire.convert import SORT_ORDERS, SORT_TARGETS, Message

MAX_TXN_OPS = 128
MAX_REQUEST_BYTES = 3 * 512 * 1024  # 1.5 MiB, etcd's --max-request-bytes
_ENVELOPE_BYTES = 16  # what etcd puts around a request before it weighs it

Span = tuple[bytes, bytes | None]


def check_size(request: Message) -> None:
    if request.ByteSize() + _ENVELOPE_BYTES > MAX_REQUEST_BYTES:
        raise RequestTooLarge


def check_range(m: Message) -> None:
    if not m.key:
        raise EmptyKey
    if not (0 <= m.sort_order < len(SORT_ORDERS) and 0 <= m.sort_target < len(SORT_TARGETS)):
        raise InvalidSortOption


def check_put(m: Message) -> None:
    if not m.key:
        raise EmptyKey
    if m.ignore_value and m.value:
        raise ValueProvided
    if m.ignore_lease and m.lease:
        raise LeaseProvided


def check_delete(m: Message) -> None:
    if not m.key:
        raise EmptyKey


def check_txn(m: Message) -> None:
    """Refuse a transaction that is too long, has an operation that is wrong, or writes a key twice."""
    _check_ops(m, MAX_TXN_OPS)
    _check_overlap(m.success)
    _check_overlap(m.failure)


def _check_ops(m: Message, allowed: int) -> None:
    longest = max(len(m.compare), len(m.success), len(m.failure))
    if longest > allowed:
        raise TooManyOps
    if not all(compare.key for compare in m.compare):
        raise EmptyKey
    for op in (*m.success, *m.failure):
        kind = op.WhichOneof("request")
        if kind == "request_range":
            check_range(op.request_range)
        elif kind == "request_put":
            check_put(op.request_put)
        elif kind == "request_delete_range":
            check_delete(op.request_delete_range)
        elif kind == "request_txn":
            _check_ops(op.request_txn, allowed - longest)
        else:
            raise KeyNotFound  # an operation that is none


def _check_overlap(ops: Sequence[Message]) -> tuple[set[bytes], list[Span]]:
    """Return the keys that these operations put and the spans they delete. Raises DuplicateKey."""
    deleted: list[Span] = [(op.request_delete_range.key, op.request_delete_range.range_end or None) for op in ops
                           if op.WhichOneof("request") == "request_delete_range"]
    puts: set[bytes] = set()
    for op in ops:
        if op.WhichOneof("request") == "request_txn":
            then, gone = _check_overlap(op.request_txn.success)
            otherwise, gone_too = _check_overlap(op.request_txn.failure)
            for key in then | otherwise:
                _check_new(key, puts, deleted)
            puts |= then | otherwise
            deleted += gone + gone_too
    for op in ops:
        if op.WhichOneof("request") == "request_put":
            _check_new(op.request_put.key, puts, deleted)
            puts.add(op.request_put.key)
    return puts, deleted


def _check_new(key: bytes, puts: set[bytes], deleted: Sequence[Span]) -> None:
    if key in puts or any(_holds(span, key) for span in deleted):
        raise DuplicateKey


def _holds(span: Span, key: bytes) -> bool:
    begin, end = span
    if end is None:
        return key == begin
    return begin <= key < end  # as etcd, which looks here at "to the end" (a zero byte) as at an empty span
