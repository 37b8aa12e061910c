"""The recorded answers of a real Kubernetes, for the parts that can be held against them alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity"
NOW = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], list[dict[str, Any]]]:
    """Return the cases of one file, times made real."""
    if not FOLDER.is_dir():
        pytest.skip("no recordings: ../shared/parity is not here")

    def read(name: str) -> list[dict[str, Any]]:
        return json.loads((FOLDER / f"{name}.json").read_text().replace("<time>", NOW))  # type: ignore[no-any-return]

    return read
