"""The progress line."""

from __future__ import annotations

from contextlib import suppress

import pytest

from kubelab.views.progress import Progress


class Recording:
    def __init__(self) -> None:
        self.drawn: list[float] = []
        self.ended: list[tuple[bool, str]] = []

    def draw(self, share: float, title: str, note: str) -> None:
        self.drawn.append(share)

    def end(self, ok: bool, title: str, note: str) -> None:
        self.ended.append((ok, note))


def test_many_updates_are_few_drawings() -> None:
    """A storm of updates is drawn at most ten times a second, and ends with a tick."""
    surface = Recording()
    with Progress("deployment/web", surface=surface) as bar:
        for i in range(1000):
            bar.update(i / 1000, "working")
    assert len(surface.drawn) <= 2
    assert surface.ended[0][0] is True


def test_error_ends_with_what_was_missing() -> None:
    """Leaving by an exception keeps the last note."""
    surface = Recording()
    bar = Progress("deployment/web", surface=surface)
    with suppress(TimeoutError), bar:
        bar.update(0.3, "1 of 3 available")
        raise TimeoutError
    assert surface.ended[0][0] is False
    assert surface.ended[0][1].startswith("1 of 3 available after")


def test_quiet_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet, and no terminal, mean no output at all."""
    for quiet in (True, False):
        with Progress("x", quiet=quiet) as bar:
            bar.update(0.5)
    assert capsys.readouterr() == ("", "")
