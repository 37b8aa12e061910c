"""What was asked for and is not answered yet: requests on their way through the log, reads that wait for a proof.

    submit ─► Pending ─► offered to the leader ─┬─ applied here ───────────────► its result
                 ▲                               └─ no word, or another leader ─┐
                 └──────────────────────────────────────────────────────────────┘ offered again, under the same id

Invariant: a Pending is answered once; after its deadline nobody knows whether it will still be applied.
Models:    etcdserver's wait and its linearizable read loop
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

from kubelab.control_plane.etcd.errors import EtcdError, TimedOut
from kubelab.control_plane.etcd.raft.types import EntryKind

REQUEST_S = 7.0  # as etcd: five seconds and two election time-outs of one second
AGAIN_TICKS = 15  # then a proposal is offered again: it may have been lost on its way


class Pending:
    """One request on its way. `term` is the term of the leader that has it, 0 while none has."""

    __slots__ = ("data", "deadline", "future", "kind", "offered", "request", "term")

    def __init__(self, request: int, kind: EntryKind, data: bytes, deadline: float) -> None:
        self.request, self.kind, self.data, self.deadline = request, kind, data, deadline
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.term = 0
        self.offered = 0  # the tick of that


class Waiting:
    """The requests that someone waits for, by their id."""

    def __init__(self) -> None:
        self._pending: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._pending.values()))

    def add(self, pending: Pending) -> None:
        self._pending[pending.request] = pending
        pending.future.add_done_callback(lambda _: self.forget(pending))

    def get(self, request: int) -> Pending | None:
        return self._pending.get(request)

    def answer(self, request: int, result: Any) -> None:
        """Give a request its result, or the EtcdError that is its result, if someone waits for it."""
        pending = self._pending.get(request)
        if pending is not None:
            settle(pending.future, result)

    def forget(self, pending: Pending) -> None:
        self._pending.pop(pending.request, None)


class Reader(NamedTuple):
    """One that wants to be told when this member's keys are the newest, `since` when."""

    since: float
    future: asyncio.Future[None]


class Reads:
    """The readers. One proof serves all that came before it was asked for."""

    def __init__(self) -> None:
        self._next: list[Reader] = []  # wait for the next proof
        self._asked: list[Reader] = []  # wait for the proof with this context
        self._context: bytes | None = None
        self._proven: list[tuple[int, list[Reader]]] = []  # wait until this index is applied
        self.asked_at = 0  # the tick of the newest question

    def join(self, now: float) -> asyncio.Future[None]:
        """Return what is done when this member's keys are as new as the newest of this moment."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.append(Reader(now, future))
        return future

    @property
    def wanted(self) -> bool:
        """Tell whether a question is to be asked now."""
        return bool(self._next) and not self.unanswered

    @property
    def unanswered(self) -> bool:
        return self._context is not None

    def ask(self, context: bytes, tick: int) -> None:
        """Note that a question with this context goes to the leader, for all that wait for one."""
        self._context, self._asked, self._next, self.asked_at = context, self._next, [], tick

    def ask_again(self) -> None:
        """Let the unanswered wait for a new question: the old one may have gone to a leader that is none."""
        self._context, self._asked, self._next = None, [], self._asked + self._next

    def prove(self, context: bytes, index: int, applied: int) -> None:
        """Take the leader's answer: whoever has applied `index` may answer."""
        if context == self._context:
            self._proven.append((index, self._asked))
            self._context, self._asked = None, []
            self.apply(applied)

    def apply(self, applied: int) -> None:
        """Let those go whose index is applied now."""
        if self._proven:
            for index, readers in self._proven:
                if index <= applied:
                    for reader in readers:
                        settle(reader.future, None)
            self._proven = [(index, readers) for index, readers in self._proven if index > applied]

    def expire(self, now: float) -> None:
        """Turn away those that have waited too long, for a proof or for what it asks them to have applied."""
        for readers in (self._next, self._asked, *(readers for _, readers in self._proven)):
            late = bisect_left(readers, now - REQUEST_S, key=_since)  # in the order in which they came
            for reader in readers[:late]:
                settle(reader.future, TimedOut())
            del readers[:late]

    def fail(self, why: EtcdError) -> None:
        """Turn everyone away."""
        waiting = [*self._next, *self._asked, *(reader for _, readers in self._proven for reader in readers)]
        self._context, self._next, self._asked, self._proven = None, [], [], []
        for reader in waiting:
            settle(reader.future, why)


def _since(reader: Reader) -> float:
    return reader.since


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """Give a future its result, unless it has one; an EtcdError is raised where it is waited for."""
    if future.done():
        return
    if isinstance(result, EtcdError):
        future.set_exception(result)
        future.exception()  # a waiter may be gone; that is no reason for a warning
    else:
        future.set_result(result)
