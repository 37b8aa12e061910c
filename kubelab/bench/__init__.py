"""Measure this cluster at the work on which a real control plane was measured, and print both side by side.

    kubelab bench ─► starts `kubelab up` as a process of its own ─► load over TLS from this process ─► table

Invariant: bounded in count and time, on loopback only, against clusters that it started itself.
Source of the real figures: Kubernetes 1.36 (etcd, apiserver, controller-manager, scheduler) on a 2-core machine; a real
etcd is measured in the same run, where it is installed
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

PARTS = ("start", "inside", "api", "watch", "servers", "pods", "large", "etcd")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `better` is "less" or "more", `real` what Kubernetes 1.36 needed."""

    name: str
    value: float
    unit: str
    real: str
    target: float
    better: str

    @property
    def reached(self) -> bool:
        return self.value <= self.target if self.better == "less" else self.value >= self.target


def run(parts: Sequence[str], out: Path | None = None) -> int:
    """Run the chosen parts (all when none), print the table, return 0 when every figure is reached."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures: list[Figure] = []
    for part in parts or PARTS:
        print(f"measuring {part} ...", file=sys.stderr, flush=True)
        figures += _part(part)()
    print(table(figures))
    if out:
        out.write_text(json.dumps([asdict(f) for f in figures], indent=1))
    return 0 if all(f.reached for f in figures) else 1


def _part(name: str) -> Callable[[], Iterator[Figure]]:
    from kubelab.bench import api, etcd, inside, large, members, pods, servers, start

    return {"start": start.measure, "inside": inside.measure, "api": api.measure, "watch": api.measure_watch,
            "servers": servers.measure, "pods": pods.measure, "large": large.measure,
            "etcd": lambda: chain(etcd.measure(), members.measure())}[name]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as an aligned table; ✓ marks a target that is reached."""
    rows = [("", "figure", "kubelab", "to reach", "real")]
    for f in figures:
        sign = "≤" if f.better == "less" else "≥"
        rows.append(("✓" if f.reached else "✗", f.name, f"{f.value:,.4g} {f.unit}", f"{sign} {f.target:,.4g} {f.unit}",
                     f.real))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
