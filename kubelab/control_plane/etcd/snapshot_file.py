"""A store as one file: what `etcdctl snapshot save` writes, and `kubelab etcd --restore` reads.

    magic │ frame(snapshot, as in the log's folder) │ zeros up to a whole page of 512 bytes │ sha256 of all before
                                                                                                └─ the wire adds it

Invariant: a file is taken whole or not at all: its checksum is looked at first.
Models:    etcdctl's snapshot package, with a content of our own (etcd's is a bbolt database)
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from kubelab.control_plane.etcd.wal import Snapshot, encode_snapshot, frame

_MAGIC = b"kubelab etcd snapshot 1\n"
_PAGE = 512  # etcdctl takes a file whose length is a whole number of these, and a checksum
_SUM = hashlib.sha256().digest_size


def pack(snapshot: Snapshot) -> bytes:
    """Return the file of a state, without the checksum."""
    data = _MAGIC + frame(encode_snapshot(snapshot))
    return data + bytes(-len(data) % _PAGE)


def signed(blob: bytes) -> bytes:
    """Return the checksum that goes after the file."""
    return hashlib.sha256(blob).digest()


def restore(file: Path, data_dir: Path) -> None:
    """Make a data directory from a snapshot file. Raises ValueError for another file, FileExistsError for a folder."""
    data = file.read_bytes()
    blob = data[:-_SUM]
    if not data.startswith(_MAGIC):
        raise ValueError(f"{file} is no snapshot of kubelab's etcd: save one with `etcdctl snapshot save FILE`")
    if len(data) % _PAGE != _SUM or signed(blob) != data[-_SUM:]:
        raise ValueError(f"{file} is damaged: its checksum is wrong; take another copy")
    if data_dir.exists() and any(data_dir.iterdir()):
        raise FileExistsError(f"{data_dir} is not empty: restore into a new folder")
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    length = int.from_bytes(blob[len(_MAGIC):len(_MAGIC) + 4], "little")
    path = data_dir / "snap-00000001"
    path.touch(mode=0o600)
    path.write_bytes(blob[len(_MAGIC):len(_MAGIC) + 8 + length])
