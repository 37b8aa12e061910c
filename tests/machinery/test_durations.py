"""Durations are read as Go reads them."""

from __future__ import annotations

import pytest

from kubelab.machinery.durations import duration_s


@pytest.mark.parametrize(("text", "seconds"), [("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("0", 0), ("-2s", -2)])
def test_durations(text: str, seconds: float) -> None:
    """Durations are read as Go reads them."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize(("text", "why"), [
    ("", 'invalid duration ""'), ("s", 'invalid duration "s"'), ("!1s", 'invalid duration "!1s"'),
    ("5", 'missing unit in duration "5"'), ("1x", 'unknown unit "x" in duration "1x"'),
    ("1s!", 'unknown unit "s!" in duration "1s!"'), ("1h.", 'invalid duration "1h."')])
def test_bad_durations(text: str, why: str) -> None:
    """What Go would not read is refused in its words."""
    with pytest.raises(ValueError) as error:
        duration_s(text)
    assert str(error.value) == f"time: {why}"
