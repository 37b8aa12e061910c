"""What changed between two versions of an object, line by line of its YAML.

    old, new ─► compare ─► Diff: [(" ", "spec:"), ("-", "  replicas: 3"), ("+", "  replicas: 5"), ...]

Invariant: every line has its sign, so a diff reads the same without colour; showing it changes nothing.
Models:    kubectl diff
Left out:  managedFields and resourceVersion, which change with every write and say nothing about it
"""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator, Sequence
from typing import Any

from kubelab.views.table import to_yaml, without_managed_fields

Line = tuple[str, str]  # sign and text: "+" new, "-" old, " " both, "…" how many lines alike are left out

CONTEXT = 2
MOST_LINES = 5_000  # what differs beyond that is told as all old, all new
COLOURS = {"+": "rgba(0,158,115,.20)", "-": "rgba(213,94,0,.20)"}


class Diff(list[Line]):
    """The lines of a comparison; empty when nothing differs."""

    @property
    def added(self) -> int:
        return sum(sign == "+" for sign, _ in self)

    @property
    def removed(self) -> int:
        return sum(sign == "-" for sign, _ in self)

    @property
    def summary(self) -> str:
        return f"+{self.added} −{self.removed}" if self else "no difference"

    def __repr__(self) -> str:
        return "\n".join(f"{sign} {text}".rstrip() for sign, text in self) or "no difference"

    def _repr_html_(self) -> str:
        if not self:
            return "<i>no difference</i>"
        rows = "".join(f'<div style="padding:0 .5em;background:{COLOURS.get(sign, "none")};'
                       f'opacity:{".6" if sign == "…" else "1"}">{html.escape(f"{sign} {text}")}</div>'
                       for sign, text in self)
        return f'<pre style="line-height:1.4">{rows}</pre>'


def compare(old: Any, new: Any, context: int = CONTEXT) -> Diff:
    """Return the lines that differ between two values, with `context` lines around; None stands for "not there"."""
    before, after = lines_of(old), lines_of(new)
    head = _alike(before, after)
    tail = _alike(before[head:][::-1], after[head:][::-1])
    middle = _differences(before[head:len(before) - tail], after[head:len(after) - tail])
    same: list[Line] = [(" ", line) for line in before]
    return Diff(_near([*same[:head], *middle, *same[len(before) - tail:]], context))


def writer(old: Any, new: Any) -> str:
    """Return who made `new` of `old`: the field manager whose entry is new or newly dated, "" where none tells.

    Who only lost fields to the writer has another entry, too, but of the old date.
    """
    before, after = _managers(old), _managers(new)
    dated = [e for e in after if not any(_dated(e) == _dated(other) for other in before)]
    found = dated or [e for e in after if e not in before]
    return str(found[-1].get("manager") or "") if found else ""


def _managers(value: Any) -> list[dict[str, Any]]:
    return list((value.get("metadata") or {}).get("managedFields") or ()) if isinstance(value, dict) else []


def _dated(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(field) for field in ("manager", "operation", "subresource", "time"))


def lines_of(value: Any) -> list[str]:
    """Return a value as lines: an object as its YAML, text as it is."""
    if value is None:
        return []
    if isinstance(value, dict):
        shown = without_managed_fields(value)
        if isinstance(meta := shown.get("metadata"), dict):
            shown["metadata"] = {k: v for k, v in meta.items() if k != "resourceVersion"}
        return to_yaml(shown).splitlines()
    if isinstance(value, bytes):
        return [repr(value)]
    return (value if isinstance(value, str) else to_yaml({"value": value})).splitlines()


def _alike(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many lines are the same from the beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _differences(before: Sequence[str], after: Sequence[str]) -> Iterator[Line]:
    if max(len(before), len(after)) > MOST_LINES:
        yield from (("-", line) for line in before)
        yield from (("+", line) for line in after)
        return
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from ((" ", line) for line in before[i1:i2])
        else:
            yield from (("-", line) for line in before[i1:i2])
            yield from (("+", line) for line in after[j1:j2])


def _near(lines: Sequence[Line], context: int) -> Iterator[Line]:
    """Keep what differs, `context` lines around it, and the headings that say where it stands."""
    changed = [i for i, (sign, _) in enumerate(lines) if sign != " "]
    keep: set[int] = set()
    for i in changed:
        keep.update(range(max(0, i - context), min(len(lines), i + context + 1)))
        keep.update(_headings(lines, i))
    skipped: list[Line] = []
    for i, line in enumerate(lines if changed else ()):
        if i not in keep:
            skipped.append(line)
            continue
        yield from _told(skipped)
        skipped = []
        yield line
    yield from _told(skipped)


def _headings(lines: Sequence[Line], at: int) -> Iterator[int]:
    """Yield the lines above that a YAML line belongs to: `spec:`, `  template:`, ..."""
    depth = _depth(lines[at][1])
    for i in range(at - 1, -1, -1):
        text = lines[i][1]
        if _depth(text) < depth and text.rstrip().endswith(":"):
            depth = _depth(text)
            yield i
        if depth == 0:
            return


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _told(skipped: Sequence[Line]) -> Sequence[Line]:
    """Return what stands for left-out lines; one alone stands for itself."""
    return [("…", f"{len(skipped)} lines alike")] if len(skipped) > 1 else skipped
