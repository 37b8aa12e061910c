"""Counters, gauges and histograms, and the text in which Prometheus reads them.

    code ─► Counter.add · Histogram.observe ─┐
            Gauge (reads its value when asked) ─┴─► exposition(families) ─► GET /metrics

Invariant: counting is one look into a dict; everything else happens when somebody asks.
Models:    prometheus/client_golang with k8s.io/component-base/metrics; like k3s, parts that share a process share
           one registry, PROCESS
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

Labels = tuple[str, ...]
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Family(Protocol):
    """All series of one name."""

    name: str

    def lines(self) -> Iterator[str]: ...


class Counter:
    """Counts up. `labels` are the names; `add` takes their values in the same order."""

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.values: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, values: Labels = (), amount: float = 1) -> None:
        self.values[values] = self.values.get(values, 0) + amount

    def lines(self) -> Iterator[str]:
        yield from head(self.name, self.text, "counter")
        for values, amount in sorted(self.values.items()):
            yield sample(self.name, self.labels, values, amount)


class Gauge:
    """A value that goes up and down, or with `type_` "counter" only up, read from where it stands."""

    def __init__(self, name: str, text: str, labels: Labels, read: Callable[[], Mapping[Labels, float]],
                 type_: str = "gauge") -> None:
        self.name, self.text, self.labels, self._read, self.type = name, text, labels, read, type_

    def lines(self) -> Iterator[str]:
        yield from head(self.name, self.text, self.type)
        for values, amount in sorted(self._read().items()):
            yield sample(self.name, self.labels, values, amount)


class Histogram:
    """Counts observations by size; `buckets` are the upper bounds in ascending order."""

    def __init__(self, name: str, text: str, labels: Labels, buckets: Sequence[float]) -> None:
        self.name, self.text, self.labels, self.buckets = name, text, labels, tuple(buckets)
        self.cells: dict[Labels, Cell] = {}

    def cell(self, values: Labels) -> Cell:
        """Return one series; whoever observes often keeps it."""
        cell = self.cells.get(values)
        if cell is None:
            cell = self.cells[values] = Cell(self.buckets)
        return cell

    def observe(self, values: Labels, amount: float) -> None:
        self.cell(values).observe(amount)

    def lines(self) -> Iterator[str]:
        yield from head(self.name, self.text, "histogram")
        for values, cell in sorted(self.cells.items()):
            if cell.total:
                yield from cell.lines(self.name, self.labels, values)

    def totals(self) -> dict[Labels, float]:
        """Return how many observations each series has, for a counter beside the histogram."""
        return {values: total for values, cell in self.cells.items() if (total := cell.total)}


class Cell:
    """One series of a histogram: how many observations fell into each bucket, and their sum."""

    __slots__ = ("buckets", "counts", "sum")

    def __init__(self, buckets: Sequence[float]) -> None:
        self.buckets, self.counts, self.sum = buckets, [0] * (len(buckets) + 1), 0.0

    @property
    def total(self) -> int:
        return sum(self.counts)

    def observe(self, amount: float) -> None:
        self.sum += amount
        self.counts[bisect_left(self.buckets, amount)] += 1

    def merge(self, other: Cell) -> None:
        self.sum += other.sum
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]

    def lines(self, name: str, labels: Labels, values: Labels) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(number, self.buckets), "+Inf"), self.counts, strict=True):
            total += count
            yield sample(f"{name}_bucket", (*labels, "le"), (*values, bound), total)
        yield sample(f"{name}_sum", labels, values, self.sum)
        yield sample(f"{name}_count", labels, values, total)


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Return `count` bounds, each `factor` times the one before."""
    return tuple(start * factor ** i for i in range(count))


def head(name: str, text: str, type_: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {type_}"


def sample(name: str, labels: Labels, values: Labels, amount: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {number(amount)}" if pairs else f"{name} {number(amount)}"


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def exposition(families: Iterable[Family]) -> str:
    """Write families in name order, as /metrics answers."""
    return "".join(f"{line}\n" for family in sorted(families, key=lambda f: f.name) for line in family.lines())


PROCESS: list[Family] = []
"""What this process counts whichever cluster it belongs to: work queues, the scheduler, requests sent."""


def counter(name: str, text: str, labels: Labels = ()) -> Counter:
    """Make a counter of this process."""
    made = Counter(name, text, labels)
    PROCESS.append(made)
    return made


def histogram(name: str, text: str, labels: Labels, buckets: Sequence[float]) -> Histogram:
    """Make a histogram of this process."""
    made = Histogram(name, text, labels, buckets)
    PROCESS.append(made)
    return made


def gauge(name: str, text: str, labels: Labels, read: Callable[[], Mapping[Labels, float]],
          type_: str = "gauge") -> Gauge:
    """Make a gauge of this process."""
    made = Gauge(name, text, labels, read, type_)
    PROCESS.append(made)
    return made
