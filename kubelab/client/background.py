"""One asyncio loop in one background thread: it carries every component, and nothing blocks it.

    notebook thread ── call(coroutine) ──► loop thread ── result or exception ──► notebook thread

Invariant: the thread is a daemon, so a kernel that ends is never held up by it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """A running event loop that synchronous code, such as a notebook cell, can call into."""

    def __init__(self, name: str = "kubelab") -> None:
        started = threading.Event()
        self.loop = new_loop()
        self._thread = threading.Thread(target=self._run, args=(started,), name=name, daemon=True)
        self._thread.start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(started.set)
        self.loop.run_forever()
        self.loop.close()

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and not self.loop.is_closed()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run `work` on the loop and return its result. A KeyboardInterrupt here cancels it there."""
        if not self.running:
            work.close()
            raise RuntimeError("this cluster is stopped; make a new one with Cluster()")
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("called from the cluster's own loop: await the coroutine there instead")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout_s)
        except (KeyboardInterrupt, concurrent.futures.TimeoutError):
            future.cancel()
            raise

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Run `callback` on the loop soon, without waiting for it."""
        if self.running:
            self.loop.call_soon_threadsafe(callback, *args)

    def stop(self) -> None:
        """Cancel what still runs, then end the thread."""
        if not self.running:
            return
        asyncio.run_coroutine_threadsafe(_cancel_rest(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


async def _cancel_rest() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of the fast kind, where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
