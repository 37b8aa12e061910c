"""Change who belongs to the cluster, one member at a time (chapter 4).

    propose_conf ─► config entry ─► committed by the old members ─► apply_conf on each member as it applies the entry

    {1,2,3} ──add_learner 4──► {1,2,3}+4 ──promote 4──► {1,2,3,4}      majorities of neighbours always overlap

Invariant: a leader has at most one change that it has not applied, and none before it committed in its own term.
Models:    etcd-io/raft's single-step changes; as there, a change counts from when it is applied
Left out:  joint consensus (section 4.3). A leader that removes itself from two members must live until the other has
           heard of it; better hand over the leadership first
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from kubelab.control_plane.etcd.raft import replication, transfer
from kubelab.control_plane.etcd.raft.progress import Progress
from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.types import NOBODY, ConfState, Dropped, NotLeader

Op = Literal["add", "add_learner", "promote", "remove", "update"]
_OPS: tuple[Op, ...] = ("add", "add_learner", "promote", "remove", "update")
_HEAD = struct.Struct("<BQ")


class ConfChange(NamedTuple):
    """One step. "update" changes no majority: it carries only `context`, which is the owner's, as for every op."""

    op: Op
    member: int
    context: bytes = b""

    def encode(self) -> bytes:
        return _HEAD.pack(_OPS.index(self.op), self.member) + self.context

    @classmethod
    def decode(cls, data: bytes) -> ConfChange:
        """Read the data of a "config" entry. Raises ValueError."""
        if len(data) < _HEAD.size or data[0] >= len(_OPS):
            raise ValueError("not a change of the members")
        op, member = _HEAD.unpack_from(data)
        return cls(_OPS[op], member, data[_HEAD.size:])


def changed(conf: ConfState, change: ConfChange) -> ConfState:
    """Return the members after one step. What was done already, or cannot be, changes nothing."""
    voters, learners, one = conf.voters, conf.learners, frozenset((change.member,))
    if change.op == "add" or (change.op == "promote" and change.member in learners):
        return ConfState(voters | one, learners - one)
    if change.op == "add_learner" and change.member not in voters:
        return ConfState(voters, learners | one)
    if change.op == "remove" and voters != one:  # the last voter stays: nobody could decide anything any more
        return ConfState(voters - one, learners - one)
    return conf


def check(conf: ConfState, change: ConfChange) -> None:
    """Refuse what would do nothing. Raises Dropped."""
    member = change.member
    wrong = {
        "add": member in conf.voters and f"member {member} is a voter already",
        "add_learner": member in conf.voters | conf.learners and f"member {member} belongs to the cluster already",
        "promote": member not in conf.learners and f"member {member} is not a learner",
        "remove": (member not in conf.voters | conf.learners and f"member {member} does not belong to the cluster")
                  or (conf.voters == {member} and f"member {member} is the last voter"),
        "update": member not in conf.voters | conf.learners and f"member {member} does not belong to the cluster",
    }[change.op]
    if wrong:
        raise Dropped(wrong)


# ── on a member ──────────────────────────────────────────────────────────────────────────────────────────────────


def propose(state: State, change: ConfChange) -> int:
    """Put a change into the leader's log and return its index. Raises NotLeader, Dropped."""
    if state.role != "leader":
        raise NotLeader(state.leader)
    transfer.check(state)
    if state.pending_conf > state.log.applied:
        raise Dropped("another change of the members is under way, or this leader is new: wait until it is applied")
    check(state.conf, change)
    state.pending_conf = replication.append(state, "config", change.encode())
    return state.pending_conf


def apply(state: State, change: ConfChange) -> ConfState:
    """Take a committed change into account and return the members after it."""
    if state.log.pending is not None:
        return state.conf  # a snapshot from the leader came meanwhile: its members are newer than this change
    if state.role == "leader":
        replication.flush(state)  # whoever is removed shall still hear that it is
    state.belong(changed(state.conf, change))  # from here on majorities are those of the new members
    if state.role == "leader":
        _lead_on(state)
    return state.conf


def _lead_on(state: State) -> None:
    members = state.conf.voters | state.conf.learners
    for member in sorted(members - state.progress.keys()):
        state.progress[member] = Progress(state.log.last + 1, recently_active=True)
    for member in state.progress.keys() - members:
        del state.progress[member]
    if state.transferee not in state.conf.voters:
        state.transferee = NOBODY
    if state.id not in state.conf.voters and not state.retires_at:
        # the new members alone commit this entry, and learn with it that the change is committed (section 4.2.2)
        state.retires_at = replication.append(state, "normal", b"")
    replication.commit(state)  # a smaller majority may have been reached already
