"""Port mapping: where ports below 1024 cannot be bound, a listener moves up by 10,000.

Invariant: a mapped port is legal, distinct for distinct ports, and the same in every component.
"""

from __future__ import annotations

SHIFT = 10_000


def mapped(port: int, lowest_port: int) -> int:
    """Return the port to bind for `port` when nothing below `lowest_port` can be bound (0: everything can)."""
    return port if port >= lowest_port else port + SHIFT
