from __future__ import annotations

import pytest

from kubelab.machinery.intstr import resolve


@pytest.mark.parametrize(("value", "total", "up", "count"), [
    (3, 10, True, 3), ("25%", 10, True, 3), ("25%", 10, False, 2), ("0%", 10, True, 0), ("100%", 7, False, 7),
    (None, 5, True, 0)])
def test_a_percentage_is_rounded_as_asked(value: int | str | None, total: int, up: bool, count: int) -> None:
    """maxSurge rounds up, maxUnavailable rounds down, plain numbers stay."""
    assert resolve(value, total, up) == count


def test_other_strings_are_refused() -> None:
    """A string without a per cent sign is no count."""
    with pytest.raises(ValueError, match="invalid value for IntOrString"):
        resolve("3", 10, True)
