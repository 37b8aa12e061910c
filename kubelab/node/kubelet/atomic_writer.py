"""Writes the files of a volume so that a reader sees all old or all new ones, never a mixture.

    volume/
      key            ─► ..data/key
      ..data         ─► ..2026_01_02_03_04_05.0001      one rename of this link is the decisive instant
      ..2026_01_.../key

Invariant: every path stays inside the volume: relative, no "..", no name that starts with "..".
Models:    pkg/volume/util/atomic_writer.go
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

MAX_PATH = 4096
_DATA, _NEW = "..data", "..data_tmp"


class PathError(ValueError):
    """A path that would leave its volume."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    data: bytes
    mode: int = 0o644


Payload = Mapping[str, FileEntry]  # relative path -> file


def check_path(path: str) -> None:
    """Refuse a path that is no plain relative one. Raises PathError."""
    if not path or len(path) > MAX_PATH:
        raise PathError(f"invalid path: must be 1 to {MAX_PATH} characters")
    if path.startswith("/"):
        raise PathError(f"invalid path: must be relative path: {path}")
    if ".." in path.split("/"):
        raise PathError(f"invalid path: must not contain '..': {path}")
    if path.startswith(".."):
        raise PathError(f"invalid path: must not start with '..': {path}")


def write_payload(volume: Path, payload: Payload, group: int | None = None) -> bool:
    """Make the volume hold exactly `payload`, readable for `group`; return whether anything changed. Blocks."""
    if group is not None:
        payload = {path: replace(entry, mode=entry.mode | 0o440) for path, entry in payload.items()}
    for path in payload:
        check_path(path)
    volume.mkdir(parents=True, exist_ok=True)
    data = volume / _DATA
    old = os.readlink(data) if data.is_symlink() else None
    if old is not None and _same(volume / old, payload):
        return False
    fresh = _write_fresh(volume, payload)
    if group is not None:
        give_to_group(volume, group)
    link = volume / _NEW
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(data)  # from here on every reader sees the new files
    _link_names(volume, {path.split("/")[0] for path in payload})
    if old is not None:
        shutil.rmtree(volume / old, ignore_errors=True)
    return True


def give_to_group(folder: Path, group: int) -> None:
    """Let a group own all that stands in the folder and all that is made there; only root can."""
    if os.geteuid() != 0:
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            os.chown(path, -1, group)
            if path.is_dir():
                path.chmod(path.stat().st_mode | 0o2770)


def _write_fresh(volume: Path, payload: Payload) -> Path:
    stamp, n = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime()), 0
    while True:
        fresh = volume / f"{stamp}.{n:04d}"
        try:
            fresh.mkdir(mode=0o755)
            break
        except FileExistsError:
            n += 1
    for path, entry in payload.items():
        file = fresh / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(entry.data)
        file.chmod(entry.mode)
    return fresh


def _link_names(volume: Path, names: set[str]) -> None:
    for name in names:
        link = volume / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for known in volume.iterdir():
        if not known.name.startswith("..") and known.is_symlink() and known.name not in names:
            known.unlink()


def _same(folder: Path, payload: Payload) -> bool:
    """Tell whether the folder holds these files already."""
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    if found.keys() != payload.keys():
        return False
    return all(found[path].read_bytes() == entry.data and found[path].stat().st_mode & 0o777 == entry.mode
               for path, entry in payload.items())
