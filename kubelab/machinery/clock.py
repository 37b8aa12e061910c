"""One clock for everything: tests and notebooks pause it, step it, or let it jump.

    component ─► clock.sleep(s) / clock.call_later(s, fn) ─► RealClock: the event loop
                                                          └► SteppedClock: a heap of timers, fired by step() and jump()

Invariant: no component asks the operating system for the time; `now` never goes backwards within one clock.
Models:    k8s.io/utils/clock
"""

from __future__ import annotations

import asyncio
import calendar
import heapq
import itertools
import re
import time
from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """A timer that can still be called off."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """`now` is Unix time in seconds; `monotonic` counts seconds from an arbitrary start."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    async def sleep(self, s: float) -> None: ...
    def call_later(self, s: float, fn: Callable[[], object]) -> Handle: ...


class RealClock:
    """The time of the operating system and of the running event loop."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, s: float) -> None:
        await asyncio.sleep(s)

    def call_later(self, s: float, fn: Callable[[], object]) -> Handle:
        return asyncio.get_running_loop().call_later(s, fn)


class _Timer:
    __slots__ = ("at", "cancelled", "fn", "seq")

    def __init__(self, at: float, seq: int, fn: Callable[[], object]) -> None:
        self.at, self.seq, self.fn, self.cancelled = at, seq, fn, False

    def __lt__(self, other: _Timer) -> bool:
        return (self.at, self.seq) < (other.at, other.seq)

    def cancel(self) -> None:
        self.cancelled = True


class SteppedClock:
    """A clock that starts paused; `resume` lets it run with real time, `pause` stops it again.

    Belongs to one event loop: call every method on that loop's thread.
    """

    def __init__(self, start: float = 1_767_323_045.0) -> None:  # 2026-01-02T03:04:05Z
        self._start = start
        self._elapsed = 0.0
        self._resumed_at: float | None = None  # real monotonic time at which the clock began to run
        self._timers: list[_Timer] = []
        self._count = itertools.count()
        self._wake_up: asyncio.TimerHandle | None = None

    def now(self) -> float:
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        if self._resumed_at is None:
            return self._elapsed
        return self._elapsed + time.monotonic() - self._resumed_at

    async def sleep(self, s: float) -> None:
        if s <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(s, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    def call_later(self, s: float, fn: Callable[[], object]) -> Handle:
        timer = _Timer(self.monotonic() + max(s, 0.0), next(self._count), fn)
        heapq.heappush(self._timers, timer)
        self._arm()
        return timer

    @property
    def paused(self) -> bool:
        return self._resumed_at is None

    def pause(self) -> None:
        """Stop the time where it is."""
        self._elapsed, self._resumed_at = self.monotonic(), None
        self._arm()

    def resume(self) -> None:
        """Let the time run with real time from here on."""
        if self._resumed_at is None:
            self._resumed_at = time.monotonic()
        self._arm()

    def jump(self, s: float) -> None:
        """Move the time forward at once and fire, in order, every timer that this makes due."""
        until = self.monotonic() + s
        while (timer := self._due(until)) is not None:
            self._set(max(timer.at, self.monotonic()))
            timer.fn()
        self._set(max(until, self.monotonic()))
        self._arm()

    async def step(self, s: float, settle: int = 50) -> None:
        """Move forward from timer to timer; after each, give the other tasks `settle` turns of the event loop."""
        until = self.monotonic() + s
        await self._settle(settle)
        while (timer := self._due(until)) is not None:
            self._set(max(timer.at, self.monotonic()))
            timer.fn()
            await self._settle(settle)
        self._set(max(until, self.monotonic()))
        self._arm()
        await self._settle(settle)

    @staticmethod
    async def _settle(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    def _set(self, monotonic: float) -> None:
        self._elapsed = monotonic
        if self._resumed_at is not None:
            self._resumed_at = time.monotonic()

    def _due(self, until: float) -> _Timer | None:
        while self._timers and (self._timers[0].cancelled or self._timers[0].at <= until):
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                return timer
        return None

    def _arm(self) -> None:
        """While the time runs, keep one timer of the event loop on the earliest of ours."""
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None
        if self._resumed_at is not None and self._timers:
            delay_s = max(0.0, self._timers[0].at - self.monotonic())
            self._wake_up = asyncio.get_running_loop().call_later(delay_s, self.jump, 0.0)


def timestamp(now: float) -> str:
    """Write a time as metav1.Time: 2026-01-02T03:04:05Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)).zfill(20)  # years before 1000 come without zeros


def micro_timestamp(now: float) -> str:
    """Write a time as metav1.MicroTime: 2026-01-02T03:04:05.678901Z."""
    micros = round(now * 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(micros // 1_000_000)).zfill(19) \
        + f".{micros % 1_000_000:06d}Z"


_DATE = (("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d?"),
         (":", ":"), ("04", r"\d\d"), (":", ":"))
_ZONE = ("Z07:00", r"Z|[+-]\d\d:\d\d")
_LAYOUTS = {"2006-01-02T15:04:05Z07:00": (*_DATE, ("05", r"\d\d([.,]\d+)?"), _ZONE),
            "2006-01-02T15:04:05.000000Z07:00": (*_DATE, ("05", r"\d\d"), (".000000", r"[.,]\d{6}"), _ZONE)}
TIME, MICRO_TIME = _LAYOUTS
_RANGES = {"01": ("month", 1, 12), "15": ("hour", 0, 23), "04": ("minute", 0, 59), "05": ("second", 0, 59)}
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)([.,]\d+)?(?:Z|([+-])(\d\d):(\d\d))")


def _check(text: str, layout: str) -> None:
    """Raise ValueError where reading a time ends, in the words of Go's time.Parse."""
    at = 0
    for part, pattern in _LAYOUTS[layout]:
        match = re.compile(pattern).match(text, at)
        if match is None:
            raise ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{text[at:]}" as "{part}"')
        name, least, most = _RANGES.get(part, ("", 0, 0))
        if name and not least <= int(match[0].partition(".")[0].partition(",")[0]) <= most:
            raise ValueError(f'parsing time "{text}": {name} out of range')
        at = match.end()
    if at < len(text):
        raise ValueError(f'parsing time "{text}": extra text: "{text[at:]}"')


def parse_timestamp(text: str, layout: str = TIME) -> float:
    """Read an RFC 3339 time as Unix seconds; of the MICRO_TIME layout it has six digits behind the second.

    Raises:
        ValueError: the text is no such time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None or layout == MICRO_TIME:
        _check(text, layout)
    assert match is not None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if not (1 <= month <= 12 and hour < 24 and minute < 60 and second < 60):
        _check(text, layout)
    for name, most, given in (("hour", 24, match[9]), ("minute", 60, match[10])):
        if int(given or 0) > most:
            raise ValueError(f'parsing time "{text}": time zone offset {name} out of range')
    if not 1 <= day <= calendar.monthrange(year or 4, month)[1]:
        raise ValueError(f'parsing time "{text}": day out of range')
    fraction = float(f"0.{match[7][1:]}") if match[7] else 0.0
    seconds = calendar.timegm((year, month, day, hour, minute, second)) + fraction
    if match[8]:
        offset_s = int(match[9]) * 3600 + int(match[10]) * 60
        seconds -= offset_s if match[8] == "+" else -offset_s
    return seconds
