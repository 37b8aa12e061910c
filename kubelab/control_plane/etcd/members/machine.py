"""The state machine: what members agreed on, in the order of the log, becomes keys, leases, alarms and members.

    log entry ─► decode ─► seen before? ─ yes ─► nothing
                                 └─ no ─► Store · Leases · alarms · members ─► result, or the error that etcd answers

Invariant: the same entries give the same state and the same results on every member: no clock, no chance, no disk in
           here; an entry that fails changes nothing.
Models:    etcdserver's apply.go (the ids are its request ids, its consistent index the owner's)
Left out:  users and roles
"""

from __future__ import annotations

import json
import struct
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from kubelab.control_plane.etcd.api import Compacted, DeleteRange, EtcdError
from kubelab.control_plane.etcd.history import Change, Whole
from kubelab.control_plane.etcd.lease import Leases
from kubelab.control_plane.etcd.members.commands import (
    Command,
    Compaction,
    GrantLease,
    Publish,
    RenewLease,
    RevokeLease,
    SetAlarm,
    Transaction,
)
from kubelab.control_plane.etcd.mvcc import Store
from kubelab.control_plane.etcd.raft.membership import ConfChange
from kubelab.control_plane.etcd.records import Snapshot, decode_keys, encode_keys
from kubelab.control_plane.etcd.server_api import Alarm, MemberInfo

REMEMBERED = 30_000  # request ids; a request counts only so many places in the log after what was there before it
RETAINED_REVISIONS = 5_000  # history kept for watches and reads from the past, as the member that is alone keeps it
_HEAD = struct.Struct("<QQIIII")  # revision, compact revision; how many: keys, log, ids, bytes of JSON


class MachineState(NamedTuple):
    """Everything that a member needs to go on from here; immutable, so that it can be written in a thread."""

    keys: Whole
    leases: list[tuple[int, int]]  # id, ttl
    alarms: list[Alarm]
    members: list[MemberInfo]
    gone: list[int]
    seen: list[int]


