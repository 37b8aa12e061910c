"""What the process says of itself agrees with what the system says of it."""

from __future__ import annotations

import os
import time

import psutil

from .conftest import World, scrape


async def test_process(world: World) -> None:
    """CPU time, memory, start and files are those that psutil reads."""
    found, process = await scrape(world), psutil.Process()
    assert abs(found["process_start_time_seconds"] - process.create_time()) < 2
    assert 0 < found["process_cpu_seconds_total"] <= time.process_time() + 0.1
    assert abs(found["process_resident_memory_bytes"] / process.memory_info().rss - 1) < 0.1
    assert abs(found["process_virtual_memory_bytes"] / process.memory_info().vms - 1) < 0.1
    assert found["process_max_fds"] == process.rlimit(psutil.RLIMIT_NOFILE)[0]
    assert found["process_open_fds"] == process.num_fds()  # each counts the one that it looks through


async def test_open_files_are_counted(world: World) -> None:
    """One more open file is one more."""
    before = (await scrape(world))["process_open_fds"]
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert (await scrape(world))["process_open_fds"] == before + 1
    finally:
        os.close(fd)
