"""The past of a key, read back from the store's own history.

    compacted ─┤ range at the oldest revision │ watch from there on, as if it happened now ├─ now

Invariant: what etcd has forgotten is said to be forgotten, never guessed.
Models:    etcdctl watch --rev
"""

from __future__ import annotations

import asyncio
from typing import Any

from kubelab.control_plane.etcd.api import Compacted, EtcdApi, WatchedEvent
from kubelab.facade.etcd.lease import settled
from kubelab.facade.etcd.values import History, Step, decoded
from kubelab.views.diff import compare, writer

QUIET_S = 0.3  # a deleted key's last event is known by the silence after it
LONGEST_S = 10.0


async def history(etcd: EtcdApi, key: str) -> History:
    """Return every version of a key that is kept, oldest first; empty when there is none."""
    name, oldest = key.encode(), etcd.compact_revision
    while True:
        try:
            first = (await settled(etcd.range, name, revision=oldest)).kvs if oldest else []
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
    """Watch a key from `start` until now, and return what happened to it."""
    now = await settled(etcd.range, key)
    last = now.kvs[0].mod_revision if now.kvs else 0
    if start > now.revision or 0 < last < start:
        return []
    found: list[WatchedEvent] = []
    told = asyncio.Event()

    def on_events(events: list[WatchedEvent]) -> None:
        found.extend(event for event in events if event.kv.mod_revision <= now.revision)
        told.set()

    watch = etcd.watch(key, None, start, on_events=on_events)
    try:
        async with asyncio.timeout(LONGEST_S):
            while not found or not last or found[-1].kv.mod_revision < last:
                told.clear()
                try:
                    async with asyncio.timeout(None if last else QUIET_S):
                        await told.wait()
                except TimeoutError:
                    break
    finally:
        watch.cancel()
    return found
