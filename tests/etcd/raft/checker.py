"""What must hold of a cluster of RaftNodes after every step, watched from outside.

    after each step of a member ─► Checker.look(member)        after each write to its disk ─► Checker.stored(...)

    election safety       at most one leader a term, one vote a member and term
    leader append-only    a leader's log only grows
    log matching          equal index and term: equal entry, and equal entry before it
    leader completeness   a leader's log holds what was committed in earlier terms
    state machine safety  whoever commits or applies an index has the same entry there
    durability            what a leader commits is on the disks of a majority
    monotonic commit      commit and applied never go back while a member runs
    linearizable reads    a read's index is not below anything committed anywhere when it was asked

Invariant: every check is incremental (each entry is looked at once a member), so that it can run after every step.
Models:    figure 3.2 of the dissertation
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubelab.control_plane.etcd.raft import ConfState, Entry, Message, RaftNode, ReadState
from kubelab.control_plane.etcd.raft.quorum import majority

if TYPE_CHECKING:
    from tests.etcd.raft.simulator import Member


class Violation(AssertionError):
    """A safety property does not hold."""


class Checker:
    def __init__(self, conf: ConfState) -> None:
        first = Entry(1, 1)  # stands for the snapshot that founders begin with
        self.leaders: dict[int, int] = {}  # term -> its leader
        self.votes: dict[tuple[int, int], int] = {}  # (member, term) -> whom it voted for
        self.written = {(1, 1): (first, 0)}  # (index, term) -> entry, term before it
        self.truth: list[Entry | None] = [None, first]  # committed entries by index
        self.commits: list[tuple[int, int]] = [(1, 1)]  # (committed in term, up to index), rising
        self.digests: list[int] = [0, 0]  # of the state after applying an index
        self.floors: dict[bytes, int] = {}  # reads: what was committed when they were asked
        self.reads_answered = 0

    @property
    def committed(self) -> int:
        return len(self.truth) - 1

    # ── after a step ─────────────────────────────────────────────────────────────────────────────────────────

    def look(self, member: Member) -> None:
        node, log = member.node, member.node.log
        assert node is not None
        if log.commit != member.seen_commit:
            self._commit(member, node)
        if node.role == "leader":
            self._leader(member, node)
        else:
            member.led = None

    def _leader(self, member: Member, node: RaftNode) -> None:
        log = node.log
        if member.led is None or member.led[0] != node.term:
            other = self.leaders.setdefault(node.term, node.id)
            if other != node.id:
                raise Violation(f"election safety: term {node.term} has leaders {other} and {node.id}")
            self._completeness(node)
        else:
            _, last, last_term = member.led
            if log.last < last or log.term_at(last) not in (last_term, None):
                raise Violation(f"leader append-only: {node.id} changed its log up to {last} in term {node.term}")
        member.led = (node.term, log.last, log.last_term)

    def _completeness(self, node: RaftNode) -> None:
        for term, index in reversed(self.commits):
            if term < node.term:
                have, want = node.log.term_at(index), self.truth[index]
                assert want is not None
                if have != want.term and index > node.log.snapshot.index:
                    raise Violation(f"leader completeness: {node.id} leads term {node.term} without entry {index}, "
                                    f"which was committed in term {term}")
                return

    def _commit(self, member: Member, node: RaftNode) -> None:
        log, old = node.log, member.seen_commit
        if log.commit < old:
            raise Violation(f"monotonic commit: {node.id} went back from {old} to {log.commit}")
        member.seen_commit = log.commit
        for entry in log.slice(max(old + 1, log.first), log.commit):
            if entry.index > self.committed:
                self.truth.append(entry)
                self.digests.append(hash((self.digests[-1], entry.term, entry.data)))
            elif self.truth[entry.index] != entry:
                raise Violation(f"state machine safety: {node.id} commits {entry}, not {self.truth[entry.index]}")
        if self.commits[-1][1] < self.committed:
            self.commits.append((node.term, self.committed))
            if node.role == "leader":
                self._durability(member, node)

    def _durability(self, member: Member, node: RaftNode) -> None:
        index, term = node.commit, node.log.term_at(node.commit) or 0
        disks = {other.id: other.disk for other in member.cluster.values() if other.id in node.conf.voters}
        lacking = [id_ for id_, disk in disks.items() if not disk.has(index, term)]
        if (have := len(disks) - len(lacking)) < majority(disks):
            raise Violation(f"durability: {node.id} commits {index} on {have} of {len(disks)} disks")
        for id_ in lacking:  # figure 3.7: a majority has it, and still another can be elected that has not
            votes = sum(1 for disk in disks.values() if disks[id_].end >= disk.end)
            if votes >= majority(disks):
                raise Violation(f"leader completeness: {node.id} commits {index} in term {node.term}, "
                                f"and {id_} could be elected without it")

    # ── as a Ready is worked on ──────────────────────────────────────────────────────────────────────────────

    def stored(self, member: Member, entries: tuple[Entry, ...]) -> None:
        disk = member.disk
        before = disk.term_at(entries[0].index - 1) if entries else 0
        for entry in entries:
            known = self.written.setdefault((entry.index, entry.term), (entry, before))
            if known != (entry, before):
                raise Violation(f"log matching: {member.id} has {entry} after term {before}, another has {known}")
            before = entry.term

    def sent(self, message: Message) -> None:
        if message.type == "vote" or (message.type == "vote-response" and not message.reject):
            voter, candidate = message.from_, message.to if message.type == "vote-response" else message.from_
            before = self.votes.setdefault((voter, message.term), candidate)
            if before != candidate:
                raise Violation(f"election safety: {voter} voted for {before} and {candidate} in term {message.term}")

    def applied(self, member: Member, entry: Entry) -> None:
        if entry.index != member.applied + 1:
            raise Violation(f"state machine safety: {member.id} applies {entry.index} after {member.applied}")
        if entry.index > self.committed or self.truth[entry.index] != entry:
            raise Violation(f"state machine safety: {member.id} applies {entry}, which is not what was committed")

    def restored(self, member: Member, index: int, digest: int) -> None:
        if index <= member.applied:
            raise Violation(f"monotonic commit: {member.id} restores {index}, having applied {member.applied}")
        if index > self.committed or self.digests[index] != digest:
            raise Violation(f"state machine safety: {member.id} restores another state than was committed at {index}")

    def asked(self, context: bytes) -> None:
        self.floors[context] = self.committed

    def answered(self, read: ReadState) -> None:
        self.reads_answered += 1
        if read.index < self.floors[read.context]:
            raise Violation(f"linearizable reads: one may be answered at {read.index}, but before it was asked "
                            f"{self.floors[read.context]} was committed")
