"""What the operating system knows of this process: its time on the CPU, its memory, its open files.

    /proc/self/stat, limits, fd ─► read when somebody asks ─► /metrics

Invariant: nothing is measured before it is asked for. Where there is no /proc, there are no such series.
Models:    the process collector of prometheus/client_golang
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from mmap import PAGESIZE
from pathlib import Path

from kubelab.machinery.metrics import Family, Gauge, Labels

PROC = Path("/proc/self")
TICK_S = 0.01  # in which Linux tells times, whatever its own clock does
START, VIRTUAL, RESIDENT = 19, 20, 21  # of what follows the name in stat, from 0
UNLIMITED = 2.0 ** 64 - 1


def _stat() -> list[str]:
    return (PROC / "stat").read_text().rpartition(")")[2].split()


def _booted() -> float:
    lines = Path("/proc/stat").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("btime ")).split()[1])


def cpu_s() -> float:
    """Return the seconds of user and system time so far."""
    times = os.times()
    return times.user + times.system


def started() -> float:
    """Return when the process began, in seconds since 1970."""
    return _booted() + int(_stat()[START]) * TICK_S


def resident_bytes() -> float:
    return int(_stat()[RESIDENT]) * PAGESIZE


def virtual_bytes() -> float:
    return int(_stat()[VIRTUAL])


def open_fds() -> float:
    return len(list((PROC / "fd").iterdir())) - 1  # the one it looks through does not count


def limit(what: str) -> float:
    """Return the soft limit that /proc/self/limits names so."""
    line = next(line for line in (PROC / "limits").read_text().splitlines() if line.startswith(what))
    soft = line.removeprefix(what).split()[0]
    return UNLIMITED if soft == "unlimited" else float(soft)


def _read(name: str, text: str, value: Callable[[], float], type_: str = "gauge") -> Gauge:
    def read() -> Mapping[Labels, float]:
        return {(): value()} if PROC.exists() else {}

    return Gauge(f"process_{name}", text, (), read, type_)


FAMILIES: tuple[Family, ...] = (
    _read("cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu_s, "counter"),
    _read("start_time_seconds", "Start time of the process since unix epoch in seconds.", started),
    _read("resident_memory_bytes", "Resident memory size in bytes.", resident_bytes),
    _read("virtual_memory_bytes", "Virtual memory size in bytes.", virtual_bytes),
    _read("virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.",
          lambda: limit("Max address space")),
    _read("open_fds", "Number of open file descriptors.", open_fds),
    _read("max_fds", "Maximum number of open file descriptors.", lambda: limit("Max open files")),
)
