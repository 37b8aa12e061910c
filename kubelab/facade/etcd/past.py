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

ASK_AGAIN_S = 0.2  # a watch that is still behind does not answer
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
    now = (await etcd.range(key)).revision
    found: list[WatchedEvent] = []
    lost: list[Exception] = []
    done = asyncio.Event()

    def on_progress(revision: int) -> None:
        if revision >= now:
            done.set()

    def on_lost(error: Exception) -> None:
        lost.append(error)
        done.set()

    watch = etcd.watch(key, None, start, on_events=found.extend, on_progress=on_progress, on_lost=on_lost)
    try:
        async with asyncio.timeout(LONGEST_S):
            while start <= now and not done.is_set():
                etcd.ask_progress()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), ASK_AGAIN_S)
    finally:
        watch.cancel()
    if lost:
        raise lost[0]
    return [event for event in found if event.kv.mod_revision <= now]
