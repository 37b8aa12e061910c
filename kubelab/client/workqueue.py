"""The workqueue: keys to reconcile, each at most once in the queue and at most once in work.

    add ─► dirty? ─► in work? ─► yes: wait for done, then queue again
                         └─────► no: queue ─► get ─► (in work) ─► done

Invariants: dirty      = keys that need a reconcile (queued, or to be queued when done)
            processing = keys in work
            queue      = dirty − processing, in the order they came
Models:     client-go's util/workqueue with the item exponential failure rate limiter
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from weakref import WeakSet

from kubelab.machinery import metrics
from kubelab.machinery.clock import Clock, Handle
from kubelab.machinery.journal import current_cause
from kubelab.machinery.metrics import Labels

FIRST_DELAY_S, LAST_DELAY_S = 0.005, 1000.0
_NAME = ("name",)
_SECONDS = metrics.exponential(10e-9, 10, 10)
_queues: WeakSet[WorkQueue] = WeakSet()  # those with a name, for their depth
ADDS = metrics.counter("workqueue_adds_total", "Total number of adds handled by workqueue", _NAME)
RETRIES = metrics.counter("workqueue_retries_total", "Total number of retries handled by workqueue", _NAME)
QUEUED = metrics.histogram("workqueue_queue_duration_seconds", "How long in seconds an item stays in workqueue before "
                           "being requested.", _NAME, _SECONDS)
WORKED = metrics.histogram("workqueue_work_duration_seconds", "How long in seconds processing an item from workqueue "
                           "takes.", _NAME, _SECONDS)
DEPTH = metrics.gauge("workqueue_depth", "Current depth of workqueue", _NAME, lambda: _depths())


class ShutDown(Exception):
    """The queue takes and gives no more work."""


class WorkQueue:
    """A queue of keys that forgets duplicates; delays run on the clock. One with a name is measured."""

    def __init__(self, clock: Clock, name: str = "") -> None:
        self.name = name
        self._measured: Labels = (name,)
        self._since: dict[str, float] = {}  # when a key was queued, then when work on it began
        if name:
            _queues.add(self)
        self._clock = clock
        self._queue: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._failures: dict[str, int] = {}
        self._causes: dict[str, int | None] = {}  # why each dirty key was added first, as the trace journal counts
        self._working: dict[str, int | None] = {}  # the same for the keys in work
        self._delayed: dict[str, tuple[float, Handle]] = {}  # key: when (monotonic), timer
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Tell whether nothing is queued, in work, or waiting for its time."""
        return not (self._dirty or self._processing or self._delayed)

    def add(self, key: str) -> None:
        """Mark a key as needing a reconcile."""
        if key in self._dirty or self._closed:
            return
        self._dirty.add(key)
        self._causes[key] = current_cause.get()
        ADDS.add(self._measured)
        if key not in self._processing:
            self._enqueue(key)

    def _enqueue(self, key: str) -> None:
        self._since[key] = perf_counter()
        self._queue.append(key)
        self._wake()

    def add_after(self, key: str, delay_s: float) -> None:
        """Add a key when `delay_s` has passed; of several such calls the earliest time holds."""
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay_s
        waiting = self._delayed.get(key)
        if self._closed or (waiting is not None and waiting[0] <= due):
            return
        if waiting is not None:
            waiting[1].cancel()
        self._delayed[key] = (due, self._clock.call_later(delay_s, lambda: self._due(key)))

    def _due(self, key: str) -> None:
        self._delayed.pop(key, None)
        self.add(key)

    def add_rate_limited(self, key: str) -> None:
        """Add a key after 5 ms, 10 ms, 20 ms ... 1000 s: twice as long with each failure since `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        RETRIES.add(self._measured)
        self.add_after(key, min(FIRST_DELAY_S * 2.0 ** min(failures, 60), LAST_DELAY_S))

    def requeues(self, key: str) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """Start over with the delays of this key: it succeeded, or it is given up."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """Return the next key; whoever got it calls `done`. Raises ShutDown."""
        while not self._queue:
            if self._closed:
                raise ShutDown
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled() and self._queue:
                    self._wake()  # this getter was woken but goes away: wake another in its stead
                raise
            finally:
                if getter in self._getters:
                    self._getters.remove(getter)
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        self._working[key] = self._causes.pop(key, None)
        now = perf_counter()
        QUEUED.observe(self._measured, now - self._since[key])
        self._since[key] = now
        return key

    def cause(self, key: str) -> int | None:
        """Return the journal entry that brought a key in work onto the queue."""
        return self._working.get(key)

    def done(self, key: str) -> None:
        """Say that work on a key has ended; if it was added meanwhile, it is queued again."""
        self._processing.discard(key)
        self._working.pop(key, None)
        began = self._since.pop(key, None)
        if began is not None:
            WORKED.observe(self._measured, perf_counter() - began)
        if key in self._dirty:
            self._enqueue(key)

    def shut_down(self) -> None:
        """Refuse new keys, cancel the delays and send the getters home."""
        self._closed = True
        for _, timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        self._queue.clear()
        self._dirty.clear()
        self._causes.clear()
        while self._getters:
            self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return


def _depths() -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for queue in _queues:
        found[queue.name,] = found.get((queue.name,), 0) + len(queue)
    return found
