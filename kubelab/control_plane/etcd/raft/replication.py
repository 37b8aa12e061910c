"""Replicate the log: the leader sends what a follower lacks, and commits what a majority has on disk.

    propose ─► log ─► append(index, term of the entry before, entries) ─► does it match? ─► merge, to disk ─► accepted
                                                                             └─► no ─► rejected, with a hint ─► back up

    committed  if  a majority has it on disk  and  it is of the leader's own term     ─► section 3.6.2, figure 3.7

Invariants: a leader only appends to its own log; equal index and term mean equal logs up to there (log matching).
Models:     etcd-io/raft; sections 3.5, 3.6.2, 10.2.1 (a leader counts itself only when its own disk has the entry)
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft import read_index, snapshots, transfer
from kubelab.control_plane.etcd.raft.progress import Progress
from kubelab.control_plane.etcd.raft.quorum import stored_by_majority
from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.types import Entry, EntryKind, Message

# ── the leader ───────────────────────────────────────────────────────────────────────────────────────────────────


def append(state: State, kind: EntryKind, data: bytes) -> int:
    """Put one entry at the end of the leader's log and return its index; `flush` sends it on."""
    index = state.log.last + 1
    state.log.append((Entry(state.term, index, kind, data),))
    return index


def flush(state: State) -> None:
    """Send everyone what is new to them, as far as their windows allow: proposals gathered so far go together."""
    for member, progress in state.followers:
        while _send(state, member, progress):
            continue


def _send(state: State, member: int, progress: Progress) -> bool:
    """Send one append, or a snapshot, if there is reason to; tell whether there may be more to send."""
    log, config = state.log, state.config
    blocked = progress.paused(config.max_inflight)
    if progress.state == "snapshot" or (blocked and not progress.nudged):
        return False
    before = progress.next - 1
    term_before = log.term_at(before)
    if term_before is None:
        return snapshots.send(state, member, progress)
    entries = () if blocked else log.slice(progress.next, log.last, config.max_append_bytes)
    commit = min(log.commit, before + len(entries))
    searching = progress.state == "probe" and progress.match < log.last
    if not (entries or commit > progress.sent_commit or searching or progress.nudged):
        return False
    state.send("append", member, index=before, log_term=term_before, entries=entries, commit=commit)
    progress.sent(before + len(entries), len(entries))
    progress.sent_commit = max(progress.sent_commit, commit)
    return bool(entries)


def on_append_response(state: State, message: Message) -> None:
    progress = state.progress.get(message.from_)
    if progress is None:
        return  # a member that was removed
    progress.recently_active = True
    if message.reject:
        _back_up(state, progress, message)
        return
    news = progress.accepted(message.index)
    if progress.state == "probe" or (progress.state == "snapshot" and progress.match >= state.log.first - 1):
        progress.become_replicate()
    if news:
        commit(state)
        transfer.hand_over(state, message.from_)


def _back_up(state: State, progress: Progress, message: Message) -> None:
    """Skip whole terms in which the logs cannot agree, instead of one entry a round (section 3.5, end)."""
    hint = message.reject_hint
    if message.log_term:
        hint, _ = state.log.conflict_hint(hint, message.log_term)
    progress.rejected(message.index, hint)


def stored_here(state: State) -> None:
    """Count the leader's own disk."""
    progress = state.progress.get(state.id)
    if progress is not None and progress.accepted(state.log.stable):
        commit(state)


def commit(state: State) -> None:
    """Move the commit index to what a majority of the voters has stored."""
    match = {member: progress.match for member, progress in state.progress.items()}
    index = stored_by_majority(match, state.conf.voters)
    if may_commit(state, index) and state.log.commit_to(index):  # committed: it can never be lost any more
        read_index.begin(state)
        if 0 < state.retires_at <= state.log.commit:
            flush(state)
            state.retire()  # a leader that was removed leads no longer


def may_commit(state: State, index: int) -> bool:
    """Entries of older terms are committed only through one of this term: a majority alone could be overruled."""
    return state.log.term_at(index) == state.term


# ── the follower ─────────────────────────────────────────────────────────────────────────────────────────────────


def on_append(state: State, message: Message) -> None:
    log = state.log
    if message.index < log.commit:
        state.send("append-response", message.from_, index=log.commit)  # an old message
    elif log.matches(message.index, message.log_term):
        last = message.index + len(message.entries)
        log.merge(message.entries)
        log.commit_to(min(message.commit, last))
        state.send("append-response", message.from_, index=last)  # leaves once the entries are on disk
    else:
        hint, term = log.conflict_hint(message.index, message.log_term)
        state.send("append-response", message.from_, index=message.index, reject=True, reject_hint=hint, log_term=term)
