"""Elect a leader: at most one a term, and only one whose log holds everything that was committed.

    time-out ─► pre-vote to all ─► a majority would ─► term + 1, own vote ─► vote to all ─► a majority did ─► lead

    a vote is given  if  none was given in this term (or to the same one)   ─► election safety, section 3.4
                     and the candidate's log is at least as up to date      ─► leader completeness, section 3.6.1

Invariant: a vote leaves this member only after it is on disk, for it is a promise (section 3.8).
Models:    etcd-io/raft; sections 3.4, 3.6.1, 9.6 (pre-vote: ask before disturbing)
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft import replication
from kubelab.control_plane.etcd.raft.progress import Progress
from kubelab.control_plane.etcd.raft.quorum import tally
from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.terms import FORCED
from kubelab.control_plane.etcd.raft.types import NOBODY, Message


def may_campaign(state: State) -> bool:
    """Only voters, and only those who know the members as far as they are committed."""
    unapplied = state.log.slice(state.log.applied + 1, state.log.commit)
    return (state.id in state.conf.voters and state.log.pending is None
            and not any(entry.kind == "config" for entry in unapplied))


def campaign(state: State, *, forced: bool = False) -> None:
    """Try to become the leader. `forced`: the leader asked us to, so nobody needs to be asked before."""
    if state.role == "leader":
        return
    if not may_campaign(state):
        state.leader = NOBODY  # it is gone, that much is clear
        state.draw_time_out()
    elif state.config.pre_vote and not forced:
        _ask_around(state)
    else:
        _stand(state, FORCED if forced else b"")


def _ask_around(state: State) -> None:
    state.turn("asks around")
    state.start_over(NOBODY)
    state.votes[state.id] = True
    if tally(state.votes, state.conf.voters) == "won":
        _stand(state)
    else:
        _request(state, "pre-vote", state.term + 1)


def _stand(state: State, context: bytes = b"") -> None:
    state.turn("stands for election")
    state.enter_term(state.term + 1)
    state.start_over(NOBODY)
    state.vote = state.id  # the own vote is cast
    state.votes[state.id] = True
    if tally(state.votes, state.conf.voters) == "won":
        _lead(state)
    else:
        _request(state, "vote", state.term, context)


def _request(state: State, type_: str, term: int, context: bytes = b"") -> None:
    for voter in sorted(state.conf.voters - {state.id}):
        state.send("vote" if type_ == "vote" else "pre-vote", voter, term=term, index=state.log.last,
                   log_term=state.log.last_term, context=context)


def may_vote(state: State, message: Message) -> bool:
    """Tell whether the vote of this term is still to be given, or was given to the same candidate."""
    if message.type == "pre-vote" and message.term > state.term:
        return True
    return state.vote == message.from_ or (state.vote == NOBODY and state.leader == NOBODY)


def on_vote(state: State, message: Message) -> None:
    """Answer a candidate, or someone who asks whether to become one."""
    grant = may_vote(state, message) and state.log.is_up_to_date(message.index, message.log_term)
    if message.type == "pre-vote":
        state.send("pre-vote-response", message.from_, term=message.term if grant else state.term, reject=not grant)
        return
    if grant:
        state.vote = message.from_  # the vote is cast: there is no other in this term
        state.election_elapsed = 0
    state.send("vote-response", message.from_, reject=not grant)


def on_pre_vote_response(state: State, message: Message) -> None:
    state.votes.setdefault(message.from_, not message.reject)
    outcome = tally(state.votes, state.conf.voters)
    if outcome == "won":
        _stand(state)
    elif outcome == "lost":
        _give_up(state)


def on_vote_response(state: State, message: Message) -> None:
    state.votes.setdefault(message.from_, not message.reject)
    outcome = tally(state.votes, state.conf.voters)
    if outcome == "won":
        _lead(state)
    elif outcome == "lost":
        _give_up(state)


def _give_up(state: State) -> None:
    state.turn("lost")
    state.start_over(NOBODY)


def _lead(state: State) -> None:
    state.turn("won")  # from here on this member alone adds entries in this term
    state.start_over(state.id)
    for member in sorted(state.conf.voters | state.conf.learners):
        state.progress[member] = Progress(state.log.last + 1, recently_active=member == state.id)
    state.progress[state.id].state = "replicate"
    replication.stored_here(state)
    replication.append(state, "normal", b"")  # once it is committed, so is all before it (section 3.6.2)
    state.pending_conf = state.log.last


def on_timeout_now(state: State, message: Message) -> None:
    """Take over: the leader found our log complete and stops taking proposals (section 3.10)."""
    campaign(state, forced=True)
