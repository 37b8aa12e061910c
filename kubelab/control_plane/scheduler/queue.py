"""The scheduling queue: which pod is next, which waits out a back-off, which waits for the cluster to change.

    add ──► active (heap: priority, then age) ──► pop ──► a cycle ──► bound
              ▲              ▲                              │ does not fit
              │ time is up   │ hint says "may fit now"      ▼
           backoff ◄──── back-off not over ◄──────── unschedulable (flushed after 5 min)

    gated (spec.schedulingGates) stands aside until its gates are lifted

Invariant: a pod stands in exactly one of the four places, or in the hands of a cycle.
Models:    pkg/scheduler/backend/queue
Left out:  nothing a user can see
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

from kubelab.control_plane.scheduler.framework import ClusterEvent
from kubelab.control_plane.scheduler.nodeinfo import PodInfo
from kubelab.machinery.clock import Clock

INITIAL_BACKOFF_S = 1.0
MAX_BACKOFF_S = 10.0
FLUSH_UNSCHEDULABLE_S = 300.0


@dataclass(slots=True, eq=False)
class QueuedPod:
    pod: PodInfo
    since: float  # when it was first added, monotonic seconds
    attempts: int = 0
    failed_at: float = 0.0
    rejected_by: frozenset[str] = field(default_factory=frozenset)


class SchedulingQueue:
    """`wants(plugin names, pod, event)` answers whether an event may help a rejected pod (queueing hints)."""

    def __init__(self, clock: Clock, wants: Callable[[Iterable[str], PodInfo, ClusterEvent], bool]) -> None:
        self._clock, self._wants = clock, wants
        self._order = count()
        self._heap: list[tuple[int, float, int, QueuedPod]] = []
        self._where: dict[str, tuple[str, QueuedPod]] = {}  # uid → place and entry
        self._unschedulable: dict[str, QueuedPod] = {}  # those of `_where` that an event may help
        self._ready = asyncio.Event()

    # what comes in
    def add(self, pod: PodInfo) -> None:
        """Take in a pod that has no node yet."""
        if pod.uid in self._where:
            self.update(pod)
            return
        entry = QueuedPod(pod, self._clock.monotonic())
        if pod.spec.get("schedulingGates"):
            self._put("gated", entry)
        else:
            self._activate(entry)

    def update(self, pod: PodInfo) -> None:
        """A waiting pod changed: one that did not fit gets another chance, a gated one may be free now."""
        place, entry = self._where.get(pod.uid, ("", None))
        if entry is None:
            return
        old, entry.pod = entry.pod, pod
        if place == "gated" and not pod.spec.get("schedulingGates"):
            self._activate(entry)
        elif place == "unschedulable" and (old.spec != pod.spec or old.labels != pod.labels):
            self._requeue(entry)

    def remove(self, uid: str) -> None:
        self._where.pop(uid, None)
        self._unschedulable.pop(uid, None)

    def known(self, uid: str) -> bool:
        return uid in self._where

    # what goes out
    async def pop(self) -> QueuedPod:
        while True:
            entry = self.pop_now()
            if entry is not None:
                return entry
            self._ready.clear()
            await self._ready.wait()

    def pop_now(self) -> QueuedPod | None:
        """Return the next pod, None when no pod is active."""
        while self._heap:
            entry = heapq.heappop(self._heap)[3]
            place = self._where.get(entry.pod.uid)
            if place is not None and place[0] == "active" and place[1] is entry:
                entry.attempts += 1
                self._put("cycle", entry)
                return entry
        return None

    def done(self, entry: QueuedPod) -> None:
        """The pod is bound, or is nobody's business any more."""
        self.remove(entry.pod.uid)

    def park(self, entry: QueuedPod, rejected_by: Iterable[str]) -> None:
        """The pod did not fit; without a plugin to blame (an error) it only backs off."""
        if entry.pod.uid not in self._where:
            return  # deleted meanwhile
        entry.failed_at, entry.rejected_by = self._clock.monotonic(), frozenset(rejected_by)
        if not entry.rejected_by:
            self._requeue(entry)
            return
        self._put("unschedulable", entry)
        attempt = entry.attempts
        self._clock.call_later(FLUSH_UNSCHEDULABLE_S, lambda: self._flush(entry, attempt))

    def on_event(self, event: ClusterEvent) -> None:
        """Move the pods that the event may help out of `unschedulable`."""
        for entry in list(self._unschedulable.values()):
            if self._wants(entry.rejected_by, entry.pod, event):
                self._requeue(entry)

    @property
    def lengths(self) -> dict[str, int]:
        """Count the pods in each place, for the views."""
        out = dict.fromkeys(("active", "backoff", "unschedulable", "gated", "cycle"), 0)
        for place, _ in self._where.values():
            out[place] += 1
        return out

    # places
    def _put(self, place: str, entry: QueuedPod) -> None:
        uid = entry.pod.uid
        self._where[uid] = (place, entry)
        if place == "unschedulable":
            self._unschedulable[uid] = entry
        else:
            self._unschedulable.pop(uid, None)

    def _flush(self, entry: QueuedPod, attempt: int) -> None:
        if self._where.get(entry.pod.uid) == ("unschedulable", entry) and entry.attempts == attempt:
            self._requeue(entry)

    def _requeue(self, entry: QueuedPod) -> None:
        backoff_s = min(INITIAL_BACKOFF_S * 2 ** max(entry.attempts - 1, 0), MAX_BACKOFF_S)
        left_s = entry.failed_at + backoff_s - self._clock.monotonic()
        if left_s <= 0:
            self._activate(entry)
            return
        self._put("backoff", entry)
        self._clock.call_later(left_s, lambda: self._back(entry))

    def _back(self, entry: QueuedPod) -> None:
        if self._where.get(entry.pod.uid) == ("backoff", entry):
            self._activate(entry)

    def _activate(self, entry: QueuedPod) -> None:
        self._put("active", entry)
        heapq.heappush(self._heap, (-entry.pod.priority, entry.since, next(self._order), entry))
        self._ready.set()
