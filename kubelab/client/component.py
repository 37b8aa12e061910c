"""A part of the cluster that can be stopped, started and replaced on its own.

    start() ─► running ─ task dies ─► restarting (back-off 0.1 s … 10 s) ─► running
       ▲          │ stop()
       └─ stopped ◄┘

Invariant: every task a component started is gone when `stop` returns; a task that dies is seen in `state`.
Models:    a static pod of the control plane, restarted by the kubelet
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("kubelab")


class Component:
    """Base of everything with a life: override `run` (one long coroutine), or `setup` and `teardown`, or both."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "stopped"  # stopped | starting | running | restarting | stopping
        self.restarts = 0
        self.last_error: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None
        self.on_state: list[Callable[[Component], None]] = []

    async def setup(self) -> None:
        """Open sockets, create stores; may raise, then the component stays stopped."""

    async def run(self) -> None:
        """Work until cancelled. Returning is fine for components that live by their sockets and spawned tasks."""

    async def teardown(self) -> None:
        """Close what `setup` opened. Called once per stop, after every task has ended."""

    async def start(self) -> None:
        if self.state != "stopped":
            return
        self._set("starting")
        try:
            await self.setup()
        except BaseException:
            await self._end()
            self._set("stopped")
            raise
        self._set("running")
        self._main = self.spawn(self.run, name="run")

    async def stop(self) -> None:
        if self.state == "stopped":
            return
        self._set("stopping")
        await self._end()
        self._set("stopped")

    def spawn(self, work: Callable[[], Awaitable[None]], *, name: str = "task") -> asyncio.Task[None]:
        """Run `work()` until it returns; when it raises, record the error and run it again after a back-off."""
        task = asyncio.get_running_loop().create_task(self._supervise(work), name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _supervise(self, work: Callable[[], Awaitable[None]]) -> None:
        delay_s = 0.1
        while True:
            try:
                await work()
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it was, the component's absence must be visible, not fatal
                self.last_error = error
                self.restarts += 1
                log.warning("%s died: %r; it is started again in %.1f s", self.name, error, delay_s, exc_info=True)
                self._set("restarting")
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 10.0)
                self._set("running")

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.teardown()

    def _set(self, state: str) -> None:
        if self.state == "stopping" and state in ("running", "restarting"):
            return
        self.state = state
        for listener in self.on_state:
            listener(self)
