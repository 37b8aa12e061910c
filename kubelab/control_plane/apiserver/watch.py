"""Watches: one change of one object, and everyone who wants to hear of it.

    change ─► Fanout ─┬─ watchers of the whole kind
                      ├─ watchers of this namespace           matches? ─► Watcher ─► iterator (in process)
                      ├─ watchers of this metadata.name                           └► sink (a socket's write)
                      └─ watchers of this spec.nodeName

Invariant: a change is framed at most once per event type; all watchers share these bytes and see one order.
Models:    k8s.io/apiserver/pkg/storage/cacher
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

import orjson

from kubelab.machinery import metrics
from kubelab.machinery.errors import ApiError
from kubelab.machinery.metrics import Cell
from kubelab.machinery.request import Encoded, Obj, WatchEvent
from kubelab.machinery.selectors import FieldSelector, Selector

QUEUE_LIMIT = 20_000  # a watcher that is this many events behind is dropped; it comes back from its last revision
INDEXED_FIELDS = ("metadata.name", "spec.nodeName")
SIZES = metrics.histogram("apiserver_watch_events_sizes", "Watch event size distribution in bytes",
                          ("group", "version", "resource"), metrics.exponential(1024, 2, 8))
metrics.gauge("apiserver_watch_events_total", "Number of events sent in watch clients", SIZES.labels, SIZES.totals,
              "counter")


class Change:
    """One write as watchers see it: `old` is None for a creation, `new` is None for a deletion."""

    __slots__ = ("_events", "cause", "new", "old", "revision")

    def __init__(self, revision: int, new: Encoded | None, old: Encoded | None, cause: int | None = None) -> None:
        self.revision, self.new, self.old, self.cause = revision, new, old, cause
        self._events: dict[str, WatchEvent] = {}

    def event(self, type_: str) -> WatchEvent:
        """Return this change as ADDED, MODIFIED or DELETED; the latter carries the last state at this revision."""
        found = self._events.get(type_)
        if found is None:
            body = self.new if type_ != "DELETED" else at_revision(self.old, self.revision)
            assert body is not None
            found = self._events[type_] = WatchEvent(type_, body.obj, frame(type_, body.raw), self.cause)
        return found


def frame(type_: str, raw: bytes) -> bytes:
    """Write one watch event as the line the wire carries."""
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), raw)


def at_revision(body: Encoded | None, revision: int) -> Encoded | None:
    """Return the same object under another resourceVersion, as the last word of something deleted."""
    if body is None:
        return None
    metadata, key = body.obj["metadata"], b'"resourceVersion":"%b"'
    before, after = key % metadata["resourceVersion"].encode(), key % b"%d" % revision
    obj = {**body.obj, "metadata": {**metadata, "resourceVersion": str(revision)}}
    return Encoded(obj, body.raw.replace(before, after, 1))


class Watcher(AsyncIterator[WatchEvent]):
    """One open watch: iterate it, or give it a sink that takes each event at once."""

    def __init__(self, *, namespace: str = "", labels: Selector | None = None, fields: FieldSelector | None = None,
                 selectable: Callable[[Obj], dict[str, str]] | None = None, bookmarks: bool = False,
                 transform: Callable[[WatchEvent], WatchEvent] | None = None) -> None:
        self.namespace, self.labels, self.fields, self.bookmarks = namespace, labels, fields, bookmarks
        self.closed = False
        self.after = 0  # a client may wait for what comes behind a revision that is itself to come
        self.on_close: list[Callable[[], None]] = []
        self.sizes: Cell | None = None  # where the size of each event is counted
        self._selectable = selectable
        self._transform = transform
        self._queue: deque[WatchEvent] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Callable[[WatchEvent], None] | None = None
        self._limit: int | None = None  # set once what existed at the start is queued, which is nobody's delay

    def live(self) -> None:
        """From here on come changes as they happen: whoever falls QUEUE_LIMIT behind is dropped."""
        self._limit = len(self._queue) + QUEUE_LIMIT

    def backlog(self, at_most: int) -> list[bytes]:
        """Take up to `at_most` frames of what is queued."""
        return [self._queue.popleft().frame for _ in range(min(at_most, len(self._queue)))]

    def matches(self, obj: Obj) -> bool:
        metadata = obj["metadata"]
        if self.namespace and metadata.get("namespace") != self.namespace:
            return False
        if self.labels is not None and not self.labels.matches(metadata.get("labels") or {}):
            return False
        if self.fields is None:
            return True
        assert self._selectable is not None
        return self.fields.matches(self._selectable(obj))

    def offer(self, change: Change) -> None:
        """Deliver a change if it concerns this watch; moving into or out of the selector is ADDED or DELETED."""
        if change.revision <= self.after:
            return
        is_in = change.new is not None and self.matches(change.new.obj)
        was_in = change.old is not None and self.matches(change.old.obj)
        if is_in:
            self.push(change.event("MODIFIED" if was_in else "ADDED"))
        elif was_in:
            self.push(change.event("DELETED"))

    def push(self, event: WatchEvent) -> None:
        if self.closed:
            return
        if self._transform is not None:
            event = self._transform(event)
        if self.sizes is not None:
            self.sizes.observe(len(event.frame))
        if self._sink is not None:
            self._sink(event)
            return
        self._queue.append(event)
        if self._limit is not None and len(self._queue) > self._limit:
            self.close()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def drain_to(self, sink: Callable[[WatchEvent], None]) -> None:
        """Hand every event, also those queued so far, to `sink` from now on."""
        self._sink = sink
        while self._queue:
            sink(self._queue.popleft())

    def fail(self, error: ApiError) -> None:
        """End the watch with an ERROR event."""
        status = error.status
        self.push(WatchEvent("ERROR", status, frame("ERROR", orjson.dumps(status))))
        self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for callback in self.on_close:
            callback()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def aclose(self) -> None:
        self.close()

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._queue:
            if self.closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()


class Fanout:
    """The watchers of one kind, indexed so that a change reaches only those it may concern."""

    def __init__(self, selectable: Callable[[Obj], dict[str, str]]) -> None:
        self._selectable = selectable
        self._buckets: dict[tuple[str, str], dict[Watcher, None]] = {}
        self._indexes_fields = False

    def __iter__(self) -> Iterator[Watcher]:
        return iter([watcher for bucket in self._buckets.values() for watcher in bucket])

    def add(self, watcher: Watcher) -> None:
        bucket = self._bucket_of(watcher)
        self._buckets.setdefault(bucket, {})[watcher] = None
        self._indexes_fields = self._indexes_fields or bucket[0] in INDEXED_FIELDS
        watcher.on_close.append(lambda: self._remove(bucket, watcher))

    def _remove(self, bucket: tuple[str, str], watcher: Watcher) -> None:
        watchers = self._buckets.get(bucket)
        if watchers is not None:
            watchers.pop(watcher, None)
            if not watchers:
                del self._buckets[bucket]

    def _bucket_of(self, watcher: Watcher) -> tuple[str, str]:
        if watcher.fields is not None:
            for path, operator, value in watcher.fields.requirements:
                if operator in ("=", "==") and path in INDEXED_FIELDS:
                    return path, value
        return ("namespace", watcher.namespace) if watcher.namespace else ("", "")

    def publish(self, change: Change) -> None:
        """Offer a change to the watchers it may concern, each of them once."""
        if not self._buckets:
            return
        for key in self._concerned(change):
            watchers = self._buckets.get(key)
            if watchers:
                for watcher in list(watchers):
                    watcher.offer(change)

    def _concerned(self, change: Change) -> set[tuple[str, str]]:
        body = change.new or change.old
        assert body is not None
        keys = {("", ""), ("namespace", body.obj["metadata"].get("namespace", ""))}
        if self._indexes_fields:
            for side in (change.new, change.old):
                if side is not None:
                    fields = self._selectable(side.obj)
                    keys.update((path, fields.get(path, "")) for path in INDEXED_FIELDS)
        return keys
