"""One member that is its whole cluster: the calls about members and maintenance, where there is no consensus.

    EmbeddedEtcd(Single) ─► its own leader, term 1, the log's index is the revision

Invariant: nothing here changes a key.
Models:    etcdserver's Cluster and Maintenance calls on a cluster of one
Left out:  other members
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence

from kubelab.control_plane.etcd.api import Range, RangeResult
from kubelab.control_plane.etcd.errors import BadTransferee, MemberNotFound, MemberNotLearner, NotClustered
from kubelab.control_plane.etcd.keyspace import Keyspace
from kubelab.control_plane.etcd.server_api import Alarm, Identity, MemberInfo, ServerStatus


def id_of(name: str) -> int:
    """Return the 64-bit id of a cluster or a member: always the same for the same name, never 0."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") | 1


class Single(Keyspace):
    """What EmbeddedEtcd is besides a keyspace."""

    identity = Identity(id_of("kubelab"), id_of("kubelab/default"), 1)
    has_leader = True
    _client_urls: Sequence[str] = ()
    _alarms: frozenset[Alarm] = frozenset()

    @abstractmethod
    async def _durable(self) -> None:
        """Wait until everything that can be read is on disk."""

    def _me(self) -> MemberInfo:
        return MemberInfo(self.identity.member_id, "default", (), tuple(self._client_urls))

    def advertise(self, client_urls: Sequence[str]) -> None:
        self._client_urls = client_urls

    async def read(self, query: Range) -> RangeResult:
        self._check()
        result = self._store.read(query)
        await self._durable()  # a reader on the wire outlives this process, and must not have seen what then is lost
        return result

    # ── maintenance ──────────────────────────────────────────────────────────────────────────────────────────

    async def status(self) -> ServerStatus:
        self._check()
        total, live = self._store.size_bytes()
        revision = self._store.revision
        return ServerStatus(total, live, self.identity.member_id, revision, revision, self.identity.raft_term,
                            errors=[f"memberID:{a.member} alarm:{a.kind} " for a in sorted(self._alarms)])

    async def alarms(self) -> list[Alarm]:
        return sorted(self._alarms)

    async def alarm_set(self, alarm: Alarm, active: bool) -> list[Alarm]:
        alarm = Alarm(alarm.member or self.identity.member_id, alarm.kind)
        if alarm.member != self.identity.member_id or (alarm in self._alarms) == active:
            return []
        self._alarms ^= {alarm}
        return [alarm]

    async def move_leader(self, member: int) -> None:
        if member != self.identity.member_id:
            raise BadTransferee

    # ── members ──────────────────────────────────────────────────────────────────────────────────────────────

    async def member_list(self, *, linearizable: bool = True) -> list[MemberInfo]:
        self._check()
        return [self._me()]

    async def member_add(self, peer_urls: Sequence[str], *, learner: bool = False) -> MemberInfo:
        raise NotClustered

    async def member_remove(self, member: int) -> None:
        self._known(member)
        raise NotClustered

    async def member_update(self, member: int, peer_urls: Sequence[str]) -> None:
        self._known(member)
        raise NotClustered

    async def member_promote(self, member: int) -> None:
        self._known(member)
        raise MemberNotLearner

    def _known(self, member: int) -> None:
        if member != self.identity.member_id:
            raise MemberNotFound
