"""Hand the leadership over, without waiting for a time-out (section 3.10).

    transfer_leader(to) ─► no more proposals ─► its log is complete? ─► timeout-now ─► it stands at once, past any lease
                                                   └─ no: replicate first

Invariant: at most one transfer at a time, for at most one election time-out; then proposals are taken again.
Models:    etcd-io/raft's MsgTransferLeader
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.types import NOBODY, Dropped, NotLeader


def transfer_leader(state: State, to: int) -> None:
    """Begin to hand over. Raises NotLeader; Dropped if `to` cannot lead."""
    if state.role != "leader":
        raise NotLeader(state.leader)
    if to not in state.conf.voters:
        raise Dropped(f"member {to} is not a voter")
    if to == state.id:
        state.transferee = NOBODY  # keep it
        return
    state.transferee, state.election_elapsed = to, 0
    state.progress[to].nudged = True
    hand_over(state, to)


def hand_over(state: State, member: int) -> None:
    """Tell the one that is to take over to do so, once it has everything."""
    if member == state.transferee and state.progress[member].match == state.log.last:
        state.send("timeout-now", member)


def check(state: State) -> None:
    """Refuse a proposal during a transfer, or from a leader that was removed. Raises Dropped."""
    if state.retires_at:
        raise Dropped("this leader was removed from the cluster and is about to step down")
    if state.transferee:
        raise Dropped(f"the leadership is being transferred to member {state.transferee}")
