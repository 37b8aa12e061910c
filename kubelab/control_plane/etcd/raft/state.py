"""The state of one member, and the few moves that every part of the algorithm makes.

    terms.py  election.py  replication.py  liveness.py  read_index.py  membership.py  transfer.py  snapshots.py
        └─────────┴─────────────┴──────────────┴────── State ───────────────┴───────────┴────────────┘
                                                 outbox, reads ─► node.py

Invariants: `term` never goes back; `vote` changes only from nobody to somebody, or with a new term;
            `progress` is full for a leader and empty for everyone else.
Models:     the struct `raft` of etcd-io/raft; the state in the dissertation's figure 3.1
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from kubelab.control_plane.etcd.raft.log import RaftLog
from kubelab.control_plane.etcd.raft.progress import Progress
from kubelab.control_plane.etcd.raft.roles import TRANSITIONS, Happening, Role
from kubelab.control_plane.etcd.raft.types import (
    NOBODY,
    ConfState,
    HardState,
    Message,
    MessageType,
    RaftConfig,
    ReadState,
)


class Read(NamedTuple):
    """A read that waits for the proof that its leader still leads."""

    number: int
    index: int  # type: ignore[assignment]
    reader: int
    context: bytes


class State:
    def __init__(self, config: RaftConfig, hard: HardState, conf: ConfState, log: RaftLog) -> None:
        self.config, self.id, self.log, self.conf = config, config.id, log, conf
        # on disk before any message that depends on them leaves
        self.term, self.vote = max(hard.term, log.last_term), hard.vote
        # known, not stored
        self.role: Role = "learner" if self.id in conf.learners else "follower"
        self.leader = NOBODY
        self.votes: dict[int, bool] = {}  # candidates: the answers so far
        # ticks
        self.election_elapsed = 0  # since a leader was heard or a vote given; a leader: since the quorum was checked
        self.heartbeat_elapsed = 0
        self.time_out = 0
        # leaders only
        self.progress: dict[int, Progress] = {}
        self.pending_conf = 0  # the index of the newest change of the members that may not be applied yet
        self.transferee = NOBODY
        self.retires_at = 0  # a leader that was removed: the entry whose commit lets it step down
        self.heartbeat_due = False
        self.read_number = 0
        self.waiting_reads: deque[Read] = deque()
        self.early_reads: list[tuple[int, bytes]] = []  # asked before anything of this term was committed
        self.reads_heard: dict[int, int] = {}  # member -> the newest read number it has answered
        # for the next Ready
        self.outbox: list[Message] = []
        self.read_states: list[ReadState] = []
        self.draw_time_out()

    def turn(self, happening: Happening) -> None:
        self.role = TRANSITIONS[self.role][happening]

    def send(self, type_: MessageType, to: int, *, term: int | None = None, **fields: Any) -> None:
        """Put a message of this term, unless told otherwise, into the outbox."""
        self.outbox.append(Message(type_, to, self.id, self.term if term is None else term, **fields))

    def draw_time_out(self) -> None:
        """Wait anew, for a time of one's own: so that rarely two stand at once (section 3.4)."""
        self.election_elapsed = 0
        self.time_out = self.config.election_ticks + self.config.random.randrange(self.config.election_ticks)

    def start_over(self, leader: int) -> None:
        """Forget what belonged to the role so far."""
        self.leader, self.votes, self.progress = leader, {}, {}
        self.heartbeat_elapsed, self.heartbeat_due = 0, False
        self.transferee, self.pending_conf, self.retires_at, self.read_number = NOBODY, 0, 0, 0
        self.waiting_reads, self.early_reads, self.reads_heard = deque(), [], {}
        self.draw_time_out()

    def enter_term(self, term: int) -> None:
        """Begin a later term, with the vote not given."""
        assert term > self.term
        self.term, self.vote = term, NOBODY

    def follow(self, leader: int) -> None:
        """Be a follower in this term, of a leader that may not be known yet."""
        self.turn("follows")
        self.start_over(leader)

    def belong(self, conf: ConfState) -> None:
        """Be what these members say that this one is."""
        self.conf = conf
        if self.id in conf.learners:
            if self.role != "learner":
                self.turn("made a learner")
        elif self.role == "learner":
            self.turn("promoted" if self.id in conf.voters else "removed")
        elif self.role in ("pre-candidate", "candidate") and self.id not in conf.voters:
            self.retire()

    def retire(self) -> None:
        self.turn("removed")
        self.start_over(NOBODY)

    @property
    def has_committed_in_term(self) -> bool:
        """Only then a leader knows which entries are committed (sections 3.6.2 and 6.4)."""
        return self.log.term_at(self.log.commit) == self.term

    @property
    def in_lease(self) -> bool:
        """Tell whether a leader was heard less than the shortest election time-out ago (section 4.2.3)."""
        return (self.config.check_quorum and self.leader != NOBODY
                and self.election_elapsed < self.config.election_ticks)

    @property
    def followers(self) -> list[tuple[int, Progress]]:
        """Everyone a leader sends to."""
        return [(member, progress) for member, progress in self.progress.items() if member != self.id]
