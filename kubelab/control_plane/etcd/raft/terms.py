"""Terms come first: every message is weighed by its term before anyone looks at what it says (section 3.3).

    message.term  > ours   ─► a later term has begun: follow        (not for a pre-vote, not within a leader's lease)
                  < ours   ─► an old one: drop it; tell an old leader of the new term
                  = ours   ─► to the handler of our role

Invariant: no handler ever sees a message of another term, pre-votes apart, which are about a term to come.
Models:    raft.Step of etcd-io/raft; sections 3.3, 4.2.3, 9.6
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.types import NOBODY, Message

FORCED = b"transfer"  # in a vote request: the leader itself asked for this election (section 3.10)
FROM_LEADER = frozenset({"append", "heartbeat", "snapshot"})  # only the leader of a term sends these in it


def admit(state: State, message: Message) -> bool:
    """Tell whether the message may be handled, after moving to its term if that is later."""
    if message.term > state.term:
        return _later(state, message)
    if message.term < state.term:
        _earlier(state, message)
        return False
    return True


def _later(state: State, message: Message) -> bool:
    type_ = message.type
    if type_ in ("vote", "pre-vote") and message.context != FORCED and state.in_lease:
        return False  # the leader is well: whoever was cut off, or was removed, does not disturb it
    if type_ == "pre-vote" or (type_ == "pre-vote-response" and not message.reject):
        return True  # "would you": nobody's term changes
    state.enter_term(message.term)
    state.follow(message.from_ if type_ in FROM_LEADER else NOBODY)
    return True


def _earlier(state: State, message: Message) -> None:
    if message.type in FROM_LEADER:
        if state.config.check_quorum or state.config.pre_vote:
            state.send("append-response", message.from_)  # our term is in it: the old leader steps down
    elif message.type == "pre-vote":
        state.send("pre-vote-response", message.from_, reject=True)
