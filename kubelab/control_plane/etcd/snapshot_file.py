"""A store as one file, in etcd's own format: `etcdctl snapshot save` takes it, and either etcd begins with it.

    bbolt file:  key    revision "_" number [t] ─► KeyValue       (t: a deletion)
                 lease  id ─► Lease
                 meta   compacted revisions                       and etcd's other buckets, empty
    then the sha256 of all before, which the wire adds

    etcdctl snapshot save ─► file ─┬─► kubelab etcd --restore FILE
    of kubelab's etcd or a real    └─► etcdctl snapshot restore FILE, for a real etcd

Invariant: a file is taken whole or not at all: its checksum is looked at first.
Models:    etcd's backend schema (mvcc, lease) and etcdctl's snapshot package
Left out:  history: what begins with a file has the newest version of each key, and is compacted up to there
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from kubelab.control_plane.etcd import bolt
from kubelab.control_plane.etcd.api import KeyValue
from kubelab.control_plane.etcd.records import Snapshot, encode_snapshot
from kubelab.control_plane.etcd.wal import frame

_PAGE = 512  # etcdctl takes a file whose length is a whole number of these, and a checksum
_SUM = hashlib.sha256().digest_size
_REVISION = struct.Struct(">QcQ")  # revision, "_", which of its changes
_ID = struct.Struct(">Q")
_COMPACTED = (b"finishedCompactRev", b"scheduledCompactRev")
_EMPTY = (b"alarm", b"auth", b"authRoles", b"authUsers", b"cluster", b"members", b"members_removed")


def pack(snapshot: Snapshot) -> bytes:
    """Return the file of a state, without the checksum."""
    from kubelab.control_plane.etcd.wire.convert import kv_message

    rows: list[bolt.Entry] = []
    ordered = sorted(snapshot.kvs, key=lambda kv: (kv.mod_revision, kv.key))
    for revision, kvs in groupby(ordered, key=lambda kv: kv.mod_revision):
        rows += [(_REVISION.pack(revision, b"_", number), kv_message(kv).SerializeToString())
                 for number, kv in enumerate(kvs)]
    compacted = _REVISION.pack(snapshot.revision, b"_", 0)
    buckets: dict[bytes, Sequence[bolt.Entry]] = dict.fromkeys(_EMPTY, ())
    buckets |= {b"key": rows, b"meta": [(b"consistent_index", _ID.pack(0)),
                                       *((name, compacted) for name in _COMPACTED)],
                b"lease": sorted((_ID.pack(lease), _lease(lease, ttl_s)) for lease, ttl_s in snapshot.leases)}
    return bolt.write(buckets)


def unpack(data: bytes) -> Snapshot:
    """Return the state that a file of either etcd holds. Raises NotBolt."""
    from kubelab.control_plane.etcd.wire import stubs as pb

    buckets = bolt.read(data)
    newest: dict[bytes, KeyValue] = {}
    revision = 1
    for name, value in buckets.get(b"key", []):
        m = pb.KeyValue.FromString(value)
        revision = max(revision, _REVISION.unpack_from(name)[0])
        if len(name) > _REVISION.size:
            newest.pop(m.key, None)
        else:
            newest[m.key] = KeyValue(m.key, m.value, m.create_revision, m.mod_revision, m.version, m.lease)
    meta = dict(buckets.get(b"meta", []))
    if _COMPACTED[0] in meta:
        revision = max(revision, _REVISION.unpack_from(meta[_COMPACTED[0]])[0])
    leases = [(_ID.unpack(name)[0], _numbers(value)[2]) for name, value in buckets.get(b"lease", [])]
    return Snapshot(revision, list(newest.values()), leases)


def signed(blob: bytes) -> bytes:
    """Return the checksum that goes after the file."""
    return hashlib.sha256(blob).digest()


def read(file: Path) -> Snapshot:
    """Return the state that a snapshot file holds. Raises ValueError for another file, OSError."""
    data = file.read_bytes()
    blob = data[:-_SUM]
    if len(data) % _PAGE != _SUM:
        raise ValueError(f"{file} is no snapshot of an etcd: save one with `etcdctl snapshot save FILE`")
    if signed(blob) != data[-_SUM:]:
        raise ValueError(f"{file} is damaged: its checksum is wrong; take another copy")
    return unpack(blob)


def restore(file: Path, data_dir: Path) -> None:
    """Make a data directory from a snapshot file. Raises ValueError for another file, FileExistsError for a folder."""
    snapshot = read(file)
    if data_dir.exists() and any(data_dir.iterdir()):
        raise FileExistsError(f"{data_dir} is not empty: restore into a new folder")
    payload = frame(encode_snapshot(snapshot))
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / "snap-00000001"
    path.touch(mode=0o600)
    path.write_bytes(payload)


def _lease(lease: int, ttl_s: int) -> bytes:
    """Return leasepb.Lease, which no package describes: its id is field 1, its time field 2."""
    from kubelab.control_plane.etcd.wire.encoded import varint

    return b"\x08" + varint(lease) + b"\x10" + varint(ttl_s)


def _numbers(message: bytes) -> dict[int, Any]:
    """Return the fields of a message that has numbers alone."""
    found: dict[int, Any] = {}
    at = 0
    while at < len(message):
        pair = []
        for _ in range(2):  # the field's tag, then its value
            number = shift = 0
            while True:
                byte = message[at]
                at, number, shift = at + 1, number | (byte & 0x7F) << shift, shift + 7
                if byte < 0x80:
                    break
            pair.append(number)
        found[pair[0] >> 3] = pair[1]
    return found
