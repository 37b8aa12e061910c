"""Watches: every change goes, in revision order, to each watch whose range holds its key.

    Store ─► changes of one revision ─► WatchHub ─► on_events([...]) of each watch concerned

Invariant: a watch sees each revision once, whole, in order; `published` is the newest that watches have seen.
Models:    etcd's watchableStore (without its slow-watcher queues: callbacks here must not block)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kubelab.control_plane.etcd.api import OnEvents, OnProgress, WatchedEvent
from kubelab.control_plane.etcd.mvcc import Change

log = logging.getLogger("kubelab")


class Watcher:
    """One watch over one key or [key, range_end)."""

    __slots__ = ("_hub", "end", "key", "on_events", "on_progress", "prev_kv", "start_revision")

    def __init__(self, hub: WatchHub, key: bytes, range_end: bytes | None, start_revision: int, prev_kv: bool,
                 on_events: OnEvents, on_progress: OnProgress | None) -> None:
        self._hub, self.key, self.prev_kv = hub, key, prev_kv
        self.end = key + b"\0" if range_end is None else range_end
        self.start_revision, self.on_events, self.on_progress = start_revision, on_events, on_progress

    def cancel(self) -> None:
        """Stop: no callback comes after this."""
        self._hub.remove(self)

    def covers(self, key: bytes) -> bool:
        return self.key <= key and (key < self.end or self.end == b"\0")

    def event(self, change: Change) -> WatchedEvent:
        kv, prev = change
        if prev is not None and prev.mod_revision == kv.mod_revision:
            prev = None  # an earlier write of the same transaction, which nobody has ever seen
        return WatchedEvent("PUT" if kv.version else "DELETE", kv, prev if self.prev_kv else None)


class WatchHub:
    """The running watches. `publish` is called with whole transactions, in order, once they are durable."""

    def __init__(self, published: int) -> None:
        self.published = published
        self._watchers: list[Watcher] = []  # replaced, never changed in place: a callback may add or cancel

    def add(self, watcher: Watcher, past: Sequence[Change]) -> None:
        """Start a watch, first telling it of the `past` that watches have been told already."""
        events: list[WatchedEvent] = []
        self._watchers = [*self._watchers, watcher]
        for change in past:
            revision = change.kv.mod_revision
            if revision > self.published:
                break
            if revision >= watcher.start_revision and watcher.covers(change.kv.key):
                events.append(watcher.event(change))
        if events:
            _deliver(watcher, events)

    def remove(self, watcher: Watcher) -> None:
        self._watchers = [w for w in self._watchers if w is not watcher]

    def clear(self) -> None:
        self._watchers = []

    def publish(self, changes: Sequence[Change], revision: int) -> None:
        """Tell every watch of the changes of one transaction."""
        self.published = revision
        for watcher in self._watchers:
            key, end = watcher.key, watcher.end
            events: list[WatchedEvent] | None = None
            for change in changes:
                if key <= change.kv.key and (change.kv.key < end or end == b"\0"):
                    if events is None:
                        events = []
                    events.append(watcher.event(change))
            if events is not None and revision >= watcher.start_revision and watcher in self._watchers:
                _deliver(watcher, events)

    def progress(self) -> None:
        """Tell the watches that want to know how far they are."""
        for watcher in self._watchers:
            if watcher.on_progress is not None:
                watcher.on_progress(self.published)


def _deliver(watcher: Watcher, events: list[WatchedEvent]) -> None:
    try:
        watcher.on_events(events)
    except Exception:  # the write has happened; a watcher that fails must not make the writer fail
        log.exception("a watch callback failed")
