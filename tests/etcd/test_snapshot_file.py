"""A store as one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.etcd.snapshot_file import restore, signed
from kubelab.machinery.clock import SteppedClock


async def saved(folder: Path) -> Path:
    """Save a store that has a key and a lease."""
    etcd = EmbeddedEtcd(None, SteppedClock())
    await etcd.start()
    await etcd.put(b"k", b"1")
    await etcd.put(b"k", b"2", lease=await etcd.lease_grant(60))
    blob = await etcd.snapshot()
    await etcd.stop()
    file = folder / "saved"
    file.write_bytes(blob + signed(blob))
    return file


async def test_a_restored_store_goes_on_from_the_revision(tmp_path: Path) -> None:
    """Keys, leases and the revision are as they were; the history before is gone."""
    restore(await saved(tmp_path), tmp_path / "new")
    etcd = EmbeddedEtcd(tmp_path / "new", SteppedClock())
    await etcd.start()
    found = etcd._store.range(b"k")
    assert (found.revision, found.kvs[0].value, found.kvs[0].version) == (3, b"2", 2)
    assert (await etcd.lease_time_to_live(found.kvs[0].lease))[2] == [b"k"]
    assert (await etcd.txn((), ())).revision == 3
    await etcd.stop()


async def test_what_is_not_restored(tmp_path: Path) -> None:
    """A damaged file, another file, a folder that has something in it: each is refused with what to do."""
    file = await saved(tmp_path)
    data = bytearray(file.read_bytes())
    data[9000] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(ValueError, match="take another copy"):
        restore(tmp_path / "damaged", tmp_path / "new")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="etcdctl snapshot save"):
        restore(tmp_path / "text", tmp_path / "new")
    with pytest.raises(FileExistsError, match="restore into a new folder"):
        restore(file, tmp_path)
    assert not (tmp_path / "new").exists()
