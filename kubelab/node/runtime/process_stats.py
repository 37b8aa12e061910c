"""What a container uses, read from /proc: the process that was started and everything below it.

Invariant: memory that several containers share (the shim's programs) is divided among them, never counted twice.
"""

from __future__ import annotations

import os
from pathlib import Path

from kubelab.node.runtime.protocol import Usage


def usage(pid: int) -> Usage:
    """Return CPU seconds and proportional memory of the tree below `pid`; zero for one that has ended."""
    ticks = memory = 0
    waiting = [pid] if pid else []
    while waiting:
        one = waiting.pop()
        try:
            words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(word) for word in words[11:15])  # user, system, and those of children that have ended
            memory += _memory_bytes(one)
            waiting += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except OSError:
            continue  # it ended meanwhile
    return Usage(cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"), memory_bytes=memory)


def _memory_bytes(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:  # another user's process
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024
