"""The words of Raft: what stands in the log, what travels between members, what a member hands to its owner.

    Message ─► RaftNode ─► Ready: entries + hard state (to disk) │ messages (to the others) │ committed (to apply)

Invariant: every value here is immutable; bytes are opaque to Raft.
Models:    etcd-io/raft's raftpb and Ready; Ongaro's dissertation, figure 3.1
Left out:  joint consensus (section 4.3): members change one at a time
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from kubelab.control_plane.etcd.raft.roles import Role

NOBODY = 0  # a member's id is positive; 0 says "no leader known", "no vote given"

EntryKind = Literal["normal", "config"]
MessageType = Literal["pre-vote", "pre-vote-response", "vote", "vote-response", "append", "append-response",
                      "heartbeat", "heartbeat-response", "snapshot", "timeout-now", "read-index", "read-index-response"]


class Entry(NamedTuple):
    """One place in the log. A leader begins its term with a "normal" entry without data: there is nothing to apply."""

    term: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    kind: EntryKind = "normal"
    data: bytes = b""


class HardState(NamedTuple):
    """What a member must know again after a crash (section 3.8). `commit` may lag: it only saves time."""

    term: int = 0
    vote: int = NOBODY
    commit: int = 0


class ConfState(NamedTuple):
    """Who belongs to the cluster: voters form quorums, learners only receive the log (section 4.2.1)."""

    voters: frozenset[int] = frozenset()
    learners: frozenset[int] = frozenset()


class SnapshotMeta(NamedTuple):
    """A snapshot holds everything up to `index`, whose entry had this `term`; `conf` are the members at that point."""

    index: int  # type: ignore[assignment]
    term: int
    conf: ConfState


class Snapshot(NamedTuple):
    meta: SnapshotMeta
    data: bytes = b""


class Message(NamedTuple):
    """One type for all messages; what a field means depends on `type`.

    | type | fields beside to, from_, term |
    |---|---|
    | pre-vote, vote | index, log_term: the end of the candidate's log; context: b"transfer" overrules the lease |
    | append | index, log_term: the entry before `entries`; commit |
    | append-response | index: the last that agrees, or, rejected, the one asked for; reject_hint, log_term: try |
    | heartbeat | commit; context: the number of the newest read |
    | snapshot | snapshot; Raft leaves its data empty, the owner of the leader fills them in |
    | read-index, read-index-response | context: the reader's; index |
    """

    type: MessageType
    to: int
    from_: int
    term: int = 0
    log_term: int = 0
    index: int = 0  # type: ignore[assignment]
    entries: tuple[Entry, ...] = ()
    commit: int = 0
    reject: bool = False
    reject_hint: int = 0
    context: bytes = b""
    snapshot: Snapshot | None = None


class SoftState(NamedTuple):
    """What an observer wants to know and nobody needs to store."""

    leader: int
    role: Role


class ReadState(NamedTuple):
    """The read that was asked for with `context` may be answered by whoever has applied `index` (section 6.4)."""

    index: int  # type: ignore[assignment]
    context: bytes


class Ready(NamedTuple):
    """What the owner has to do, in this order, before it calls `advance`:

    1. put `snapshot`, then `entries` and `hard`, on disk, with an fsync if `must_sync`; entries replace those that
       stand at or after the index of the first of them
    2. send `messages` (never before 1: a vote or an acknowledgement is a promise), answer `reads` once applied
    3. restore the state machine from `snapshot`, apply `committed`, call `apply_conf` for each "config" entry

    The owner may step other messages meanwhile.
    """

    soft: SoftState | None
    hard: HardState | None
    entries: tuple[Entry, ...]
    snapshot: Snapshot | None
    committed: tuple[Entry, ...]
    messages: tuple[Message, ...]
    reads: tuple[ReadState, ...]
    must_sync: bool


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Settings of one member. An election time-out is drawn from [election_ticks, 2 * election_ticks)."""

    id: int
    election_ticks: int = 10
    heartbeat_ticks: int = 1
    pre_vote: bool = True
    check_quorum: bool = True
    max_inflight: int = 256  # append messages on their way to one follower
    max_append_bytes: int = 1 << 20  # entries' data in one append message; one entry always fits
    random: random.Random = field(default_factory=random.Random)


class NotLeader(Exception):
    """Only a leader can do this; `leader` is the one to ask, 0 if none is known."""

    def __init__(self, leader: int) -> None:
        super().__init__(f"this member is not the leader; {f'member {leader} is' if leader else 'no leader is known'}")
        self.leader = leader


class Dropped(Exception):
    """The leader cannot take this now; nothing was put into the log. The message says why: try again later."""


def data_bytes(entries: Sequence[Entry]) -> int:
    return sum(len(entry.data) for entry in entries)
