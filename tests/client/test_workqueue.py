"""The workqueue's invariants."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.client.workqueue import ShutDown, WorkQueue
from kubelab.machinery.clock import SteppedClock


async def test_a_key_is_queued_once_and_worked_on_once() -> None:
    """Added again while queued, it is there once; added while in work, it comes again after done."""
    queue = WorkQueue(SteppedClock())
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "b"
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    queue.done("b")
    assert queue.idle


async def test_delays_run_on_the_clock_and_the_earliest_wins() -> None:
    """A delayed key comes when its time has come; a shorter delay replaces a longer one, never the other way."""
    clock = SteppedClock()
    queue = WorkQueue(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    await clock.step(4.9)
    assert len(queue) == 0
    await clock.step(0.2)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.step(30)
    assert queue.idle


async def test_back_off_doubles_until_forgotten() -> None:
    """Failures wait 5, 10, 20 ... ms, at most 1000 s; forget begins anew."""
    clock = SteppedClock()
    queue = WorkQueue(clock)
    for delay_ms in (5, 10, 20, 40):
        queue.add_rate_limited("a")
        await clock.step(delay_ms / 1000 - 0.001)
        assert len(queue) == 0
        await clock.step(0.002)
        queue.done(await queue.get())
    assert queue.requeues("a") == 4
    for _ in range(60):
        queue.add_rate_limited("a")
    await clock.step(1000.1)
    queue.done(await queue.get())
    queue.forget("a")
    queue.add_rate_limited("a")
    await clock.step(0.006)
    assert await queue.get() == "a"


async def test_getters_wait_and_a_cancelled_one_loses_nothing() -> None:
    """A key wakes one waiting getter; if that one is cancelled at this moment, another gets the key."""
    queue = WorkQueue(SteppedClock())
    first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_shut_down_sends_everyone_home() -> None:
    """After shut_down getters raise, delays are cancelled and adds are ignored."""
    queue = WorkQueue(SteppedClock())
    getter = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add_after("a", 1)
    queue.shut_down()
    with pytest.raises(ShutDown):
        await getter
    queue.add("b")
    assert len(queue) == 0 and queue.idle
