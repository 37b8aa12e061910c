"""What a check found: one line for each requirement, and for the first that fails what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Requirement:
    """One observable fact. `todo` says what to look at next while it does not hold."""

    text: str
    ok: bool
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """All requirements of an exercise, in the order in which they are best healed."""

    title: str
    requirements: tuple[Requirement, ...]

    @property
    def ok(self) -> bool:
        return bool(self.requirements) and all(r.ok for r in self.requirements)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def summary(self) -> str:
        done = sum(r.ok for r in self.requirements)
        return f"Solved: {self.title}." if self.ok else f"{done} of {len(self.requirements)} hold: {self.title}."

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield sign, text and what to do next (only for what fails)."""
        for r in self.requirements:
            yield ("✓" if r.ok else "✗"), r.text, "" if r.ok else r.todo

    def __repr__(self) -> str:
        rows = [f"  {sign} {text}" + (f"\n      → {todo}" if todo else "") for sign, text, todo in self.lines()]
        return "\n".join([self.summary, *rows])

    def _repr_html_(self) -> str:
        colour = {"✓": "#009E73", "✗": "#D55E00"}
        rows = "".join(
            f'<li style="list-style:none"><b style="color:{colour[sign]}">{sign}</b> {escape(text)}'
            + (f'<div style="opacity:.75;margin-left:1.4em">→ {escape(todo)}</div>' if todo else "") + "</li>"
            for sign, text, todo in self.lines())
        return f'<div><b>{escape(self.summary)}</b><ul style="padding-left:.4em;margin:.4em 0">{rows}</ul></div>'
