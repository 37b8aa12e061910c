"""Back-off by key: 10 s after the first repeat, doubled up to 300 s, forgotten after ten quiet minutes.

    first failure ─► next(): 10 s ─► in back-off ─► over ─► next(): 20 s ─► ...

Invariant: an entry's delay only grows through `next`, and starts anew once 2 × max_s passed without failure.
Models:    client-go flowcontrol.Backoff, as the kubelet uses it for containers and images
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Entry:
    delay_s: float
    updated: float  # Unix seconds


class Backoff:
    """Remember how long each key has to wait before it is tried again."""

    def __init__(self, initial_s: float = 10.0, max_s: float = 300.0) -> None:
        self.initial_s, self.max_s = initial_s, max_s
        self._entries: dict[str, _Entry] = {}

    def next(self, key: str, now: float) -> None:
        """Count one more failure."""
        entry = self._entries.get(key)
        if entry is None or now - entry.updated > 2 * self.max_s:
            self._entries[key] = _Entry(self.initial_s, now)
            return
        entry.delay_s = min(entry.delay_s * 2, self.max_s)
        entry.updated = now

    def delay_s(self, key: str) -> float:
        entry = self._entries.get(key)
        return entry.delay_s if entry else 0.0

    def remaining_s(self, key: str, since: float, now: float) -> float:
        """Return how long to wait still when the last failure was at `since`; 0 when the way is free."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > 2 * self.max_s:
            return 0.0
        return max(0.0, since + entry.delay_s - now)

    def updated(self, key: str) -> float:
        entry = self._entries.get(key)
        return entry.updated if entry else 0.0

    def forget(self, prefix: str) -> None:
        """Drop every key that starts so: the pod is gone."""
        for key in [k for k in self._entries if k.startswith(prefix)]:
            del self._entries[key]
