"""What was asked for and is not answered yet: requests on their way through the log, reads that wait for a proof.

    submit ─► Pending ─► offered to the leader ─┬─ applied here ───────────────► its result
                 ▲                               └─ no word, or another leader ─┐
                 └──────────────────────────────────────────────────────────────┘ offered again, under the same id

Invariant: a Pending is answered once; after its deadline nobody knows whether it will still be applied.
Models:    etcdserver's wait and its linearizable read loop
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from kubelab.control_plane.etcd.errors import EtcdError, LeaderFailed, TimedOut
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
    """The requests that someone waits for, by their id. Members in one process share it: the first to apply answers."""

    def __init__(self) -> None:
        self._pending: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, pending: Pending) -> None:
        self._pending[pending.request] = pending
        pending.future.add_done_callback(lambda _: self._pending.pop(pending.request, None))

    def answer(self, request: int, result: Any) -> None:
        """Give a request its result, or the EtcdError that is its result, if someone waits for it."""
        pending = self._pending.get(request)
        if pending is not None:
            settle(pending.future, result)

    def all(self) -> Iterator[Pending]:
        return iter(list(self._pending.values()))

    def expire(self, now: float, leader_lost_at: float) -> None:
        """Answer what has waited too long; `leader_lost_at` is when the last leader was lost."""
        for pending in [p for p in self._pending.values() if p.deadline <= now]:
            late = leader_lost_at >= pending.deadline - REQUEST_S
            settle(pending.future, LeaderFailed() if late else TimedOut())


class Reads:
    """Readers that want to be told when this member's keys are the newest. One proof serves all that came before it."""

    def __init__(self) -> None:
        self._next: list[asyncio.Future[None]] = []  # wait for the next proof
        self._asked: dict[bytes, list[asyncio.Future[None]]] = {}  # wait for the proof with this context
        self._proven: list[tuple[int, list[asyncio.Future[None]]]] = []  # wait until this index is applied
        self.asked_at = 0  # the tick of the newest question
        self._since = 0.0  # when the first of those came that have no proof

    def join(self, now: float) -> asyncio.Future[None]:
        """Return what is done when this member's keys are as new as the newest of this moment."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._next and not self._asked:
            self._since = now
        self._next.append(future)
        return future

    @property
    def wanted(self) -> bool:
        """Tell whether a question is to be asked now."""
        return bool(self._next) and not self._asked

    @property
    def unanswered(self) -> bool:
        return bool(self._asked)

    def ask(self, context: bytes, tick: int) -> None:
        """Note that a question with this context goes to the leader, for all that wait for one."""
        self._asked[context], self._next, self.asked_at = self._next, [], tick

    def ask_again(self) -> None:
        """Let the unanswered wait for a new question: the old one may have gone to a leader that is none."""
        for futures in self._asked.values():
            self._next += futures
        self._asked.clear()

    def prove(self, context: bytes, index: int, applied: int) -> None:
        """Take the leader's answer: whoever has applied `index` may answer."""
        futures = self._asked.pop(context, None)
        if futures is not None:
            self._proven.append((index, futures))
            self.apply(applied)

    def apply(self, applied: int) -> None:
        """Let those go whose index is applied now."""
        if self._proven:
            for index, futures in self._proven:
                if index <= applied:
                    for future in futures:
                        settle(future, None)
            self._proven = [(index, futures) for index, futures in self._proven if index > applied]

    def expire(self, now: float) -> None:
        """Turn away those that have waited too long for a proof."""
        if (self._next or self._asked) and now - self._since > REQUEST_S:
            self.fail(TimedOut())

    def fail(self, why: EtcdError) -> None:
        """Turn everyone away."""
        waiting = [*self._next, *(f for futures in self._asked.values() for f in futures),
                   *(f for _, futures in self._proven for f in futures)]
        self._next, self._proven = [], []
        self._asked.clear()
        for future in waiting:
            settle(future, why)


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """Give a future its result, unless it has one; an EtcdError is raised where it is waited for."""
    if future.done():
        return
    if isinstance(result, EtcdError):
        future.set_exception(result)
        future.exception()  # a waiter may be gone; that is no reason for a warning
    else:
        future.set_result(result)
