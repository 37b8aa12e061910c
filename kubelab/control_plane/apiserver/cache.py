"""The watch cache of one kind: every object decoded and encoded, in key order, with its recent history.

    etcd event ─► Collection.apply ─┬─► objects (dict + bytes, shared by every read)
                                    ├─► history ring (a watch may start in the recent past)
                                    └─► Fanout ─► watchers

Invariant: `keys` is sorted and holds exactly the keys of `objects`; the history is complete from `floor` on.
Models:    k8s.io/apiserver/pkg/storage/cacher, watch_cache
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator

import orjson

from kubelab.control_plane.apiserver.watch import Change, Fanout, Watcher, frame
from kubelab.machinery.errors import ApiError, gone
from kubelab.machinery.request import Encoded, Obj, WatchEvent
from kubelab.machinery.selectors import FieldSelector, Selector
from kubelab.units.catalogue import Kind

HISTORY = 2048
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

Matches = Callable[[Obj], bool]


class Collection:
    """All stored objects of one kind, as of the last event etcd told."""

    lags = False  # custom resources that a webhook converts are shown a moment after etcd told

    def __init__(self, kind: Kind, prefix: str) -> None:
        self.kind, self.prefix = kind, prefix
        self.group_resource = (kind.group, kind.plural)
        self.objects: dict[str, Encoded] = {}
        self.keys: list[str] = []
        self.floor = 0  # the history holds every change after this revision
        self.latest = 0  # the last revision that touched this kind
        self.history: deque[Change] = deque()
        self.fanout = Fanout(self.selectable)
        self._item_offset = len(b'{"kind":"%b","apiVersion":"%b",' % (kind.kind.encode(), kind.api_version.encode()))

    def selectable(self, obj: Obj) -> dict[str, str]:
        """Return what a field selector may ask of this object."""
        metadata = obj["metadata"]
        fields = {"metadata.name": metadata.get("name", "")}
        if self.kind.namespaced:
            fields["metadata.namespace"] = metadata.get("namespace", "")
        fields.update(self.kind.selectable(obj))
        return fields

    def load(self, key: str, body: Encoded) -> None:
        """Take an object in at start, before anyone watches."""
        self.objects[key] = body
        insort(self.keys, key)

    def apply(self, revision: int, key: str, body: Encoded | None, cause: int | None = None) -> None:
        """Follow one change of etcd: this is the instant at which readers and watchers see a write."""
        old = self.objects.get(key)
        if body is not None:
            self.objects[key] = body
            if old is None:
                insort(self.keys, key)
        elif old is not None:
            del self.objects[key]
            del self.keys[bisect_left(self.keys, key)]
        else:
            return
        self.latest = revision
        change = Change(revision, body, old, cause)
        self.history.append(change)
        if len(self.history) > HISTORY:
            self.floor = self.history.popleft().revision
        self.fanout.publish(change)

    def forget(self, revision: int) -> None:
        """Drop the history: from a revision before this one no watch can begin."""
        self.history.clear()
        self.floor = revision

    def range(self, namespace: str = "") -> list[str]:
        """Return the keys of a namespace, or all, in order."""
        if not namespace or not self.kind.namespaced:
            return self.keys
        return self.keys[bisect_left(self.keys, f"{namespace}/"):bisect_left(self.keys, f"{namespace}0")]

    def select(self, namespace: str = "", matches: Matches | None = None,
               after: str = "") -> Iterator[tuple[str, Encoded]]:
        """Yield what a list returns, in key order, beginning behind the key `after`."""
        keys = self.range(namespace)
        if after:
            keys = keys[bisect_left(keys, after):]
        objects = self.objects
        for key in keys:
            body = objects[key]
            if matches is None or matches(body.obj):
                yield key, body

    def item(self, raw: bytes) -> bytes:
        """Return an object as it stands inside a list: without its own kind and apiVersion."""
        return b"{" + raw[self._item_offset:]

    def decoded(self, body: Encoded) -> Encoded:
        """Return what was stored as it is to be shown."""
        return body

    async def inward(self, obj: Obj) -> Obj:
        """Return an object as it is to be stored."""
        return obj

    async def settled(self) -> None:
        """Wait until all is shown."""

    def watch(self, watcher: Watcher, since: int | None, *, initial: bool, marked: bool, revision: int) -> None:
        """Open a watch: first what exists (`initial`) or what changed after `since`, then everything that comes.

        `marked`: the client asked for the initial events and wants to be told where they end.
        """
        if initial:
            for _, body in list(self.select(watcher.namespace, watcher.matches)):
                watcher.push(WatchEvent("ADDED", body.obj, frame("ADDED", body.raw)))
            if marked and watcher.bookmarks:
                watcher.push(self.bookmark(revision, {INITIAL_EVENTS_END: "true"}))
        elif since is not None:
            if since < self.floor:
                watcher.fail(too_old(since, self.floor))
                return
            for change in list(self.history):
                if change.revision > since:
                    watcher.offer(change)
            watcher.after = since
        watcher.live()
        self.fanout.add(watcher)

    def follow(self, sink: Callable[[WatchEvent], None], *, known: bool = False) -> Watcher:
        """Give every change from here on to `sink`; with `known`, first what there is already."""
        watcher = Watcher()
        watcher.drain_to(sink)
        self.watch(watcher, None, initial=known, marked=False, revision=0)
        return watcher

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> WatchEvent:
        """Tell a watcher how far it has come, in an object that has nothing but a resourceVersion."""
        metadata: Obj = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = annotations
        obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        return WatchEvent("BOOKMARK", obj, frame("BOOKMARK", orjson.dumps(obj)))


def too_old(asked: int, oldest: int) -> ApiError:
    return gone(f"too old resource version: {asked} ({oldest})")


def matcher(collection: Collection, labels: Selector | None, fields: FieldSelector | None) -> Matches | None:
    """Return the test of a list with these selectors, or None when everything matches."""
    if labels is None and fields is None:
        return None
    return Watcher(labels=labels, fields=fields, selectable=collection.selectable).matches
