"""What the wire needs of an etcd besides its keys: who the members are, how they are, and their upkeep.

    etcdctl ─► wire/ ─► EtcdServer ─┬─ EmbeddedEtcd   one member, no consensus (single.py)
                                    └─ a group of members

Invariant: every value here is immutable; ids are of 64 bits and never 0.
Models:    etcdserverpb's Cluster and Maintenance services
Left out:  downgrades
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from kubelab.control_plane.etcd.api import EtcdApi, Range, RangeResult

VERSION = "3.5.16"  # the etcd whose protocol and checks these are; a kube-apiserver asks, to know what it may use


class Identity(NamedTuple):
    """Who answers: stands in the header of every answer."""

    cluster_id: int
    member_id: int
    raft_term: int


class MemberInfo(NamedTuple):
    """One member as its cluster knows it; `name` is empty until it has started for the first time."""

    id: int
    name: str
    peer_urls: Sequence[str] = ()
    client_urls: Sequence[str] = ()
    learner: bool = False


class ServerStatus(NamedTuple):
    """How the member that answers is. Sizes in bytes; `leader` is 0 when it knows of none."""

    db_size: int
    db_size_in_use: int
    leader: int
    raft_index: int
    raft_applied_index: int
    raft_term: int
    learner: bool = False
    errors: Sequence[str] = ()
    version: str = VERSION


class Hash(NamedTuple):
    """A checksum of the history up to `revision`; members that agree on it hold the same data."""

    value: int
    revision: int
    compact_revision: int


AlarmKind = Literal["NOSPACE", "CORRUPT"]


class Alarm(NamedTuple):
    member: int
    kind: AlarmKind


class EtcdServer(EtcdApi, Protocol):
    """An etcd that can be put on the wire."""

    @property
    def identity(self) -> Identity: ...

    @property
    def has_leader(self) -> bool:
        """Say whether the member that answers knows of a leader."""
        ...

    def advertise(self, client_urls: Sequence[str]) -> None:
        """Say to other members, and in the list of members, where clients find this one."""
        ...

    @property
    def watched_revision(self) -> int:
        """The newest revision that every watch has been told of."""
        ...

    async def read(self, query: Range) -> RangeResult:
        """Read with every option of a Range. Raises Compacted, FutureRevision."""
        ...

    async def lease_list(self) -> list[int]: ...

    async def status(self) -> ServerStatus: ...

    async def hash_kv(self, revision: int = 0) -> Hash:
        """Return the checksum as of `revision` (0: now). Raises Compacted, FutureRevision."""
        ...

    async def snapshot(self) -> bytes:
        """Return the whole state as bytes from which a new store can begin (see snapshot_file.py)."""
        ...

    async def defragment(self) -> None:
        """Give back what compaction freed."""
        ...

    async def alarms(self) -> list[Alarm]: ...

    async def alarm_set(self, alarm: Alarm, active: bool) -> list[Alarm]:
        """Raise or disarm an alarm (member 0: of every member); return those that this changed."""
        ...

    async def move_leader(self, member: int) -> None:
        """Hand the leadership to another member. Raises NotLeader, BadTransferee."""
        ...

    async def member_list(self, *, linearizable: bool = True) -> list[MemberInfo]: ...

    async def member_add(self, peer_urls: Sequence[str], *, learner: bool = False) -> MemberInfo:
        """Raises PeerUrlExists, NotEnoughStarted, TooManyLearners."""
        ...

    async def member_remove(self, member: int) -> None:
        """Raises MemberNotFound, NotEnoughStarted."""
        ...

    async def member_update(self, member: int, peer_urls: Sequence[str]) -> None:
        """Raises MemberNotFound, PeerUrlExists."""
        ...

    async def member_promote(self, member: int) -> None:
        """Make a learner a voter. Raises MemberNotFound, MemberNotLearner, LearnerNotReady."""
        ...
