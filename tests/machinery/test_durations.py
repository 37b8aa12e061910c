"""Durations are read as Go reads them."""

from __future__ import annotations

import pytest

from kubelab.machinery.durations import duration_s


@pytest.mark.parametrize(("text", "seconds"), [("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("0", 0), ("-2s", -2)])
def test_durations(text: str, seconds: float) -> None:
    """Durations are read as Go reads them."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1s!", "!1s"])
def test_bad_durations(text: str) -> None:
    """What Go would not read is refused in its words."""
    with pytest.raises(ValueError, match="time: invalid duration"):
        duration_s(text)
