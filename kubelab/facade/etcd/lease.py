"""A lease in the hand: keys that live only as long as somebody says so.

    lease = cluster.etcd.lease(10) ─► put(key, value, lease=lease) ─► keep_alive() ... or the key is gone

Invariant: the store alone knows how long it lives; every question asks it.
Models:    etcdctl lease grant, keep-alive, timetolive, revoke
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from kubelab.control_plane.etcd.api import EtcdApi, LeaseNotFound


class Lease:
    """One lease of the store, by its `id`."""

    def __init__(self, id_: int, ttl_s: int, etcd: EtcdApi, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.id, self.ttl_s = id_, ttl_s
        self._etcd, self._run = etcd, run

    async def _look(self) -> tuple[float, int, list[bytes]]:
        return await self._etcd.lease_time_to_live(self.id)

    @property
    def left_s(self) -> float:
        """Return the seconds until it ends. Raises LeaseNotFound once it has."""
        return float(self._run(self._look())[0])

    @property
    def keys(self) -> list[str]:
        """Return the keys that end with it. Raises LeaseNotFound."""
        return [key.decode("utf-8", "backslashreplace") for key in self._run(self._look())[2]]

    def keep_alive(self) -> Lease:
        """Start its time anew. Raises LeaseNotFound."""
        self._run(self._etcd.lease_keepalive(self.id))
        return self

    def revoke(self) -> None:
        """End it now, and its keys with it. Raises LeaseNotFound."""
        self._run(self._etcd.lease_revoke(self.id))

    def __repr__(self) -> str:
        try:
            left_s, ttl_s, keys = self._run(self._look())
        except LeaseNotFound:
            return f"<lease {self.id:x}: ended>"
        held = ", ".join(key.decode("utf-8", "backslashreplace") for key in keys)
        return f"<lease {self.id:x}: {left_s:.0f} of {ttl_s} s left, holds {held or 'no key'}>"
