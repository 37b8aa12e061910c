"""A progress line for whoever waits: HTML in a notebook, one line on stderr in a terminal, nothing elsewhere.

    with Progress("deployment/web → Available") as bar:
        bar.update(0.33, "1 of 3 available")       # from any thread

Invariant: at most ten drawings a second, and the last one says how it ended.
"""

from __future__ import annotations

import html
import sys
import time
import uuid
from types import TracebackType
from typing import Protocol

EVERY_S = 0.1


class Surface(Protocol):
    """Where a progress line is drawn."""

    def draw(self, share: float, title: str, note: str) -> None: ...
    def end(self, ok: bool, title: str, note: str) -> None: ...


class Progress:
    """A context manager; leaving it by an exception ends the line with ✕ instead of ✓."""

    def __init__(self, title: str, *, quiet: bool = False, surface: Surface | None = None) -> None:
        self.title, self.share, self.note = title, 0.0, ""
        self._surface = None if quiet else surface or find_surface()
        self._drawn_at = self._began_at = 0.0

    def __enter__(self) -> Progress:
        self._began_at = time.monotonic()
        return self

    def update(self, share: float, note: str = "") -> None:
        """Set the share that is done, 0 to 1, and what is still missing in words."""
        self.share, self.note = min(max(share, 0.0), 1.0), note
        now = time.monotonic()
        if self._surface is not None and now - self._drawn_at >= EVERY_S:
            self._drawn_at = now
            self._surface.draw(self.share, self.title, self.note)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._surface is not None:
            took = f"{time.monotonic() - self._began_at:.1f} s"
            self._surface.end(kind is None, self.title, took if kind is None else f"{self.note} after {took}".strip())


def find_surface() -> Surface | None:
    """Return a notebook's cell output, a terminal's last line, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return NotebookSurface()
    return TerminalSurface() if sys.stderr.isatty() else None


class NotebookSurface:
    """One output of a cell, drawn over and over."""

    def __init__(self) -> None:
        self._id, self._shown = uuid.uuid4().hex, False

    def draw(self, share: float, title: str, note: str) -> None:
        bar = ("display:inline-block;width:160px;height:6px;border-radius:3px;vertical-align:middle;margin:0 10px;"
               f"background:linear-gradient(to right,#326ce5 {share:.0%},rgba(128,128,128,.3) {share:.0%})")
        self._show(f'<span role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share * 100:.0f}">'
                   f'{html.escape(title)}<span style="{bar}"></span>'
                   f'<span style="opacity:.7">{html.escape(note)}</span></span>')

    def end(self, ok: bool, title: str, note: str) -> None:
        sign, colour = ("✓", "#009E73") if ok else ("✕", "#D55E00")
        self._show(f'<span><b style="color:{colour}">{sign}</b> {html.escape(title)} '
                   f'<span style="opacity:.7">{html.escape(note)}</span></span>')

    def _show(self, text: str) -> None:
        from IPython.display import display, update_display

        bundle = {"text/html": f'<div style="font-size:13px;padding:2px 0">{text}</div>', "text/plain": ""}
        if self._shown:
            update_display(bundle, display_id=self._id, raw=True)  # type: ignore[no-untyped-call]
        else:
            display(bundle, display_id=self._id, raw=True)  # type: ignore[no-untyped-call]
        self._shown = True


class TerminalSurface:
    """The last line of stderr."""

    def draw(self, share: float, title: str, note: str) -> None:
        filled = round(share * 20)
        self._write(f"\r\x1b[2K{title} {'━' * filled}{'─' * (20 - filled)} {note}")

    def end(self, ok: bool, title: str, note: str) -> None:
        self._write(f"\r\x1b[2K{'✓' if ok else '✕'} {title} {note}\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
