"""The trace journal: what crosses a seam, each entry with its cause, in a bounded ring.

    kubectl apply ─► request 17 ─► write 18 ─► watch 19 ─► reconcile 20 ─► request 21 ─► ...   (each names its cause)

Invariant: numbers only go up; a listener sees every entry once, in order, and a listener that fails is dropped.
Left out:  storage; the ring forgets, it is there to be looked at while things happen
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from kubelab.machinery.clock import Clock, RealClock

log = logging.getLogger("kubelab")

SEAMS = ("request", "write", "watch", "reconcile", "bind", "container", "raft")

current_cause: ContextVar[int | None] = ContextVar("current_cause", default=None)


class Entry(NamedTuple):
    """One crossing of a seam."""

    seq: int
    at: float  # Unix seconds
    seam: str  # one of SEAMS
    verb: str  # "create", "MODIFIED", "start", ...
    subject: str  # "pods/default/web-1", "deployment-controller", ...
    actor: str
    cause: int | None  # seq of the entry that led to this one
    detail: Any


class Journal:
    """A ring of the last `capacity` entries and its listeners. A record costs about a microsecond."""

    def __init__(self, capacity: int = 10_000, *, clock: Clock | None = None) -> None:
        self._ring: deque[Entry] = deque(maxlen=capacity)
        self._clock = clock or RealClock()
        self._seq = 0
        self._listeners: tuple[Callable[[Entry], None], ...] = ()

    @property
    def last(self) -> int:
        """Return the number of the newest entry, 0 when there is none."""
        return self._seq

    def record(self, seam: str, verb: str, subject: str, *, actor: str = "", cause: int | None = None,
               detail: Any = None) -> int:
        """Write one entry and return its number. Without `cause`, the one that `current_cause` holds is taken."""
        self._seq = seq = self._seq + 1
        entry = Entry(seq, self._clock.now(), seam, verb, subject, actor,
                      current_cause.get() if cause is None else cause, detail)
        self._ring.append(entry)
        for listener in self._listeners:
            self._tell(listener, entry)
        return seq

    def _tell(self, listener: Callable[[Entry], None], entry: Entry) -> None:
        try:
            listener(entry)
        except Exception:  # a broken view must not break the cluster that it looks at
            log.warning("a listener of the journal failed and is dropped", exc_info=True)
            self._listeners = tuple(other for other in self._listeners if other is not listener)

    def subscribe(self, listener: Callable[[Entry], None]) -> Callable[[], None]:
        """Call `listener` with every new entry, on the thread that records it; return the way to stop that."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return unsubscribe

    def entries(self, since: int = 0) -> list[Entry]:
        """Return the entries still held whose number is greater than `since`."""
        if since >= self._seq:
            return []
        return [entry for entry in tuple(self._ring) if entry.seq > since]

    def chain(self, seq: int) -> list[Entry]:
        """Return the entry and what led to it, first cause first, as far as the ring remembers."""
        held = {entry.seq: entry for entry in tuple(self._ring)}
        found: list[Entry] = []
        at: int | None = seq
        while at is not None and (entry := held.get(at)) is not None:
            found.append(entry)
            at = entry.cause
        return found[::-1]


@contextmanager
def caused_by(seq: int | None) -> Iterator[None]:
    """Let everything recorded inside name entry `seq` as its cause."""
    token = current_cause.set(seq)
    try:
        yield
    finally:
        current_cause.reset(token)
