"""Ticks and heartbeats: a follower that hears nothing stands for election, a leader that hears nobody steps down.

    tick ─► leader:    heartbeat to all every `heartbeat_ticks`; no majority heard for `election_ticks` ─► step down
         └► the rest:  `time_out` ticks without a leader ─► campaign

Invariant: a leader cut off from the majority leads for less than two election time-outs (section 6.2), and a
           follower that heard a leader within one gives no vote (section 4.2.3): so neither disturbs the other.
Models:    etcd-io/raft's tickElection, tickHeartbeat, CheckQuorum
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft import election, read_index
from kubelab.control_plane.etcd.raft.quorum import has_majority
from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.types import NOBODY, Message


def tick(state: State) -> None:
    """Let one unit of time pass."""
    state.election_elapsed += 1
    if state.role == "leader":
        _tick_leader(state)
    elif state.election_elapsed >= state.time_out:
        election.campaign(state)


def _tick_leader(state: State) -> None:
    if state.election_elapsed >= state.config.election_ticks:
        state.election_elapsed = 0
        state.transferee = NOBODY  # it had its time
        if state.config.check_quorum and not _heard_majority(state):
            state.turn("lost touch")
            state.start_over(NOBODY)
            return
    state.heartbeat_elapsed += 1
    if state.heartbeat_elapsed >= state.config.heartbeat_ticks:
        state.heartbeat_due = True


def _heard_majority(state: State) -> bool:
    """Tell whether a majority was heard since the last check, and begin to listen anew."""
    heard = {member for member, progress in state.progress.items() if progress.recently_active or member == state.id}
    for _, progress in state.followers:
        progress.recently_active = False
    return has_majority(heard, state.conf.voters)


def send_heartbeats(state: State) -> None:
    """Tell everyone that this leader lives, what is committed, and the newest read that waits for an answer."""
    state.heartbeat_due, state.heartbeat_elapsed = False, 0
    context = read_index.number_to_bytes(state.read_number) if state.waiting_reads else b""
    for member, progress in state.followers:
        commit = min(progress.match, state.log.commit)  # no further than what is known to agree
        state.send("heartbeat", member, commit=commit, context=context)


def on_heartbeat(state: State, message: Message) -> None:
    state.log.commit_to(message.commit)
    state.send("heartbeat-response", message.from_, context=message.context)


def on_heartbeat_response(state: State, message: Message) -> None:
    progress = state.progress.get(message.from_)
    if progress is None:
        return
    progress.recently_active = True
    progress.waits = False
    progress.nudged = progress.match < state.log.last  # an append may have been lost
    if message.context:
        read_index.heard(state, message.from_, message.context)
