"""subPath: one file or folder inside a volume, however the volume's own links may twist.

Invariant: what `inside` returns lies, with every link resolved, inside the volume.
Models:    pkg/volume/util/subpath
"""

from __future__ import annotations

from pathlib import Path

from kubelab.node.kubelet.atomic_writer import PathError


def inside(volume: Path, sub_path: str) -> Path:
    """Return the real path of `sub_path` in the volume; what is missing is made as folders. Raises PathError."""
    parts = [p for p in sub_path.split("/") if p not in ("", ".")]
    if sub_path.startswith("/") or ".." in parts:
        raise PathError(f"subpath {sub_path!r} must be a relative path without '..'")
    real_volume = volume.resolve()
    at = real_volume
    for part in parts:
        step = at / part
        if not step.exists() and not step.is_symlink():
            step.mkdir(mode=0o777)
        at = step.resolve()  # a link may point to a neighbour (..data), never outside
        if at != real_volume and real_volume not in at.parents:
            raise PathError(f"subpath {sub_path!r} not within volume path")
        if not at.exists():
            raise PathError(f"subpath {sub_path!r} leads through a broken link")
    return at
