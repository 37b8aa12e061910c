"""What clients may ask of an etcd of several members: every call either goes through the log or is proven to be new.

    a call that changes something ─► submit(command) ─► the log ─► applied ─► its result
    a call that reads             ─► confirm()       ─► nobody knows more than this machine ─► read it

Invariant: no answer depends on what one member alone believes, but for what is asked as `serializable`.
Models:    etcdserver's v3_server.go, and the Cluster and Maintenance calls of its api/v3rpc
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from kubelab.control_plane.etcd.api import Compare, NestedTxn, Op, Range, RangeResult, TxnResult
from kubelab.control_plane.etcd.errors import (
    MemberNotFound,
    MemberNotLearner,
    NotEnoughStarted,
    PeerUrlExists,
    TooManyLearners,
)
from kubelab.control_plane.etcd.keyspace import Keyspace
from kubelab.control_plane.etcd.members.commands import (
    Command,
    Compaction,
    GrantLease,
    RenewLease,
    RevokeLease,
    SetAlarm,
    Transaction,
)
from kubelab.control_plane.etcd.members.machine import Machine
from kubelab.control_plane.etcd.raft.membership import ConfChange
from kubelab.control_plane.etcd.server_api import Alarm, MemberInfo

MAX_LEARNERS = 1  # as etcd


class Served(Keyspace):
    """The calls on keys, leases, alarms and members."""

    shared = True  # whoever asks another member may write too

    @abstractmethod
    async def submit(self, command: Command) -> Any:
        """Have a command agreed on and applied, and return its result. Raises EtcdError."""

    @abstractmethod
    async def change(self, change: ConfChange, about: MemberInfo | None = None) -> None:
        """Have a change of the members agreed on and applied. Raises EtcdError."""

    @abstractmethod
    async def confirm(self) -> Machine:
        """Return a machine that has applied all that was answered to anyone before this call. Raises EtcdError."""

    @property
    @abstractmethod
    def machine(self) -> Machine:
        """What a member knows now, which may be a moment old."""

    # ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def range(self, key: bytes, range_end: bytes | None = None, *, revision: int = 0, limit: int = 0,
                    count_only: bool = False, keys_only: bool = False) -> RangeResult:
        machine = await self.confirm()
        return machine.store.range(key, range_end, revision, limit, count_only, keys_only)

    async def read(self, query: Range) -> RangeResult:
        self._check()
        machine = self.machine if query.serializable else await self.confirm()
        return machine.store.read(query)

    async def txn(self, compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op] = ()) -> TxnResult:
        if only_reads((*success, *failure)):
            machine = await self.confirm()
            return machine.store.txn(compares, success, failure)
        result: TxnResult = await self.submit(Transaction(compares, success, failure))
        return result

    async def compact(self, revision: int) -> None:
        await self.submit(Compaction(revision))

    # ── leases ───────────────────────────────────────────────────────────────────────────────────────────────

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        granted: int = await self.submit(GrantLease(lease or random.getrandbits(62) + 1, ttl_s))
        return granted

    async def lease_keepalive(self, lease: int) -> int:
        ttl_s: int = await self.submit(RenewLease(lease))
        return ttl_s

    async def lease_revoke(self, lease: int) -> None:
        await self.submit(RevokeLease(lease))

    async def lease_time_to_live(self, lease: int) -> tuple[float, int, list[bytes]]:
        leases = (await self.confirm()).leases
        entry = leases.get(lease)
        return leases.left_s(lease), entry.ttl_s, sorted(entry.keys)

    # ── alarms ───────────────────────────────────────────────────────────────────────────────────────────────

    async def alarms(self) -> list[Alarm]:
        return sorted(self.machine.alarms)

    async def alarm_set(self, alarm: Alarm, active: bool) -> list[Alarm]:
        changed: list[Alarm] = await self.submit(SetAlarm(alarm.member, alarm.kind, active))
        return changed

    # ── members ──────────────────────────────────────────────────────────────────────────────────────────────

    async def member_list(self, *, linearizable: bool = True) -> list[MemberInfo]:
        self._check()
        machine = await self.confirm() if linearizable else self.machine
        return list(machine.members.values())

    async def member_add(self, peer_urls: Sequence[str], *, learner: bool = False) -> MemberInfo:
        members = (await self.confirm()).members
        _check_urls(members, peer_urls)
        if learner and sum(member.learner for member in members.values()) >= MAX_LEARNERS:
            raise TooManyLearners
        voters = [member for member in members.values() if not member.learner]
        if not learner and _started(voters) < (len(voters) + 1) // 2 + 1:
            raise NotEnoughStarted  # as it stands, the new member's vote would be needed before it has one
        new = MemberInfo(random.getrandbits(63) | 1, "", tuple(peer_urls), (), learner)
        await self.change(ConfChange("add_learner" if learner else "add", new.id), new)
        return new

    async def member_remove(self, member: int) -> None:
        members = (await self.confirm()).members
        gone = _known(members, member)
        rest = [other for other in members.values() if not other.learner and other.id != member]
        if not gone.learner and _started(rest) < len(rest) // 2 + 1:
            raise NotEnoughStarted
        await self.change(ConfChange("remove", member))

    async def member_update(self, member: int, peer_urls: Sequence[str]) -> None:
        members = (await self.confirm()).members
        known = _known(members, member)
        _check_urls({id_: other for id_, other in members.items() if id_ != member}, peer_urls)
        await self.change(ConfChange("update", member), known._replace(peer_urls=tuple(peer_urls)))

    async def member_promote(self, member: int) -> None:
        if not _known((await self.confirm()).members, member).learner:
            raise MemberNotLearner
        await self.change(ConfChange("promote", member))


def only_reads(ops: Sequence[Op]) -> bool:
    """Tell whether operations change nothing, so that they need not stand in the log."""
    return all(only_reads((*op.success, *op.failure)) if isinstance(op, NestedTxn) else isinstance(op, Range)
               for op in ops)


def _known(members: dict[int, MemberInfo], member: int) -> MemberInfo:
    if member not in members:
        raise MemberNotFound
    return members[member]


def _check_urls(members: dict[int, MemberInfo], peer_urls: Sequence[str]) -> None:
    if any(url in member.peer_urls for member in members.values() for url in peer_urls):
        raise PeerUrlExists


def _started(members: Sequence[MemberInfo]) -> int:
    """Count those that have told their name, as each does when it first runs."""
    return sum(bool(member.name) for member in members)
