"""What a member shows of itself: to the table in a notebook and to the consensus view.

Invariant: a face is a copy of one moment; a dead member shows what was last known of it.
Models:    etcdctl endpoint status
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kubelab.control_plane.etcd.api import DeleteRange, NestedTxn, Op, Put
from kubelab.control_plane.etcd.members.commands import Transaction, decode
from kubelab.control_plane.etcd.members.member import Member
from kubelab.control_plane.etcd.raft.types import Entry
from kubelab.control_plane.etcd.server_api import MemberInfo

TAIL = 14  # log entries shown


class Place(NamedTuple):
    """One place in a member's log; `key` is what it writes, or in parentheses what else it does."""

    index: int  # type: ignore[assignment]
    term: int
    key: str


@dataclass(frozen=True, slots=True)
class Face:
    """One member. `state` is running, dead, paused or slow; `leader` and `vote` are names, empty for nobody."""

    name: str
    role: str
    state: str
    term: int
    leader: str
    vote: str
    commit: int
    applied: int
    revision: int
    _tail: Sequence[Place] = field(default=(), repr=False)

    @property
    def tail(self) -> Sequence[Place]:
        """The end of its log."""
        return self._tail


def face(member: Member, state: str) -> Face:
    node, machine = member.replica.node, member.machine
    members = machine.members
    return Face(member.name, node.role, state, node.term, _name(members, node.leader), _name(members, node.vote),
                node.commit, node.applied, machine.store.revision, tuple(map(_place, member.tail(TAIL))))


def _name(members: dict[int, MemberInfo], member: int) -> str:
    return members[member].name if member in members else ""


def _place(entry: Entry) -> Place:
    return Place(entry.index, entry.term, _key(entry))


def _key(entry: Entry) -> str:
    if entry.kind == "config":
        return "(members)"
    if not entry.data:
        return ""
    command = decode(entry.data).command
    if isinstance(command, Transaction):
        return _written((*command.success, *command.failure)) or "(nothing)"
    return f"({type(command).__name__})"


def _written(ops: Sequence[Op]) -> str:
    """Return the first key that operations change."""
    for op in ops:
        if isinstance(op, (Put, DeleteRange)):
            return op.key.decode("utf-8", "replace")
        if isinstance(op, NestedTxn) and (found := _written((*op.success, *op.failure))):
            return found
    return ""
