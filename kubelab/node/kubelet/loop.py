"""A level-triggered loop: poked by events and timers, it looks again until nothing new has happened.

    poke ─► sync() ─► poked meanwhile? ─► sync() ─► ... ─► idle (no task)

Invariant: at most one sync runs; a poke during a sync makes another one follow.
Models:    pkg/kubelet/pod_workers.go podWorkerLoop
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from kubelab.machinery.clock import Clock, Handle

LONGEST_RETRY_S = 60.0


class Loop(ABC):
    """Override `sync` and `failed`."""

    def __init__(self, clock: Clock, name: str) -> None:
        self.errors = 0  # failures in a row
        self._clock, self._name = clock, name
        self._dirty = False
        self._task: asyncio.Task[None] | None = None
        self._was_cut = False
        self._timer: tuple[float, Handle] | None = None

    @abstractmethod
    async def sync(self) -> None:
        """Look at the world once, and act."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Hear of an error that `sync` raised; it is tried again later."""

    @property
    def idle(self) -> bool:
        return self._task is None or self._task.done()

    def poke(self) -> None:
        """Have `sync` called, now or after the one that runs."""
        self._dirty = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    def cut(self) -> None:
        """Cancel the sync that runs; another one follows."""
        if self._task is not None and not self._task.done():
            self._was_cut = True
            self._task.cancel()

    def retry_in(self, delay_s: float) -> None:
        """Look again after `delay_s`, or earlier if that was asked for before."""
        at = self._clock.monotonic() + delay_s
        if self._timer is not None:
            if self._timer[0] <= at:
                return
            self._timer[1].cancel()
        self._timer = (at, self._clock.call_later(delay_s, self._on_timer))

    def _on_timer(self) -> None:
        self._timer = None
        self.poke()

    async def stop(self) -> None:
        """End the loop, whatever it is at."""
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None
        if self._task is not None:
            self._was_cut = False
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._dirty:
            self._dirty = False
            try:
                await self.sync()
                self.errors = 0
            except asyncio.CancelledError:
                if not self._was_cut:
                    raise
                self._was_cut = False
                self._dirty = True
            except Exception as error:  # the trouble of one must not end its loop
                self.errors += 1
                self.failed(error)
                self.retry_in(min(2.0 ** self.errors, LONGEST_RETRY_S))
            if self._dirty:
                await asyncio.sleep(0)  # whoever pokes without end must not keep the others from working
