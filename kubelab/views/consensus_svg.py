"""The consensus view as a still drawing: what a notebook without a kernel shows.

    picture ─► draw ─► one <svg> without script: a row a member, a square a log entry

Invariant: a pure function of the picture; every text from the cluster is escaped.
Left out:  the network and everything that moves
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

WIDTH, ROW, LEFT, CELL = 760, 56, 250, 34
STYLE = ("text{font:12px Inter,Helvetica,Arial,sans-serif;fill:#1f2328}.q{fill:#5f6773}.k{fill:#cfe0ff;stroke:#326ce5}"
         ".o{fill:none;stroke:#326ce5;stroke-dasharray:4 3}.p{fill:#fff}@media(prefers-color-scheme:dark){"
         "text{fill:#e6e8eb}.q{fill:#9aa4b2}.k{fill:#223a68}.p{fill:#111318}}")


def draw(picture: Mapping[str, Any]) -> str:
    """Return the members and their logs as SVG text."""
    members = picture["members"]
    height = 44 + ROW * len(members)
    head = f"{picture['leader']} leads" if picture["leader"] else "nobody leads: no writes"
    rows = "".join(_row(member, 40 + ROW * i) for i, member in enumerate(members))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="{escape(f"etcd with {len(members)} members, {head}")}"><style>{STYLE}</style>'
            f'<rect width="{WIDTH}" height="{height}" class="p"/><text x="16" y="24">etcd · {escape(head)}</text>'
            f"{rows}</svg>")


def _row(member: Mapping[str, Any], y: float) -> str:
    state = member["role"] if member["state"] == "running" else f"{member['state']} ({member['role']})"
    cells = "".join(
        f'<rect x="{LEFT + i * CELL}" y="{y}" width="{CELL - 4}" height="28" rx="5" '
        f'class="{"k" if index <= member["commit"] else "o"}"><title>{escape(f"{index}, term {term}: {key}")}</title>'
        f'</rect><text x="{LEFT + i * CELL + 4}" y="{y + 18}" font-size="10">{index}</text>'
        for i, (index, term, key) in enumerate(member["log"]))
    return (f'<text x="16" y="{y + 12}">{escape(member["name"])} · {escape(state)}</text><text x="16" y="{y + 28}" '
            f'class="q">term {member["term"]} · committed {member["commit"]}</text>{cells}')
