"""The shape of every controller: events put keys on a queue, workers take them off and reconcile.

    informer ─► handler ─► queue.add(key) ─► worker ─► reconcile(key) ─┬─ returned ─► forget
                                               ▲                       └─ raised ──► again, later and later
                                               └───────────────────────────────────────┘

Invariant: one key is reconciled by one worker at a time; an error of one key does not keep the others waiting.
Models:    the run → worker → process next item → sync column of every client-go controller
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter

from kubelab.client.component import Component
from kubelab.client.informer import Informer
from kubelab.client.workqueue import WorkQueue
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal, current_cause

log = logging.getLogger("kubelab")

_TURN_S = 0.002  # a worker that never has to wait gives the loop to others after this


class Controller(Component):
    """Base of the controllers: fill `queue` from handlers on `informers`, override `reconcile`.

    The informers are shared and started by whoever made them; `run` waits for their first lists.
    """

    def __init__(self, name: str, *, clock: Clock, informers: Sequence[Informer] = (), journal: Journal | None = None,
                 workers: int = 1) -> None:
        super().__init__(name)
        self.clock, self.journal, self.workers = clock, journal, workers
        self.informers: list[Informer] = list(informers)
        self.queue = WorkQueue(clock, name)
        self.reconciles = 0
        self.errors = 0

    async def reconcile(self, key: str) -> None:
        """Look at the whole world and close the gap for `key`; raising means: try again later."""
        raise AssertionError(f"{type(self).__name__} has to say what reconcile means")

    async def run(self) -> None:
        for informer in self.informers:
            await informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        turn_began = perf_counter()
        while True:
            if not len(self.queue):
                key = await self.queue.get()
                turn_began = perf_counter()
            else:
                key = await self.queue.get()
            try:
                await self._process(key)
            except asyncio.CancelledError:
                self.queue.add(key)  # stopped half-way: whoever starts this controller again finds the key
                raise
            finally:
                self.queue.done(key)
            if perf_counter() - turn_began > _TURN_S:
                await asyncio.sleep(0)
                turn_began = perf_counter()

    async def _process(self, key: str) -> None:
        self.reconciles += 1
        entry = None
        if self.journal is not None:
            entry = self.journal.record("reconcile", self.name, key, actor=self.name, cause=self.queue.cause(key))
        token = current_cause.set(entry)
        try:
            await self.reconcile(key)
        except Exception as error:
            self._failed(key, error, entry)
        else:
            self.queue.forget(key)
        finally:
            current_cause.reset(token)

    def _failed(self, key: str, error: Exception, entry: int | None) -> None:
        self.errors += 1
        self.last_error = error
        self.queue.add_rate_limited(key)
        if isinstance(error, ApiError) and error.code in (404, 409):
            log.debug("%s: %s: %s", self.name, key, error)  # the world moved on; the next look will see it
        else:
            log.warning("%s: error syncing %r: %s", self.name, key, error, exc_info=not isinstance(error, ApiError))
        if self.journal is not None:
            self.journal.record("reconcile", "error", key, actor=self.name, cause=entry, detail=str(error))
