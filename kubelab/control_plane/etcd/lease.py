"""Leases: keys that vanish together unless someone says in time that they are still wanted.

    grant(ttl) ─► attach keys ─► keepalive ... ─► silence for ttl seconds ─► expired ─► its keys are deleted

Invariant: at most one timer runs, for the lease that ends first or for one that ended first and was kept alive;
           none before `restart` or after `stop`: of several members only the leader says that a lease has run out.
Models:    etcd's lease package (without checkpoints: after a restart every lease has its whole time again)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kubelab.control_plane.etcd.api import LeaseNotFound
from kubelab.control_plane.etcd.errors import LeaseExists
from kubelab.control_plane.etcd.mvcc import Change
from kubelab.machinery.clock import Clock, Handle

NO_LEASE = 0
AGAIN_S = 0.5  # then `on_expired` is called again for a lease that is still there: to end it may take some time


@dataclass(slots=True)
class Lease:
    id: int
    ttl_s: int
    ends: float  # on the clock's monotonic scale
    keys: set[bytes] = field(default_factory=set)


class Leases:
    """The granted leases; `on_expired(id)` is called for each that ran out, until it is dropped."""

    def __init__(self, clock: Clock, on_expired: Callable[[int], None]) -> None:
        self._clock, self._on_expired = clock, on_expired
        self._leases: dict[int, Lease] = {}
        self._timer: Handle | None = None
        self._ringing = False
        self._last_id = 0

    def grant(self, ttl_s: int, lease: int = NO_LEASE) -> int:
        """Add a lease and return its id, a chosen or a new one. Raises LeaseExists."""
        if lease in self._leases:
            raise LeaseExists
        if lease == NO_LEASE:
            lease = self.new_id()
        self._last_id = max(self._last_id, lease)
        self._leases[lease] = Lease(lease, ttl_s, self._clock.monotonic() + ttl_s)
        self._arm()
        return lease

    def new_id(self) -> int:
        """Return an id that no lease has had."""
        return max(self._last_id, int(self._clock.now() * 1000)) + 1

    def keepalive(self, lease: int) -> int:
        entry = self.get(lease)
        entry.ends = self._clock.monotonic() + entry.ttl_s
        return entry.ttl_s

    def get(self, lease: int) -> Lease:
        entry = self._leases.get(lease)
        if entry is None:
            raise LeaseNotFound(lease)
        return entry

    def left_s(self, lease: int) -> float:
        return self.get(lease).ends - self._clock.monotonic()

    def has(self, lease: int) -> bool:
        return lease in self._leases

    def clear(self) -> None:
        self._leases.clear()

    def drop(self, lease: int) -> Lease | None:
        return self._leases.pop(lease, None)

    def granted(self) -> list[tuple[int, int]]:
        """Return (id, ttl) of every lease, for a snapshot."""
        return [(entry.id, entry.ttl_s) for entry in self._leases.values()]

    def follow(self, change: Change) -> None:
        """Keep the keys of each lease in step with one change of the keyspace."""
        new, prev = change.kv.lease, change.prev.lease if change.prev is not None else NO_LEASE
        if prev != new and prev in self._leases:
            self._leases[prev].keys.discard(change.kv.key)
        if new in self._leases:
            self._leases[new].keys.add(change.kv.key)

    def restart(self, *, ringing: bool = True) -> None:
        """Give every lease its whole time again, as after the start of a store; not `ringing`, only keep the time."""
        for entry in self._leases.values():
            entry.ends = self._clock.monotonic() + entry.ttl_s
        self.stop()
        self._ringing = ringing
        self._arm()

    def stop(self) -> None:
        self._ringing = False
        self._quiet()

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at_least_s: float = 0.0) -> None:
        self._quiet()
        if self._leases and self._ringing:
            first = min(entry.ends for entry in self._leases.values())
            self._timer = self._clock.call_later(max(at_least_s, first - self._clock.monotonic()), self._ring)

    def _ring(self) -> None:
        now = self._clock.monotonic()
        over = [entry.id for entry in self._leases.values() if entry.ends <= now]
        for lease in over:
            self._on_expired(lease)
        self._arm(AGAIN_S if any(lease in self._leases for lease in over) else 0.0)
