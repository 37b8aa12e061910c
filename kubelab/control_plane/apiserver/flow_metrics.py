"""What flow control counts: who was let in, who waits and for how long, who was refused and why.

    request ─► refused(reason)
            └► joined ─► waited ─► begin ─► end          one Tally for each flow schema and its priority level

Invariant: a request that is let in costs two additions and two looks at the clock.
Models:    k8s.io/apiserver/pkg/util/flowcontrol/metrics
Left out:  the virtual time of fair queuing and seats lent between levels, which there are not: a level's current
           limit is its nominal one, and a request takes one seat
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from kubelab.machinery.metrics import Counter, Family, Gauge, Histogram, Labels

PREFIX = "apiserver_flowcontrol_"
BOTH = ("priority_level", "flow_schema")
BUCKETS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
LENGTHS = (0, 10, 25, 50, 100, 250, 500, 1000)
SUBSYSTEM = "API Priority and Fairness subsystem"


class Tally:
    """The counts of one flow schema at its priority level."""

    def __init__(self, of: FlowMetrics, labels: Labels) -> None:
        self.of, self.labels = of, labels
        self.dispatched = self.executing = self.waiting = 0
        self._regular = of.execution.cell((*labels, "regular"))

    def begin(self) -> float:
        """Count a request that is let in; the answer is what `end` is to be told."""
        self.dispatched += 1
        self.executing += 1
        return perf_counter()

    def end(self, began: float, verb: str) -> None:
        self.executing -= 1
        cell = self._regular if verb != "watch" else self.of.execution.cell((*self.labels, "watch"))
        cell.observe(perf_counter() - began)

    def joined(self, length: int) -> float:
        """Count a request that waits in a queue, the `length`th there; the answer is for `waited`."""
        self.waiting += 1
        self.of.lengths.observe(self.labels, length)
        return perf_counter()

    def waited(self, joined: float, *, execute: bool) -> None:
        self.waiting -= 1
        self.of.waits.observe((*self.labels, "true" if execute else "false"), perf_counter() - joined)

    def refused(self, reason: str) -> None:
        self.of.rejected.add((*self.labels, reason))


class FlowMetrics:
    """The tallies of one server. `seats` tells how many each priority level has now."""

    def __init__(self, seats: Callable[[], Mapping[str, int]]) -> None:
        self._seats = seats
        self._tallies: dict[Labels, Tally] = {}
        self.rejected = Counter(f"{PREFIX}rejected_requests_total", "Number of requests rejected by "
                                f"{SUBSYSTEM}", (*BOTH, "reason"))
        self.waits = Histogram(f"{PREFIX}request_wait_duration_seconds",
                               "Length of time a request spent waiting in its queue", (*BOTH, "execute"), BUCKETS)
        self.lengths = Histogram(f"{PREFIX}request_queue_length_after_enqueue", f"Length of queue in the {SUBSYSTEM}, "
                                 "as seen by each request after it is enqueued", BOTH, LENGTHS)
        self.execution = Histogram(f"{PREFIX}request_execution_seconds", "Duration of initial stage (for a WATCH) or "
                                   f"any (for a non-WATCH) stage of request execution in the {SUBSYSTEM}",
                                   (*BOTH, "type"), BUCKETS)

    def tally(self, level: str, schema: str) -> Tally:
        labels = (level, schema)
        found = self._tallies.get(labels)
        if found is None:
            found = self._tallies[labels] = Tally(self, labels)
        return found

    def families(self) -> list[Family]:
        """Return all that is counted, as /metrics shows it."""
        stage = "in initial (for a WATCH) or any (for a non-WATCH) execution stage"
        return [
            self.rejected, self.waits, self.lengths, self.execution,
            Gauge(f"{PREFIX}dispatched_requests_total", f"Number of requests executed by {SUBSYSTEM}", BOTH,
                  lambda: self._each(lambda tally: tally.dispatched), "counter"),
            Gauge(f"{PREFIX}current_inqueue_requests", f"Number of requests currently pending in queues of "
                  f"the {SUBSYSTEM}", BOTH, lambda: self._each(lambda tally: tally.waiting)),
            Gauge(f"{PREFIX}current_executing_requests", f"Number of requests {stage} in the {SUBSYSTEM}", BOTH,
                  lambda: self._each(lambda tally: tally.executing)),
            Gauge(f"{PREFIX}current_executing_seats", "Concurrency (number of seats) occupied by the currently "
                  "executing (initial stage for a WATCH, any stage otherwise) requests in "
                  f"the {SUBSYSTEM}", BOTH, lambda: self._each(lambda tally: tally.executing)),
            Gauge(f"{PREFIX}nominal_limit_seats", "Nominal number of execution seats configured for each priority "
                  "level", BOTH[:1], self._limits),
            Gauge(f"{PREFIX}current_limit_seats", "current derived number of execution seats available to each "
                  "priority level", BOTH[:1], self._limits),
        ]

    def _each(self, amount: Callable[[Tally], int]) -> dict[Labels, float]:
        return {labels: amount(tally) for labels, tally in self._tallies.items()}

    def _limits(self) -> dict[Labels, float]:
        return {(name,): seats for name, seats in self._seats().items()}
