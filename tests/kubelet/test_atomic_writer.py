from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubelab.node.kubelet.atomic_writer import FileEntry, PathError, write_payload
from kubelab.node.kubelet.sub_path import inside


def test_files_stand_behind_one_link_that_is_swapped(tmp_path: Path) -> None:
    """Every key is a link through ..data, and an update replaces all files in one step."""
    assert write_payload(tmp_path, {"a": FileEntry(b"1"), "dir/b": FileEntry(b"2", 0o600)})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert (tmp_path / "dir/b").stat().st_mode & 0o777 == 0o600
    before = os.readlink(tmp_path / "..data")
    assert write_payload(tmp_path, {"a": FileEntry(b"new")})
    assert (tmp_path / "a").read_bytes() == b"new"
    assert not (tmp_path / "dir").exists()
    assert not (tmp_path / before).exists()


def test_an_fs_group_owns_what_is_written(tmp_path: Path) -> None:
    """With a group every file is readable for it, also those of mode 0400; the same payload is still known again."""
    payload = {"secret": FileEntry(b"1", 0o400), "dir/b": FileEntry(b"2")}
    assert write_payload(tmp_path, payload, 3000)
    if os.geteuid() == 0:  # nobody else can give files away
        assert {(tmp_path / name).stat().st_gid for name in payload} == {3000}
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o440
    assert not write_payload(tmp_path, payload, 3000)


def test_the_same_payload_is_not_written_again(tmp_path: Path) -> None:
    """Level-triggered: what is right stays untouched."""
    payload = {"a": FileEntry(b"1")}
    write_payload(tmp_path, payload)
    link = os.readlink(tmp_path / "..data")
    assert not write_payload(tmp_path, payload)
    assert os.readlink(tmp_path / "..data") == link


def test_a_reader_never_sees_a_mixture(tmp_path: Path) -> None:
    """An open folder of the old generation keeps its old content while the new one stands already."""
    write_payload(tmp_path, {"a": FileEntry(b"1"), "b": FileEntry(b"1")})
    old = (tmp_path / "..data").resolve()
    with (old / "a").open("rb") as a:
        write_payload(tmp_path, {"a": FileEntry(b"2"), "b": FileEntry(b"2")})
        assert a.read() == b"1"
    assert {(tmp_path / n).read_bytes() for n in "ab"} == {b"2"}


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "", "..x", "x" * 5000])
def test_no_path_leaves_the_volume(tmp_path: Path, path: str) -> None:
    """Absolute paths, .. and names that would shadow the machinery are refused before anything is written."""
    volume = tmp_path / "volume"
    with pytest.raises(PathError):
        write_payload(volume, {path: FileEntry(b"")})
    assert not volume.exists()


def test_a_sub_path_may_follow_the_volumes_own_links(tmp_path: Path) -> None:
    """A key of a ConfigMap is a link inside its volume: that is fine."""
    write_payload(tmp_path, {"a": FileEntry(b"1")})
    assert inside(tmp_path, "a").read_bytes() == b"1"


@pytest.mark.parametrize("sub_path", ["evil", "evil/passwd", "../other", "a/../../other", "/etc"])
def test_a_sub_path_never_leads_out(tmp_path: Path, sub_path: str) -> None:
    """A container that plants a link in its volume gains nothing by it."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "evil").symlink_to("/etc")
    with pytest.raises(PathError):
        inside(volume, sub_path)


def test_a_missing_sub_path_is_made(tmp_path: Path) -> None:
    """As in Kubernetes, a sub path that is not there becomes a folder."""
    assert inside(tmp_path, "logs/web").is_dir()
