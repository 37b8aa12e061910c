"""Expectations: what a controller asked for and has not yet seen, so that a stale informer never makes it ask twice.

    reconcile ─► expect(2 creations) ─► create, create ─► ... ─► informer: ADDED, ADDED ─► satisfied ─► reconcile again

Invariant: while a key's expectations are not satisfied, its controller neither creates nor deletes for it.
Models:    ControllerExpectations and UIDTrackingControllerExpectations of pkg/controller
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kubelab.machinery.clock import Clock

TIMEOUT_S = 300.0  # then the informer's view is believed again


@dataclass(slots=True)
class _Expected:
    at: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[str, _Expected] = {}

    def satisfied(self, key: str) -> bool:
        """Tell whether everything asked for has been seen, or has taken too long."""
        found = self._expected.get(key)
        if found is None:
            return True
        return (found.creations <= 0 and not found.deletions) or self._clock.monotonic() - found.at > TIMEOUT_S

    def expect_creations(self, key: str, count: int) -> None:
        self._expected[key] = _Expected(self._clock.monotonic(), creations=count)

    def expect_deletions(self, key: str, pods: Iterable[str]) -> None:
        self._expected[key] = _Expected(self._clock.monotonic(), deletions=set(pods))

    def creation_observed(self, key: str, count: int = 1) -> None:
        """A creation was seen, or failed and will never be seen."""
        found = self._expected.get(key)
        if found is not None:
            found.creations -= count

    def deletion_observed(self, key: str, pod: str) -> None:
        found = self._expected.get(key)
        if found is not None:
            found.deletions.discard(pod)

    def forget(self, key: str) -> None:
        self._expected.pop(key, None)

    def forget_all(self) -> None:
        """Believe the informer: whoever asked was stopped, and what it asked for may never have been done."""
        self._expected.clear()
