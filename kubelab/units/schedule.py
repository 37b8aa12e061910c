"""Cron expressions: when the next run is due.

    "*/5 * * * *", "@hourly", "@every 90s" ─► parse (refuses in Kubernetes' words) ─► Schedule.after(time, zone)

Invariant: what `parse` takes, `after` can count.
Models:    github.com/robfig/cron/v3 ParseStandard, whose messages CronJobs show; cronsim does the calendar
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache

from kubelab.machinery.durations import duration_s

MONTHS = {name: i for i, name in enumerate(
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)}
DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 6, DAYS))
NAMED = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
         "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
EVERY = "@every "


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed expression: either five fields for cronsim or a fixed step."""

    fields: str = ""
    every_s: float = 0.0
    zone: str = ""

    def after(self, moment: float, zone: str | None = None) -> float | None:
        """Return the first due time after `moment` (Unix seconds), None when there is none.

        `zone` is an IANA name; without one the schedule's own zone counts, and without that UTC.
        """
        if self.every_s:
            return float(int(moment + self.every_s))
        from cronsim import CronSim, CronSimError

        place = zone_of(self.zone or zone or "UTC")
        try:
            return float(next(CronSim(self.fields, datetime.fromtimestamp(moment, place))).timestamp())
        except (StopIteration, CronSimError):  # the 31st of February
            return None


@lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """Read an expression.

    Raises:
        ValueError: it is none, in the words of the parser that Kubernetes uses.
    """
    if not text:
        raise ValueError("empty spec string")
    zone = ""
    if text.startswith(("TZ=", "CRON_TZ=")):
        head, _, rest = text.partition(" ")
        zone, text = head.partition("=")[2], rest.strip()
        try:
            zone_of(zone)
        except ValueError as error:
            raise ValueError(f"provided bad location {zone}: {error}") from None
    if text.startswith("@"):
        return _described(text, zone)
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise ValueError(f"expected exactly {len(FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    return Schedule(" ".join(_field(field, *bounds) for field, bounds in zip(fields, FIELDS, strict=True)), zone=zone)


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its IANA name. Raises `ValueError` when there is none of that name."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


def _described(text: str, zone: str) -> Schedule:
    if text in NAMED:
        return Schedule(NAMED[text], zone=zone)
    if text.startswith(EVERY):
        try:
            return Schedule(every_s=max(float(int(duration_s(text[len(EVERY):]))), 1.0))
        except ValueError as error:
            raise ValueError(f"failed to parse duration {text}: {error}") from None
    raise ValueError(f"unrecognized descriptor: {text}")


def _field(text: str, low: int, high: int, names: Mapping[str, int]) -> str:
    """Write one field as cronsim reads it: a star, or every number that it means."""
    values: set[int] = set()
    star = False
    for expression in filter(None, text.split(",")):
        found, any_value = _range(expression, low, high, names)
        values |= set(found)
        star = star or any_value
    return "*" if star or not values else ",".join(str(value) for value in sorted(values))


def _range(text: str, low: int, high: int, names: Mapping[str, int]) -> tuple[range, bool]:
    """Return the numbers that 5, 1-5, */2 or mon-fri means, and whether that is simply any."""
    span, *steps = text.split("/")
    start_text, *ends = span.split("-")
    any_value = start_text in ("*", "?")
    if any_value:
        start, end = low, high
    else:
        start = _number(start_text, names)
        if len(ends) > 1:
            raise ValueError(f"too many hyphens: {text}")
        end = _number(ends[0], names) if ends else start
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = _number(steps[0], {}) if steps else 1
    if steps and not ends:
        end = high
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), any_value and step == 1


def _number(text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if re.fullmatch(r"[+-]?[0-9]+", text):
        number = int(text)
        if number < 0:
            raise ValueError(f"negative number ({number}) not allowed: {text}")
        return number
    raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
