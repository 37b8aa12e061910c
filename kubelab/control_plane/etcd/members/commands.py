"""What members agree on: each change of the state machine as a value, and as bytes for the log.

    api call ─► Command ─► encode(request id, until, command) ─► Raft's log ─► decode on every member ─► Machine.apply

    request  =  id u64 │ the last place in the log where it counts u64 │ tag u8 │ fields
    txn      =  number of compares, of success ops, of failure ops u32 │ compare … │ op …

Invariant: decode(encode(id, until, c)) == (id, until, c), and bytes that are no command raise ValueError.
Models:    etcdserverpb's InternalRaftRequest (the request id is its header's)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from kubelab.control_plane.etcd.api import Compare, DeleteRange, NestedTxn, Op, Put, Range
from kubelab.control_plane.etcd.server_api import AlarmKind

_ID = struct.Struct("<QQB")
_TXN = struct.Struct("<III")
_COMPARE = struct.Struct("<BBBiiq")  # target, operator, whether the value is bytes, lengths, value or its length
_PUT = struct.Struct("<BBqii")  # tag, flags, lease, lengths
_DELETE = struct.Struct("<BBii")
_RANGE = struct.Struct("<BBii6qBB")
_TWO = struct.Struct("<qq")
_ALARM = struct.Struct("<QB?")
_COUNT = struct.Struct("<QI")
_SIZE = struct.Struct("<I")
_TARGETS, _OPERATORS = ("version", "create", "mod", "value", "lease"), ("=", "!=", "<", ">")
_SORTS, _ORDERS = ("key", "version", "create", "mod", "value"), ("none", "ascend", "descend")
_PUT_TAG, _DELETE_TAG, _RANGE_TAG, _NESTED_TAG = range(1, 5)


class Transaction(NamedTuple):
    compares: Sequence[Compare]
    success: Sequence[Op]
    failure: Sequence[Op] = ()


class GrantLease(NamedTuple):
    lease: int
    ttl_s: int


class RenewLease(NamedTuple):
    """A keep-alive goes through the log, so that every member knows how long a lease lives."""

    lease: int


class RevokeLease(NamedTuple):
    lease: int


class Compaction(NamedTuple):
    revision: int


class SetAlarm(NamedTuple):
    member: int  # 0: every member
    kind: AlarmKind
    active: bool


class Publish(NamedTuple):
    """A member tells its name and where clients find it."""

    member: int
    name: str
    client_urls: Sequence[str]


Command = Transaction | GrantLease | RenewLease | RevokeLease | Compaction | SetAlarm | Publish
_KINDS: tuple[Any, ...] = (Transaction, GrantLease, RenewLease, RevokeLease, Compaction, SetAlarm, Publish)
_ALARMS: tuple[AlarmKind, ...] = ("NOSPACE", "CORRUPT")


class Request(NamedTuple):
    """A command with the id of who wants it; it counts no later in the log than at `until`."""

    id: int
    until: int
    command: Command


def encode(request: int, until: int, command: Command) -> bytes:
    """Return a request as bytes. Raises TypeError for a compare with a value of the wrong kind."""
    parts = [_ID.pack(request, until, _KINDS.index(type(command)))]
    if isinstance(command, Transaction):
        _encode_txn(command, parts)
    elif isinstance(command, GrantLease):
        parts.append(_TWO.pack(*command))
    elif isinstance(command, SetAlarm):
        parts.append(_ALARM.pack(command.member, _ALARMS.index(command.kind), command.active))
    elif isinstance(command, Publish):
        parts.append(_COUNT.pack(command.member, len(command.client_urls)))
        for text in (command.name, *command.client_urls):
            data = text.encode()
            parts += (_SIZE.pack(len(data)), data)
    else:
        parts.append(_TWO.pack(command[0], 0))
    return b"".join(parts)


def decode(data: bytes) -> Request:
    """Read what `encode` made. Raises ValueError."""
    try:
        (request, until, kind), at = _ID.unpack_from(data), _ID.size
        made = _KINDS[kind]
        if made is Transaction:
            txn, at = _decode_txn(data, at)
            command: Command = Transaction(*txn)
        elif made is GrantLease:
            command, at = GrantLease(*_TWO.unpack_from(data, at)), at + _TWO.size
        elif made is SetAlarm:
            (member, alarm, active), at = _ALARM.unpack_from(data, at), at + _ALARM.size
            command = SetAlarm(member, _ALARMS[alarm], active)
        elif made is Publish:
            command, at = _decode_publish(data, at)
        else:
            command, at = made(_TWO.unpack_from(data, at)[0]), at + _TWO.size
    except (struct.error, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a command: {error}") from None
    if at != len(data):
        raise ValueError("not a command: its parts do not fit")
    return Request(request, until, command)


def _decode_publish(data: bytes, at: int) -> tuple[Publish, int]:
    (member, count), at = _COUNT.unpack_from(data, at), at + _COUNT.size
    texts = []
    for _ in range(count + 1):
        size, at = _SIZE.unpack_from(data, at)[0], at + _SIZE.size
        text, at = _take(data, at, size)
        texts.append(text.decode())
    return Publish(member, texts[0], tuple(texts[1:])), at


# ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────


def _encode_txn(txn: Transaction | NestedTxn, parts: list[bytes]) -> None:
    parts.append(_TXN.pack(len(txn.compares), len(txn.success), len(txn.failure)))
    for key, target, op, value, end in txn.compares:
        is_bytes = isinstance(value, bytes)
        if is_bytes != (target == "value"):  # else every member would fall over it
            raise TypeError(f"a compare of {target} with {value!r}: a value is bytes, everything else a number")
        parts += (_COMPARE.pack(_TARGETS.index(target), _OPERATORS.index(op), is_bytes, len(key), _length(end),
                                len(value) if isinstance(value, bytes) else value),
                  key, end or b"", value if isinstance(value, bytes) else b"")
    for operation in (*txn.success, *txn.failure):
        _encode_op(operation, parts)


def _encode_op(op: Op, parts: list[bytes]) -> None:
    if isinstance(op, Put):
        flags = op.prev_kv | op.ignore_value << 1 | op.ignore_lease << 2
        parts += (_PUT.pack(_PUT_TAG, flags, op.lease, len(op.key), len(op.value)), op.key, op.value)
    elif isinstance(op, DeleteRange):
        parts += (_DELETE.pack(_DELETE_TAG, op.prev_kv, len(op.key), _length(op.range_end)), op.key,
                  op.range_end or b"")
    elif isinstance(op, Range):
        flags = op.count_only | op.keys_only << 1 | op.serializable << 2
        parts += (_RANGE.pack(_RANGE_TAG, flags, len(op.key), _length(op.range_end), op.revision, op.limit, *op[8:12],
                              _SORTS.index(op.sort_target), _ORDERS.index(op.sort_order)), op.key, op.range_end or b"")
    else:
        parts.append(bytes((_NESTED_TAG,)))
        _encode_txn(op, parts)


def _decode_txn(data: bytes, at: int) -> tuple[tuple[list[Compare], list[Op], list[Op]], int]:
    (compared, wins, loses), at = _TXN.unpack_from(data, at), at + _TXN.size
    compares = []
    for _ in range(compared):
        target, operator, is_bytes, size, end_size, number = _COMPARE.unpack_from(data, at)
        key, at = _take(data, at + _COMPARE.size, size)
        end, at = _take_end(data, at, end_size)
        value, at = _take(data, at, number) if is_bytes else (number, at)
        if is_bytes != (_TARGETS[target] == "value"):
            raise ValueError("not a command: it compares what cannot be compared")
        compares.append(Compare(key, _TARGETS[target], _OPERATORS[operator], value, end))  # type: ignore[arg-type]
    ops = []
    for _ in range(wins + loses):
        op, at = _decode_op(data, at)
        ops.append(op)
    return (compares, ops[:wins], ops[wins:]), at


def _decode_op(data: bytes, at: int) -> tuple[Op, int]:
    tag = data[at]
    if tag == _PUT_TAG:
        _, flags, lease, size, value_size = _PUT.unpack_from(data, at)
        key, at = _take(data, at + _PUT.size, size)
        value, at = _take(data, at, value_size)
        return Put(key, value, lease, bool(flags & 1), bool(flags & 2), bool(flags & 4)), at
    if tag == _DELETE_TAG:
        _, prev, size, end_size = _DELETE.unpack_from(data, at)
        key, at = _take(data, at + _DELETE.size, size)
        end, at = _take_end(data, at, end_size)
        return DeleteRange(key, end, bool(prev)), at
    if tag == _RANGE_TAG:
        _, flags, size, end_size, revision, limit, *bounds, sort, order = _RANGE.unpack_from(data, at)
        low_mod, high_mod, low_create, high_create = bounds
        key, at = _take(data, at + _RANGE.size, size)
        end, at = _take_end(data, at, end_size)
        return Range(key, end, revision, limit, bool(flags & 1), bool(flags & 2), _SORTS[sort],  # type: ignore[arg-type]
                     _ORDERS[order], low_mod, high_mod, low_create, high_create, bool(flags & 4)), at  # type: ignore[arg-type]
    if tag == _NESTED_TAG:
        txn, at = _decode_txn(data, at + 1)
        return NestedTxn(*txn), at
    raise ValueError("not a command: it has an operation that is none")


def _length(data: bytes | None) -> int:
    return -1 if data is None else len(data)


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if size < 0 or at + size > len(data):
        raise ValueError("not a command: it is cut off")
    return data[at:at + size], at + size


def _take_end(data: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    return (None, at) if size == -1 else _take(data, at, size)
