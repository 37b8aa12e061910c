"""What one member writes to its log, as values and as bytes, and its whole state for a snapshot.

    entry     =  'T' revision count, then per change: key, value or none, lease │ 'L' id ttl │ 'R' id │ 'C' revision
    snapshot  =  revision │ keys │ leases

Invariant: entries need no separator: a log's payload is entries, one after the other.
Models:    etcd's raftpb entries, for a cluster that needs no consensus
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kubelab.control_plane.etcd.api import KeyValue

_TXN = struct.Struct("<QI")
_CHANGE = struct.Struct("<iiq")  # key length, value length or -1 for a deletion, lease
_LEASE = struct.Struct("<qq")
_ID = struct.Struct("<q")
_SNAP = struct.Struct("<QII")  # revision, number of keys, number of leases
_KEY = struct.Struct("<iiqqqq")  # key length, value length, create revision, mod revision, version, lease


class Txn(NamedTuple):
    revision: int
    changes: Sequence[tuple[bytes, bytes | None, int]]  # key, value or None for a deletion, lease


class Grant(NamedTuple):
    lease: int
    ttl_s: int


class Revoke(NamedTuple):
    lease: int


class Compact(NamedTuple):
    revision: int


Entry = Txn | Grant | Revoke | Compact


class Snapshot(NamedTuple):
    revision: int
    kvs: Sequence[KeyValue]
    leases: Sequence[tuple[int, int]]  # id, ttl


# ── as bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def encode(entry: Entry) -> bytes:
    if isinstance(entry, Txn):
        parts = [b"T", _TXN.pack(entry.revision, len(entry.changes))]
        for key, value, lease in entry.changes:
            parts += (_CHANGE.pack(len(key), -1 if value is None else len(value), lease), key, value or b"")
        return b"".join(parts)
    if isinstance(entry, Grant):
        return b"L" + _LEASE.pack(*entry)
    return (b"R" if isinstance(entry, Revoke) else b"C") + _ID.pack(entry[0])


def decode(payload: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(payload):
        kind, at = payload[at:at + 1], at + 1
        if kind == b"T":
            revision, count = _TXN.unpack_from(payload, at)
            at += _TXN.size
            changes: list[tuple[bytes, bytes | None, int]] = []
            for _ in range(count):
                key_len, value_len, lease = _CHANGE.unpack_from(payload, at)
                at += _CHANGE.size
                key, at = payload[at:at + key_len], at + key_len
                value = None if value_len < 0 else payload[at:at + value_len]
                at += max(value_len, 0)
                changes.append((key, value, lease))
            yield Txn(revision, changes)
        elif kind == b"L":
            yield Grant(*_LEASE.unpack_from(payload, at))
            at += _LEASE.size
        else:
            yield (Revoke if kind == b"R" else Compact)(*_ID.unpack_from(payload, at))
            at += _ID.size


def encode_snapshot(snapshot: Snapshot) -> bytes:
    parts = [_SNAP.pack(snapshot.revision, len(snapshot.kvs), len(snapshot.leases)), *encode_keys(snapshot.kvs)]
    parts += (_LEASE.pack(*lease) for lease in snapshot.leases)
    return b"".join(parts)


def decode_snapshot(payload: bytes) -> Snapshot:
    revision, keys, leases = _SNAP.unpack_from(payload)
    kvs, at = decode_keys(payload, _SNAP.size, keys)
    granted = [_LEASE.unpack_from(payload, at + i * _LEASE.size) for i in range(leases)]
    return Snapshot(revision, kvs, [(lease, ttl) for lease, ttl in granted])


def encode_keys(kvs: Sequence[KeyValue]) -> Iterator[bytes]:
    for key, value, create, mod, version, lease in kvs:
        yield _KEY.pack(len(key), len(value), create, mod, version, lease)
        yield key
        yield value


def decode_keys(payload: bytes, at: int, count: int) -> tuple[list[KeyValue], int]:
    """Return `count` keys that stand at `at`, and where they end."""
    kvs = []
    for _ in range(count):
        key_len, value_len, create, mod, version, lease = _KEY.unpack_from(payload, at)
        at += _KEY.size
        middle = at + key_len
        kvs.append(KeyValue(payload[at:middle], payload[middle:middle + value_len], create, mod, version, lease))
        at = middle + value_len
    return kvs, at
