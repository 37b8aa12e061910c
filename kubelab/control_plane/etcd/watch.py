"""Watches: every change goes, in revision order, to each watch whose range holds its key.

    Store ─► changes of one revision ─► WatchHub ─► on_events([...]) of each watch concerned

Invariant: a watch sees each revision once, whole, in order; `published` is the newest that watches have seen.
Models:    etcd's watchableStore (without its slow-watcher queues: callbacks here must not block)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kubelab.control_plane.etcd.api import EtcdError, OnEvents, OnLost, OnProgress, WatchedEvent
from kubelab.control_plane.etcd.mvcc import Change

log = logging.getLogger("kubelab")


class Watcher:
    """One watch over one key or [key, range_end)."""

    __slots__ = ("_hub", "end", "key", "on_events", "on_lost", "on_progress", "one_key", "prev_kv", "runs",
                 "start_revision")

    def __init__(self, hub: WatchHub, key: bytes, range_end: bytes | None, start_revision: int, prev_kv: bool,
                 on_events: OnEvents, on_progress: OnProgress | None, on_lost: OnLost | None = None) -> None:
        self._hub, self.key, self.prev_kv = hub, key, prev_kv
        self.one_key, self.end = range_end is None, key + b"\0" if range_end is None else range_end
        self.start_revision, self.on_events, self.on_progress = start_revision, on_events, on_progress
        self.on_lost = on_lost
        self.runs = True

    def cancel(self) -> None:
        """Stop: no callback comes after this."""
        self.runs = False
        self._hub.remove(self)

    def covers(self, key: bytes) -> bool:
        return self.key <= key and (key < self.end or self.end == b"\0")


class WatchHub:
    """The running watches. `publish` is called with whole transactions, in order, once they are durable."""

    def __init__(self, published: int) -> None:
        self.published = published
        # replaced, never changed in place: a callback may add or cancel
        self._ranges: tuple[Watcher, ...] = ()
        self._by_key: dict[bytes, tuple[Watcher, ...]] = {}  # those of one key: found at once, however many there are

    def __len__(self) -> int:
        """Return how many watches run."""
        return len(self._ranges) + sum(map(len, self._by_key.values()))

    def add(self, watcher: Watcher, past: Sequence[Change]) -> None:
        """Start a watch, first telling it of the `past` that watches have been told already."""
        if watcher.one_key:
            self._by_key[watcher.key] = (*self._by_key.get(watcher.key, ()), watcher)
        else:
            self._ranges = (*self._ranges, watcher)
        events: list[WatchedEvent] = []
        for change in past:
            revision = change.kv.mod_revision
            if revision > self.published:
                break
            if revision >= watcher.start_revision and watcher.covers(change.kv.key):
                events.append(_event(change, watcher.prev_kv))
        if events:
            _deliver(watcher, events)

    def remove(self, watcher: Watcher) -> None:
        if not watcher.one_key:
            self._ranges = tuple(w for w in self._ranges if w is not watcher)
            return
        left = tuple(w for w in self._by_key.get(watcher.key, ()) if w is not watcher)
        if left:
            self._by_key[watcher.key] = left
        else:
            self._by_key.pop(watcher.key, None)

    def clear(self) -> None:
        self._ranges, self._by_key = (), {}

    def lose(self, why: EtcdError) -> None:
        """End every watch, and tell each why it cannot go on."""
        lost = [*self._ranges, *(watcher for watchers in self._by_key.values() for watcher in watchers)]
        self.clear()
        for watcher in lost:
            watcher.runs = False
            if watcher.on_lost is not None:
                watcher.on_lost(why)

    def publish(self, changes: Sequence[Change], revision: int) -> None:
        """Tell every watch of the changes of one transaction."""
        self.published = revision
        told: dict[Watcher, list[WatchedEvent]] = {}
        for change in changes:
            key = change.kv.key
            plain = full = None  # made when the first watch wants it, shared by all
            for watcher in (*self._by_key.get(key, ()), *self._ranges):
                if watcher.key <= key and (key < watcher.end or watcher.end == b"\0"):
                    if watcher.prev_kv:
                        event = full = full or _event(change, True)
                    else:
                        event = plain = plain or _event(change, False)
                    told.setdefault(watcher, []).append(event)
        for watcher, events in told.items():
            if watcher.runs and revision >= watcher.start_revision:
                _deliver(watcher, events)

    def progress(self) -> None:
        """Tell the watches that want to know how far they are."""
        for watchers in (self._ranges, *self._by_key.values()):
            for watcher in watchers:
                if watcher.on_progress is not None:
                    watcher.on_progress(self.published)


def _event(change: Change, prev_kv: bool) -> WatchedEvent:
    kv, prev = change
    if not prev_kv or (prev is not None and prev.mod_revision == kv.mod_revision):
        prev = None  # not wanted, or an earlier write of the same transaction, which nobody has ever seen
    return WatchedEvent("PUT" if kv.version else "DELETE", kv, prev)


def _deliver(watcher: Watcher, events: list[WatchedEvent]) -> None:
    try:
        watcher.on_events(events)
    except Exception:  # the write has happened; a watcher that fails must not make the writer fail
        log.exception("a watch callback failed")
