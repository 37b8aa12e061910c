"""Messages as bytes, for a network between processes.

    message  =  version u8 │ type u8 │ reject u8 │ to, from, term, log_term, index, commit, reject_hint u64
                │ context length u32 │ entries u32 │ has snapshot u8 │ context │ entry … │ snapshot
    entry    =  term u64 │ index u64 │ kind u8 │ length u32 │ data
    snapshot =  index u64 │ term u64 │ voters u32 │ learners u32 │ length u64 │ ids u64 … │ data

Invariant: decode(encode(m)) == m, and bytes that no encode has made raise ValueError, whatever they are.
"""

from __future__ import annotations

import struct
from typing import get_args

from kubelab.control_plane.etcd.raft.types import (
    ConfState,
    Entry,
    EntryKind,
    Message,
    MessageType,
    Snapshot,
    SnapshotMeta,
)

_VERSION = 1
_MESSAGE = struct.Struct("<BBB7QIIB")
_ENTRY = struct.Struct("<QQBI")
_SNAPSHOT = struct.Struct("<QQIIQ")
_TYPES: tuple[MessageType, ...] = get_args(MessageType)
_TYPE_NUMBERS = {name: number for number, name in enumerate(_TYPES)}
_KINDS: tuple[EntryKind, ...] = get_args(EntryKind)


def encode(message: Message) -> bytes:
    head = _MESSAGE.pack(_VERSION, _TYPE_NUMBERS[message.type], message.reject, message.to, message.from_, message.term,
                         message.log_term, message.index, message.commit, message.reject_hint, len(message.context),
                         len(message.entries), message.snapshot is not None)
    parts = [head, message.context, *map(encode_entry, message.entries)]
    if message.snapshot is not None:
        parts.append(encode_snapshot(message.snapshot))
    return b"".join(parts)


def encode_entry(entry: Entry) -> bytes:
    return _ENTRY.pack(entry.term, entry.index, _KINDS.index(entry.kind), len(entry.data)) + entry.data


def encode_snapshot(snapshot: Snapshot) -> bytes:
    (index, term, conf), data = snapshot
    voters, learners = sorted(conf.voters), sorted(conf.learners)
    ids = struct.pack(f"<{len(voters) + len(learners)}Q", *voters, *learners)
    return _SNAPSHOT.pack(index, term, len(voters), len(learners), len(data)) + ids + data


def decode(data: bytes) -> Message:
    """Read one message. Raises ValueError for anything else."""
    try:
        (version, type_, reject, to, from_, term, log_term, index, commit, hint, context_size, count,
         has_snapshot) = _MESSAGE.unpack_from(data)
        if version != _VERSION or reject > 1 or has_snapshot > 1:
            raise ValueError("not a Raft message, or of another version")
        context, at = _take(data, _MESSAGE.size, context_size)
        entries = []
        for _ in range(count):
            entry, at = decode_entry(data, at)
            entries.append(entry)
        snapshot = None
        if has_snapshot:
            snapshot, at = decode_snapshot(data, at)
        message = Message(_TYPES[type_], to, from_, term, log_term, index, tuple(entries), commit, bool(reject), hint,
                          context, snapshot)
    except (struct.error, IndexError) as error:
        raise ValueError(f"not a Raft message: {error}") from None
    if at != len(data) or (message.type == "snapshot") != (snapshot is not None):
        raise ValueError("not a Raft message: its parts do not fit")
    return message


def decode_entry(data: bytes, at: int = 0) -> tuple[Entry, int]:
    """Read an entry and return it with the offset after it. Raises ValueError, struct.error, IndexError."""
    term, index, kind, size = _ENTRY.unpack_from(data, at)
    body, at = _take(data, at + _ENTRY.size, size)
    return Entry(term, index, _KINDS[kind], body), at


def decode_snapshot(data: bytes, at: int = 0) -> tuple[Snapshot, int]:
    """Read a snapshot and return it with the offset after it. Raises ValueError, struct.error."""
    index, term, voters, learners, size = _SNAPSHOT.unpack_from(data, at)
    packed, at = _take(data, at + _SNAPSHOT.size, 8 * (voters + learners))
    ids = struct.unpack(f"<{voters + learners}Q", packed)
    body, at = _take(data, at, size)
    conf = ConfState(frozenset(ids[:voters]), frozenset(ids[voters:]))
    return Snapshot(SnapshotMeta(index, term, conf), body), at


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise ValueError("not a Raft message: it is cut off")
    return data[at:at + size], at + size
