"""Linearizable reads without a log entry: prove that the leader still leads, then read what it had committed.

    read_index(context) ─► index = commit now ─► heartbeat with the read's number ─► a majority answers
                                                                                         └─► ReadState(index, context)
    the reader waits until it has applied `index`, and answers from its own state: no later leader can have
    committed anything before the question was asked that is not at or before `index`

Invariants: no answer before an entry of the leader's own term is committed (else `commit` may be behind, section 6.4);
            a heartbeat answered in this term after the question was asked proves that nobody led later at that time.
Models:     etcd-io/raft's readOnly in its safe mode; section 6.4
Left out:   reads on the clock of a lease (section 6.4.1): clocks drift
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft.quorum import has_majority, stored_by_majority
from kubelab.control_plane.etcd.raft.state import Read, State
from kubelab.control_plane.etcd.raft.types import NOBODY, Message, NotLeader, ReadState


def ask(state: State, context: bytes) -> None:
    """Ask on behalf of this member's own reader; a follower passes the question on. Raises NotLeader."""
    if state.role == "leader":
        _take(state, state.id, context)
    elif state.leader == NOBODY:
        raise NotLeader(NOBODY)
    else:
        state.send("read-index", state.leader, context=context)


def on_read_index(state: State, message: Message) -> None:
    _take(state, message.from_, message.context)


def on_read_index_response(state: State, message: Message) -> None:
    state.read_states.append(ReadState(message.index, message.context))


def _take(state: State, reader: int, context: bytes) -> None:
    if not state.has_committed_in_term:
        state.early_reads.append((reader, context))
    elif has_majority((state.id,), state.conf.voters):
        _answer(state, Read(0, state.log.commit, reader, context))  # alone: nobody else can lead
    else:
        state.read_number += 1
        state.waiting_reads.append(Read(state.read_number, state.log.commit, reader, context))
        state.heartbeat_due = True  # one round for all that are asked until it leaves


def begin(state: State) -> None:
    """Take the reads that were asked too early, now that something of this term is committed."""
    early, state.early_reads = state.early_reads, []
    for reader, context in early:
        _take(state, reader, context)


def heard(state: State, member: int, context: bytes) -> None:
    """Count a member's answer to a heartbeat; answer the reads that a majority has confirmed."""
    number = int.from_bytes(context, "big")
    state.reads_heard[member] = max(number, state.reads_heard.get(member, 0))
    confirmed = stored_by_majority(state.reads_heard | {state.id: state.read_number}, state.conf.voters)
    while state.waiting_reads and state.waiting_reads[0].number <= confirmed:
        _answer(state, state.waiting_reads.popleft())  # the proof is there: the read may be answered


def _answer(state: State, read: Read) -> None:
    if read.reader == state.id:
        state.read_states.append(ReadState(read.index, read.context))
    else:
        state.send("read-index-response", read.reader, index=read.index, context=read.context)


def number_to_bytes(number: int) -> bytes:
    return number.to_bytes(8, "big")
