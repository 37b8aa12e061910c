"""The room that keys may take: beyond it an alarm is raised, and only reading and deleting goes on.

    put ─► admit ─┬─ alarm NOSPACE stands ──────────────► NoSpace
                  ├─ a good part of the rest is written ─► measure ─ too much ─► raise the alarm, NoSpace
                  └─ otherwise ─────────────────────────► store

    the way out: etcdctl compact · defrag · alarm disarm

Invariant: the store is measured (every version counted) only when what was written since may have filled it.
Models:    etcdserver's quota.go and its capped applier
"""

from __future__ import annotations

from kubelab.control_plane.etcd.errors import NoSpace
from kubelab.control_plane.etcd.server_api import Alarm, EtcdServer
from kubelab.control_plane.etcd.wire.convert import Message

QUOTA_BYTES = 2 << 30  # etcd's default


class Quota:
    """The quota of one store."""

    def __init__(self, etcd: EtcdServer, limit_bytes: int) -> None:
        self._etcd, self._limit_bytes = etcd, limit_bytes
        self._until_measured = 0  # bytes that may be written before the store is measured again

    async def admit(self, size_bytes: int) -> None:
        """Let a write of this size pass. Raises NoSpace."""
        if any(alarm.kind == "NOSPACE" for alarm in await self._etcd.alarms()):
            raise NoSpace
        self._until_measured -= size_bytes
        if self._until_measured < 0:
            left = self._limit_bytes - (await self._etcd.status()).db_size - size_bytes
            if left < 0:
                await self._etcd.alarm_set(Alarm(0, "NOSPACE"), True)
                raise NoSpace
            self._until_measured = left // 2


def writes(txn: Message) -> bool:
    """Tell whether a transaction may put a key."""
    return any(op.HasField("request_put") or (op.HasField("request_txn") and writes(op.request_txn))
               for op in (*txn.success, *txn.failure))
