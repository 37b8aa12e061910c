"""The one watch that all caches live on: opened again whenever it ends, also over a gap in history.

    etcd's watch ─► events, in order ─► caches
         │ lost ─┬─ the store was away ─► the same watch from the last revision on
         │       └─ history is gone ────► a fresh list ─► the difference, as events ─► watch from there

Invariant: the caches hear of every change exactly once, or of the sum of those that nobody can tell apart any more.
Models:    client-go's Reflector under k8s.io/apiserver/pkg/storage/cacher
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kubelab.control_plane.etcd.api import (
    Compacted,
    EtcdApi,
    EtcdError,
    OnEvents,
    OnProgress,
    RangeResult,
    WatchHandle,
    prefix_end,
)
from kubelab.machinery.clock import Clock

AGAIN_S = 0.2
log = logging.getLogger("kubelab")


class Following:
    """Follows every key below `root`. `revision` tells how far the caches are, `relisted` is given a fresh list."""

    def __init__(self, etcd: EtcdApi, root: str, clock: Clock, *, revision: Callable[[], int], on_events: OnEvents,
                 on_progress: OnProgress, relisted: Callable[[RangeResult], None]) -> None:
        self._etcd, self._clock, self._root = etcd, clock, root.encode()
        self._revision, self._relisted = revision, relisted
        self._on_events, self._on_progress = on_events, on_progress
        self._watch: WatchHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def list(self) -> RangeResult:
        return await self._etcd.range(self._root, prefix_end(self._root))

    def open(self) -> None:
        """Watch from the revision after the last one known. Raises Compacted, Unavailable."""
        self._watch = self._etcd.watch(self._root, prefix_end(self._root), self._revision() + 1,
                                       on_events=self._on_events, on_progress=self._on_progress, on_lost=self._lost)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _lost(self, why: EtcdError) -> None:
        log.info("the watch on etcd has ended: %s", why)
        self._task = asyncio.get_running_loop().create_task(self._again(isinstance(why, Compacted)))

    async def _again(self, gap: bool) -> None:
        """Go on where the watch was; over a gap in history, with a list."""
        while True:
            try:
                if gap:
                    self._relisted(await self.list())
                    gap = False
                self.open()
                return
            except EtcdError as error:
                gap = gap or isinstance(error, Compacted)
                await self._clock.sleep(AGAIN_S)
