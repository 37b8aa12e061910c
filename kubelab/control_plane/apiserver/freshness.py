"""How new the caches are, and waiting until they are new enough.

    a write ──────────────────────────► its revision ─┐
    a read ─► ask etcd, several at once ─► its revision ─┴─► reached? ─► wait for the watch; nothing comes? ask progress

Invariant: a read that names no revision sees every write that was acknowledged, by any server, before it began.
Models:    k8s.io/apiserver/pkg/storage/cacher: waitUntilFreshAndBlock, consistent reads from cache, progress requests
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from kubelab.control_plane.etcd.api import EtcdApi
from kubelab.machinery.errors import ApiError

FRESH_S = 3.0  # as long as kube-apiserver waits before it says "too large resource version"
PROGRESS_S = 0.1  # after which etcd is asked whether anything is still to come
T = TypeVar("T")


class Freshness:
    """The revision up to which everything is known, of what stands below `root` in etcd."""

    def __init__(self, etcd: EtcdApi, root: str) -> None:
        self.etcd, self.revision, self._root = etcd, 0, root.encode()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._newest: asyncio.Task[int] | None = None  # asks etcd how far it is; not sent yet
        self._asking = asyncio.Lock()

    def is_at(self, revision: int) -> None:
        """Hear that up to this revision nothing more is to come."""
        self.revision = max(self.revision, revision)
        while self._waiting and self._waiting[0][0] <= self.revision:
            future = self._waiting.pop(0)[1]
            if not future.done():
                future.set_result(None)

    async def reached(self, revision: int) -> None:
        """Wait until the cache is as new as `revision`."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        self._waiting.sort(key=lambda entry: entry[0])
        try:
            while self.etcd.shared and not (await asyncio.wait({future}, timeout=PROGRESS_S))[0]:
                self.etcd.ask_progress()  # what came last may be none of our keys
            await future
        finally:
            if not future.done() or future.cancelled():  # nobody waits any more
                self._waiting = [entry for entry in self._waiting if entry[1] is not future]

    async def current(self) -> None:
        """Wait until the cache shows every write that was acknowledged before this call, by whichever server."""
        if self.etcd.shared:
            if self._newest is None:
                self._newest = asyncio.get_running_loop().create_task(self._ask())
            await self.reached(await asyncio.shield(self._newest))

    async def sure(self, decide: Callable[[], T]) -> T:
        """Return what is decided by the cache; what it refuses is decided again by all that other servers wrote."""
        try:
            return decide()
        except ApiError:
            if not self.etcd.shared:
                raise
            await self.current()
            return decide()

    async def fresh(self, revision: int) -> bool:
        """Wait a moment for a revision that a client has from another server; tell whether the cache has it."""
        if revision > self.revision and self.etcd.shared:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.reached(revision), FRESH_S)
        return self.revision >= revision

    async def _ask(self) -> int:
        """Ask etcd for its revision; whoever wants to know before the question is sent shares it."""
        async with self._asking:
            self._newest = None
            return (await self.etcd.range(self._root, count_only=True)).revision