class Machine:
    """What one member has applied. `on_changes(changes, revision)` hears of each transaction that changed keys."""

    def __init__(self, leases: Leases, on_changes: Callable[[list[Change], int], None]) -> None:
        self.leases, self._on_changes = leases, on_changes
        self.store = Store(leases.has)
        self.alarms: frozenset[Alarm] = frozenset()
        self.members: dict[int, MemberInfo] = {}
        self.gone: set[int] = set()  # who was a member and can never be one again
        self._order: deque[int] = deque()  # request ids, oldest first
        self._seen: set[int] = set()

    def apply(self, command: Command) -> Any:
        """Carry a command out and return its result: a value, or an EtcdError that says why it changed nothing."""
        try:
            return self._DO[type(command)](self, command)
        except EtcdError as refusal:
            return refusal

    def first_time(self, request: int, index: int, until: int) -> bool:
        """Tell whether a request at this place in the log is to be applied, and remember it: it may stand there twice.

        After `until` it is not, for its first copy may be forgotten.
        """
        if request in self._seen or index > until:
            return False
        self._seen.add(request)
        self._order.append(request)
        if len(self._order) > REMEMBERED:
            self._seen.discard(self._order.popleft())
        return True

    def knows(self, request: int) -> bool:
        """Tell whether a request has been applied."""
        return request in self._seen

    # ── what each command does ───────────────────────────────────────────────────────────────────────────────

    def _transact(self, txn: Transaction) -> Any:
        result = self.store.txn(*txn)
        changes = self.store.take_changes()
        if changes:
            for change in changes:
                if change.kv.lease or (change.prev is not None and change.prev.lease):
                    self.leases.follow(change)
            self._on_changes(changes, result.revision)
            if result.revision - self.store.compact_revision > 2 * RETAINED_REVISIONS:
                self.store.compact(result.revision - RETAINED_REVISIONS)
        return result

    def _grant(self, command: GrantLease) -> int:
        return self.leases.grant(command.ttl_s, command.lease)

    def _renew(self, command: RenewLease) -> int:
        return self.leases.keepalive(command.lease)

    def _revoke(self, command: RevokeLease) -> None:
        """Delete the keys of a lease at one revision, then the lease."""
        keys = sorted(self.leases.get(command.lease).keys)
        self.leases.drop(command.lease)
        if keys:
            self._transact(Transaction((), [DeleteRange(key) for key in keys]))

    def _compact(self, command: Compaction) -> None:
        if command.revision <= self.store.compact_revision:
            raise Compacted(self.store.compact_revision)
        self.store.compact(command.revision)

    def _alarm(self, command: SetAlarm) -> list[Alarm]:
        wanted = [Alarm(member, command.kind) for member in ([command.member] if command.member else self.members)]
        changed = [alarm for alarm in wanted if (alarm in self.alarms) != command.active]
        self.alarms ^= frozenset(changed)
        return changed

    def _publish(self, command: Publish) -> None:
        known = self.members.get(command.member)
        if known is not None:
            self.members[command.member] = known._replace(name=command.name, client_urls=tuple(command.client_urls))

    _DO: ClassVar[dict[type, Callable[[Machine, Any], Any]]] = {
        Transaction: _transact, GrantLease: _grant, RenewLease: _renew, RevokeLease: _revoke, Compaction: _compact,
        SetAlarm: _alarm, Publish: _publish}

    def change_members(self, change: ConfChange, about: MemberInfo | None) -> None:
        """Note a change of the members, which has been agreed on."""
        if change.op == "remove":
            self.members.pop(change.member, None)
            self.gone.add(change.member)
            self.alarms = frozenset(alarm for alarm in self.alarms if alarm.member != change.member)
        elif change.op == "promote":
            if change.member in self.members:
                self.members[change.member] = self.members[change.member]._replace(learner=False)
        elif about is not None:
            known = self.members.get(change.member)
            self.members[change.member] = about if known is None else known._replace(peer_urls=about.peer_urls)

    # ── as a whole ───────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> MachineState:
        return MachineState(self.store.dump(), self.leases.granted(), sorted(self.alarms),
                            list(self.members.values()), sorted(self.gone), list(self._order))

    def begin_with(self, snapshot: Snapshot) -> None:
        """Begin with the keys and leases of another etcd."""
        self.store.load(snapshot.kvs, snapshot.revision)
        self._take_leases(snapshot.leases)

    def become(self, state: MachineState) -> None:
        """Be what another member was. Leases have their whole time again."""
        self.store.restore(state.keys)
        self._take_leases(state.leases)
        self.alarms, self.members = frozenset(state.alarms), {member.id: member for member in state.members}
        self.gone = set(state.gone)
        self._order, self._seen = deque(state.seen), set(state.seen)

    def _take_leases(self, leases: Sequence[tuple[int, int]]) -> None:
        self.leases.clear()
        for lease, ttl_s in leases:
            self.leases.grant(ttl_s, lease)
        for kv in self.store.live():
            self.leases.follow(Change(kv, None))


def encode(state: MachineState) -> bytes:
    rest = json.dumps([state.leases, state.alarms, state.members, state.gone]).encode()
    revision, compacted, base, log = state.keys
    return b"".join((_HEAD.pack(revision, compacted, len(base), len(log), len(state.seen), len(rest)), rest,
                     array("Q", state.seen).tobytes(), *encode_keys(base), *encode_keys(log)))


def decode(data: bytes) -> MachineState:
    """Read what `encode` made. Raises ValueError, struct.error."""
    revision, compacted, keys, logged, seen, size = _HEAD.unpack_from(data)
    at = _HEAD.size
    leases, alarms, members, gone = json.loads(data[at:at + size])
    at += size
    ids = array("Q", data[at:at + 8 * seen])
    base, at = decode_keys(data, at + 8 * seen, keys)
    log, _ = decode_keys(data, at, logged)
    return MachineState(Whole(revision, compacted, base, log), [(lease, ttl_s) for lease, ttl_s in leases],
                        [Alarm(*alarm) for alarm in alarms], [member_of(fields) for fields in members], gone, list(ids))


def member_of(fields: list[Any]) -> MemberInfo:
    """Return a member from the JSON of its fields."""
    member, name, peer_urls, client_urls, learner = fields
    return MemberInfo(member, name, tuple(peer_urls), tuple(client_urls), learner)
