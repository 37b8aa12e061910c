"""What a learner has solved: one small JSON file in the user's data folder.

Invariant: losing the file loses a tick mark, nothing else; it is written whole or not at all.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def data_dir() -> Path:
    """Return the folder for kubelab's data of this user: KUBELAB_DATA, or where the platform keeps such things."""
    if chosen := os.environ.get("KUBELAB_DATA"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "kubelab"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "kubelab"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "kubelab"


def read() -> dict[str, dict[str, Any]]:
    """Return exercise name -> {"solved": bool, "hints": how many were opened}."""
    try:
        found = json.loads((data_dir() / "progress.json").read_text())
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def remember(exercise: str, **facts: Any) -> None:
    """Add facts about one exercise; a home that cannot be written is no reason to fail a learner."""
    everything = read()
    everything[exercise] = everything.get(exercise, {}) | facts
    file = data_dir() / "progress.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(everything, indent=1, sort_keys=True))
        fresh.replace(file)
    except OSError as error:
        print(f"kubelab: progress is not remembered: {error}", file=sys.stderr)
