"""The past of a key, read back from the store's own history.

    compacted ─┤ range at the oldest revision │ watch from there on, as if it happened now ├─ now

Invariant: what etcd has forgotten is said to be forgotten, never guessed.
Models:    etcdctl watch --rev
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from kubelab.control_plane.etcd.api import Compacted, EtcdApi, WatchedEvent
from kubelab.facade.etcd.values import History, Step, decoded
from kubelab.views.diff import compare, writer

QUIET_S = 0.5
LONGEST_S = 10.0


async def history(etcd: EtcdApi, key: str) -> History:
    """Return every version of a key that is kept, oldest first; empty when there is none."""
    name, oldest = key.encode(), etcd.compact_revision
    while True:
        try:
            first = (await etcd.range(name, revision=oldest)).kvs if oldest else []
            events = await _events(etcd, name, oldest + 1)
            break
        except Compacted as error:  # compacted while we read
            if error.compact_revision <= oldest:
                raise
            oldest = error.compact_revision
    steps = [Step(kv.mod_revision, "kept", decoded(kv.value), compare(None, decoded(kv.value))) for kv in first]
    before: Any = steps[-1].value if steps else None
    for event in events:
        value = decoded(event.kv.value) if event.type == "PUT" else None
        what = "deleted" if event.type == "DELETE" else "created" if event.kv.version == 1 else "changed"
        steps.append(Step(event.kv.mod_revision, what, value, compare(before, value), writer(before, value)))
        before = value
    return History(key, steps, since=oldest)


async def _events(etcd: EtcdApi, key: bytes, start: int) -> list[WatchedEvent]:
    """Watch a key from `start` until now, and return what happened to it. Raises Compacted, Unavailable."""
    now = await etcd.range(key)
    last = now.kvs[0].mod_revision if now.kvs else 0  # 0: it is gone, and its last event not known by its revision
    found: list[WatchedEvent] = []
    lost: list[Exception] = []
    done = asyncio.Event()

    def on_events(events: list[WatchedEvent]) -> None:
        found.extend(event for event in events if event.kv.mod_revision <= now.revision)
        if found and found[-1].kv.mod_revision == last:
            done.set()

    def on_progress(revision: int) -> None:
        if revision >= now.revision:
            done.set()

    def on_lost(error: Exception) -> None:
        lost.append(error)
        done.set()

    if start > now.revision or 0 < last < start:
        return []
    watch = etcd.watch(key, None, start, on_events=on_events, on_progress=on_progress, on_lost=on_lost)
    try:
        await _all_told(etcd, done, found, asks=not last)
    finally:
        watch.cancel()
    if lost:
        raise lost[0]
    return found


async def _all_told(etcd: EtcdApi, done: asyncio.Event, found: list[WatchedEvent], *, asks: bool) -> None:
    """Wait until the watch has told everything; with `asks` silence counts, for an old etcd does not answer."""
    async with asyncio.timeout(LONGEST_S):
        while not done.is_set():
            before = len(found)
            if asks:
                etcd.ask_progress()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), QUIET_S)
            if asks and len(found) == before:
                return
