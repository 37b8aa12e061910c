"""hostPath volumes: a path of the machine itself, checked for its type, and kept off the cluster's own folders.

Models:    pkg/volume/hostpath
"""

from __future__ import annotations

import stat
from pathlib import Path

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.payload import VolumeError

_NOUNS = {"Directory": ("directory", stat.S_ISDIR), "File": ("file", stat.S_ISREG), "Socket": ("socket", stat.S_ISSOCK),
          "CharDevice": ("character device", stat.S_ISCHR), "BlockDevice": ("block device", stat.S_ISBLK)}


def check_host_path(source: Obj, root_dir: Path) -> None:
    """Refuse what is not of the wanted type, and the kubelet's own folder. Raises VolumeError. Blocks on the disk."""
    path, kind = Path(source["path"]), source.get("type") or ""
    real, own = path.resolve(), root_dir.resolve()
    if real in (own, own.parent) or own in real.parents:
        raise VolumeError(f"hostPath {path} is refused: it holds the cluster's own state")
    if kind.endswith("OrCreate"):
        kind = kind.removesuffix("OrCreate")
        if not path.exists():
            if kind == "Directory":
                path.mkdir(mode=0o755, parents=True)
            else:
                path.touch(0o644)
    if not kind:
        return
    noun, is_kind = _NOUNS[kind]
    try:
        mode = path.stat().st_mode
    except OSError:
        mode = 0
    if not is_kind(mode):
        raise VolumeError(f"hostPath type check failed: {path} is not a {noun}")
