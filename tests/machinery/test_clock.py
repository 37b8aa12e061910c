from __future__ import annotations

import asyncio
import time

import pytest

from kubelab.machinery.clock import RealClock, SteppedClock, micro_timestamp, parse_timestamp, timestamp


async def test_a_stepped_clock_wakes_sleepers_in_order_and_on_time() -> None:
    """Stepping two minutes passes every alarm at its own moment, without waiting for real."""
    clock, seen = SteppedClock(), []

    async def sleeper(s: float) -> None:
        await clock.sleep(s)
        seen.append((s, clock.monotonic()))

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for s in (60, 5, 30):
            group.create_task(sleeper(s))
        await clock.step(120)
    assert seen == [(5, 5), (30, 30), (60, 60)] and clock.monotonic() == 120
    assert time.monotonic() - began < 2


async def test_what_a_timer_sets_off_is_seen_within_one_step() -> None:
    """A task that sleeps again after waking is woken again in the same step."""
    clock, ticks = SteppedClock(), []

    async def ticker() -> None:
        for _ in range(3):
            await clock.sleep(10)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(ticker())
    await clock.step(30)
    assert ticks == [10, 20, 30]
    await task


async def test_a_cancelled_timer_never_fires_and_a_jump_fires_the_rest() -> None:
    """`jump` moves the time at once."""
    clock, fired = SteppedClock(), []
    clock.call_later(1, lambda: fired.append("a")).cancel()
    clock.call_later(2, lambda: fired.append("b"))
    clock.call_later(20, lambda: fired.append("c"))
    clock.jump(10)
    assert fired == ["b"] and clock.monotonic() == 10


async def test_a_resumed_clock_runs_with_real_time() -> None:
    """After `resume` a short sleep ends by itself; after `pause` the time stands."""
    clock = SteppedClock()
    clock.resume()
    await asyncio.wait_for(clock.sleep(0.02), 5)
    clock.pause()
    stands = clock.now()
    await asyncio.sleep(0.02)
    assert clock.now() == stands and clock.paused


async def test_the_real_clock_sleeps_and_calls() -> None:
    """The real clock is the event loop's."""
    clock, called = RealClock(), asyncio.Event()
    clock.call_later(0, called.set)
    await clock.sleep(0)
    await asyncio.wait_for(called.wait(), 5)


def test_times_are_written_and_read_as_the_api_does() -> None:
    """Seconds for Time, six digits for MicroTime, any offset is read."""
    assert timestamp(1_767_323_045.9) == "2026-01-02T03:04:05Z"
    assert micro_timestamp(1_767_323_045.678901) == "2026-01-02T03:04:05.678901Z"
    assert parse_timestamp("2026-01-02T04:04:05+01:00") == 1_767_323_045
    assert parse_timestamp("2026-01-02T03:04:05.5Z") == 1_767_323_045.5


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Dates without time, impossible dates and words are no times."""
    with pytest.raises(ValueError):
        parse_timestamp(text)
