"""RaftNode: one member of the consensus, as a machine that its owner turns.

    tick, step(message), propose ─► RaftNode ─► ready(): what to store, send, apply ─► the owner does ─► advance(ready)

    no disk, no network, no clock, no threads in here: the same inputs and the same random.Random give the same outputs

Invariants: one Ready at a time; what a Ready asks to store counts as stored only after `advance`.
Models:     etcd-io/raft's RawNode
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kubelab.control_plane.etcd.raft import (
    election,
    liveness,
    membership,
    read_index,
    replication,
    snapshots,
    terms,
    transfer,
)
from kubelab.control_plane.etcd.raft.log import RaftLog
from kubelab.control_plane.etcd.raft.progress import Progress
from kubelab.control_plane.etcd.raft.roles import Role
from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.types import (
    ConfState,
    Entry,
    HardState,
    Message,
    MessageType,
    NotLeader,
    RaftConfig,
    Ready,
    SnapshotMeta,
    SoftState,
)

Handler = Callable[[State, Message], None]

_ASKED: Mapping[MessageType, Handler] = {"vote": election.on_vote, "pre-vote": election.on_vote}
_FOLLOWING: Mapping[MessageType, Handler] = {
    **_ASKED,
    "append": replication.on_append,
    "heartbeat": liveness.on_heartbeat,
    "snapshot": snapshots.on_snapshot,
    "timeout-now": election.on_timeout_now,
    "read-index-response": read_index.on_read_index_response,
}
HANDLERS: Mapping[Role, Mapping[MessageType, Handler]] = {  # what is not here, a role does not listen to
    "follower": _FOLLOWING,
    "learner": _FOLLOWING,
    "pre-candidate": {**_ASKED, "pre-vote-response": election.on_pre_vote_response},
    "candidate": {**_ASKED, "vote-response": election.on_vote_response},
    "leader": {
        **_ASKED,
        "append-response": replication.on_append_response,
        "heartbeat-response": liveness.on_heartbeat_response,
        "read-index": read_index.on_read_index,
    },
}


class RaftNode:
    """One member. To restart it, construct it again from what its owner has stored.

    `conf` are the members as of `applied`; `entries` those after `snapshot`. Founders of a cluster all begin with the
    same `snapshot=SnapshotMeta(1, 1, conf)`; a member that joins begins with nothing at all, cannot disturb anyone,
    and learns from the leader's first snapshot who the members are.
    """

    def __init__(self, config: RaftConfig, hard: HardState | None = None, conf: ConfState | None = None,
                 snapshot: SnapshotMeta | None = None, entries: Sequence[Entry] = (), applied: int = 0) -> None:
        conf, hard = conf or ConfState(), hard or HardState()
        log = RaftLog(snapshot or SnapshotMeta(0, 0, conf), entries, hard.commit, applied)
        self._state = State(config, hard, conf, log)
        self._told_soft = SoftState(self._state.leader, self._state.role)
        self._told_hard = HardState(hard.term, hard.vote, log.commit)
        self._outstanding: Ready | None = None

    # ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        liveness.tick(self._state)

    def step(self, message: Message) -> None:
        """Take a message from another member; lost, repeated, late and reordered ones do no harm."""
        state = self._state
        if not terms.admit(state, message):
            return
        if message.type in terms.FROM_LEADER and state.role != "leader":
            if state.role in ("pre-candidate", "candidate"):
                state.follow(message.from_)  # another won this term
            state.leader, state.election_elapsed = message.from_, 0
        handler = HANDLERS[state.role].get(message.type)
        if handler is not None:
            handler(state, message)

    def propose(self, data: bytes) -> int:
        """Put data into the log and return its index; it is not committed yet. Raises NotLeader, Dropped."""
        if self._state.role != "leader":
            raise NotLeader(self._state.leader)
        transfer.check(self._state)
        return replication.append(self._state, "normal", data)

    def propose_conf(self, change: membership.ConfChange) -> int:
        """Put a change of the members into the log and return its index. Raises NotLeader, Dropped."""
        return membership.propose(self._state, change)

    def read_index(self, context: bytes) -> None:
        """Ask from which index on a read is up to date; if `Ready.reads` never answers, ask again. Raises NotLeader."""
        read_index.ask(self._state, context)

    def transfer_leader(self, to: int) -> None:
        """Hand the leadership to a voter. Raises NotLeader, Dropped."""
        transfer.transfer_leader(self._state, to)

    def campaign(self) -> None:
        """Stand for election now, as if the time-out had passed."""
        election.campaign(self._state)

    def apply_conf(self, change: membership.ConfChange) -> ConfState:
        """Apply a committed change, in the log's order, and return the members after it."""
        return membership.apply(self._state, change)

    def compact(self, index: int, conf: ConfState) -> None:
        """Forget entries up to `index`, which the owner has in a snapshot. Raises ValueError if not yet applied."""
        snapshots.compact(self._state, index, conf)

    def report_unreachable(self, member: int) -> None:
        """Note that messages to a member were lost: send one at a time until it answers."""
        progress = self._state.progress.get(member)
        if progress is not None and progress.state == "replicate" and member != self._state.id:
            progress.become_probe()

    def report_snapshot(self, member: int, ok: bool) -> None:
        """Note whether a snapshot was delivered; every "snapshot" message needs one such report."""
        snapshots.report(self._state, member, ok)

    # ── outputs ──────────────────────────────────────────────────────────────────────────────────────────────

    def has_ready(self) -> bool:
        """Tell whether `ready` has anything; never while a Ready is outstanding."""
        if self._outstanding is not None:
            return False
        self._gather()
        state, log = self._state, self._state.log
        return bool(state.outbox or state.read_states or log.stable < log.last or log.applied < log.commit
                    or log.pending is not None or self._hard() != self._told_hard
                    or SoftState(state.leader, state.role) != self._told_soft)

    def ready(self) -> Ready:
        """Return everything that is to be done now. Its owner does it, then calls `advance`."""
        assert self._outstanding is None, "advance the last Ready first"
        self._gather()
        state, log = self._state, self._state.log
        soft, hard = SoftState(state.leader, state.role), self._hard()
        entries = log.slice(log.stable + 1, log.last)
        committed = () if log.pending is not None else log.slice(log.applied + 1, log.commit)
        ready = Ready(
            soft=soft if soft != self._told_soft else None,
            hard=hard if hard != self._told_hard else None,
            entries=entries,
            snapshot=log.pending,
            committed=committed,
            messages=tuple(state.outbox),
            reads=tuple(state.read_states),
            must_sync=bool(entries or log.pending or hard[:2] != self._told_hard[:2]),
        )
        self._told_soft, self._told_hard = soft, hard
        state.outbox, state.read_states = [], []
        self._outstanding = ready
        return ready

    def advance(self, ready: Ready) -> None:
        """Note that a Ready is stored, sent and applied."""
        assert ready is self._outstanding
        self._outstanding = None
        log = self._state.log
        if ready.snapshot is not None:
            log.applied = max(log.applied, ready.snapshot.meta.index)
            if log.pending is ready.snapshot:
                log.pending = None
        if ready.entries:
            log.stable_to(ready.entries[-1].index, ready.entries[-1].term)
        if ready.committed:
            log.applied = max(log.applied, ready.committed[-1].index)
        replication.stored_here(self._state)  # a leader's own entries count from now on

    def _gather(self) -> None:
        if self._state.role == "leader":
            replication.flush(self._state)
            if self._state.heartbeat_due:
                liveness.send_heartbeats(self._state)

    def _hard(self) -> HardState:
        return HardState(self._state.term, self._state.vote, self._state.log.commit)

    # ── what an observer may see ─────────────────────────────────────────────────────────────────────────────

    @property
    def id(self) -> int:
        return self._state.id

    @property
    def role(self) -> Role:
        return self._state.role

    @property
    def term(self) -> int:
        return self._state.term

    @property
    def leader(self) -> int:
        """The id of the leader of this term, 0 if not known."""
        return self._state.leader

    @property
    def vote(self) -> int:
        """The id of whom this member voted for in this term, 0 for nobody."""
        return self._state.vote

    @property
    def commit(self) -> int:
        return self._state.log.commit

    @property
    def applied(self) -> int:
        return self._state.log.applied

    @property
    def conf(self) -> ConfState:
        return self._state.conf

    @property
    def log(self) -> RaftLog:
        """The log, to be read only."""
        return self._state.log

    def progress(self) -> dict[int, Progress]:
        """What a leader knows of each member, itself included; empty for everyone else."""
        return dict(self._state.progress)
