"""The Watch service: any number of watches on one stream.

    create/cancel/progress ─► WatchStream ─► store.watch ─┐
                                   outbox ◄───────────────┘ events, told by the store at once
                                     │ drained in turns; what a watch was told since the last turn is one answer
                                     ▼
                                   stream

    event bytes are made once for all watches and all streams; an answer is a join of them

Invariants: a watch's answers come in revision order, after the one that says it is created and before the one that
            says it is cancelled; a revision is never split over answers, except in fragments that the client asked
            for; a client that does not read costs OUTBOX_EVENTS events, then its watches wait in the store's history.
Models:     etcdserver's api/v3rpc/watch.go; a watch that waits is one of etcd's unsynced watchers
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple

from kubelab.control_plane.etcd.api import Compacted, WatchedEvent, WatchHandle
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire.answers import Answers, gathered
from kubelab.control_plane.etcd.wire.convert import Message
from kubelab.control_plane.etcd.wire.encoded import Encoded
from kubelab.machinery.clock import Clock

OUTBOX_EVENTS = 20_000  # told and not yet sent, of one stream
EVERY_WATCH = -1  # the id of an answer that is about no watch, or about all


class Told(NamedTuple):
    """Events of whole revisions for one watch."""

    watch: ServedWatch
    events: list[WatchedEvent]


class ServedWatch:
    """One watch of a stream: what the client asked for, and what it has been told."""

    def __init__(self, watch_id: int, request: Message, now: int) -> None:
        self.id, self.key, self.end = watch_id, request.key or b"\0", request.range_end or None
        self.prev_kv, self.fragment, self.progress = request.prev_kv, request.fragment, request.progress_notify
        self.hidden = {"PUT" if number == 0 else "DELETE" for number in request.filters if number in (0, 1)}
        self.next_revision = request.start_revision or now + 1
        self.handle: WatchHandle | None = None
        self.over = False  # its history is gone; its id stays taken until the client cancels it, as in etcd
        self.quiet = True  # nothing was told since the last progress notification

    @property
    def waits(self) -> bool:
        return self.handle is None and not self.over


class WatchService:
    """The calls of etcdserverpb.Watch on one store; `progress_s` is how often a quiet watch says where it is."""

    def __init__(self, etcd: EtcdServer, encoded: Encoded, clock: Clock, progress_s: float) -> None:
        self._etcd, self._clock, self._progress_s = etcd, clock, progress_s
        self._answers = Answers(etcd, encoded)
        self.calls: dict[str, Callable[[Message], Awaitable[Message]]] = {}
        self.streams = {"Watch": self.watch}

    async def watch(self, requests: AsyncIterator[Message]) -> AsyncIterator[bytes]:
        stream = WatchStream(self._etcd, self._answers)
        reader = asyncio.ensure_future(stream.obey(requests))
        beat = asyncio.ensure_future(self._beat(stream))
        try:
            while True:
                await stream.something.wait()
                if reader.done() and reader.exception() is not None:
                    reader.result()
                for answer in stream.drain():
                    yield answer
        finally:
            stream.close()
            reader.cancel()
            beat.cancel()
            await asyncio.gather(reader, beat, return_exceptions=True)

    async def _beat(self, stream: WatchStream) -> None:
        while True:
            await self._clock.sleep(self._progress_s)
            stream.notify()


class WatchStream:
    """The watches of one stream and what is to be sent on it."""

    def __init__(self, etcd: EtcdServer, answers: Answers) -> None:
        self._etcd, self._answers = etcd, answers
        self._watches: dict[int, ServedWatch] = {}
        self._next_id = 0
        self._outbox: deque[Told | bytes] = deque()
        self._waiting_events = 0
        self.something = asyncio.Event()

    # ── what the client says ─────────────────────────────────────────────────────────────────────────────────

    async def obey(self, requests: AsyncIterator[Message]) -> None:
        """Do what the client asks until it has no more to say; its watches go on after that."""
        try:
            async for request in requests:
                kind = request.WhichOneof("request_union")
                if kind == "create_request":
                    self._create(request.create_request)
                elif kind == "cancel_request":
                    self._cancel(request.cancel_request.watch_id)
                elif kind == "progress_request":
                    self._say(self._answers.control(EVERY_WATCH, revision=self._etcd.watched_revision))
        except BaseException:
            self.something.set()
            raise

    def _create(self, request: Message) -> None:
        refusal = self._refusal(request)
        if refusal:
            self._say(self._answers.control(EVERY_WATCH, created=True, canceled=True, reason=refusal))
            return
        watch_id = request.watch_id or self._free_id()
        watch = self._watches[watch_id] = ServedWatch(watch_id, request, self._etcd.watched_revision)
        self._say(self._answers.control(watch_id, revision=self._etcd.watched_revision, created=True))
        self._open(watch)

    def _refusal(self, request: Message) -> str:
        if request.start_revision < 0:
            return Compacted.message
        if request.range_end not in (b"", b"\0") and request.range_end <= (request.key or b"\0"):
            return "mvcc: watcher range is empty"
        if request.watch_id and request.watch_id in self._watches:
            return "mvcc: duplicate watch ID provided on the WatchStream"
        return ""

    def _free_id(self) -> int:
        while self._next_id in self._watches:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def _open(self, watch: ServedWatch) -> None:
        """Follow the store from where the watch is; past events are told before this returns."""
        try:
            handle = self._etcd.watch(watch.key, watch.end, watch.next_revision, prev_kv=watch.prev_kv,
                                      on_events=lambda events: self._tell(watch, events))
        except Compacted as gone:
            watch.over = True
            self._say(self._answers.control(watch.id, canceled=True, compacted=gone.compact_revision))
            return
        if self._waiting_events > OUTBOX_EVENTS or self._watches.get(watch.id) is not watch:
            handle.cancel()  # its past alone filled the outbox
        else:
            watch.handle = handle

    def _cancel(self, watch_id: int) -> None:
        watch = self._watches.pop(watch_id, None)
        if watch is not None:
            if watch.handle is not None:
                watch.handle.cancel()
            self._say(self._answers.control(watch_id, canceled=True))

    # ── what the store tells ─────────────────────────────────────────────────────────────────────────────────

    def _tell(self, watch: ServedWatch, events: list[WatchedEvent]) -> None:
        watch.next_revision = events[-1].kv.mod_revision + 1
        if watch.hidden:
            events = [event for event in events if event.type not in watch.hidden]
            if not events:
                return
        watch.quiet = False
        self._outbox.append(Told(watch, events))
        self._waiting_events += len(events)
        self.something.set()
        if self._waiting_events > OUTBOX_EVENTS and watch.handle is not None:
            watch.handle.cancel()
            watch.handle = None

    def notify(self) -> None:
        """Tell the quiet watches that asked for it how far they are."""
        for watch in self._watches.values():
            if watch.progress and watch.quiet and watch.handle is not None:
                self._say(self._answers.control(watch.id, revision=self._etcd.watched_revision))
            watch.quiet = True

    def _say(self, answer: bytes) -> None:
        self._outbox.append(answer)
        self.something.set()

    # ── what goes out ────────────────────────────────────────────────────────────────────────────────────────

    def drain(self) -> Iterator[bytes]:
        """Yield what is to be sent, then let the watches that had to wait go on."""
        while self._outbox:
            for entry in gathered(self._take()):
                if isinstance(entry, bytes):
                    yield entry
                else:
                    yield from self._answers.events(entry.watch.id, entry.events, fragment=entry.watch.fragment)
            for watch in [w for w in self._watches.values() if w.waits]:
                self._open(watch)
        self.something.clear()

    def _take(self) -> list[Told | bytes]:
        taken, self._outbox, self._waiting_events = list(self._outbox), deque(), 0
        return taken

    def close(self) -> None:
        """End every watch."""
        for watch in self._watches.values():
            if watch.handle is not None:
                watch.handle.cancel()
        self._watches.clear()
