"""A member's upkeep: who it is, its place in the list of members, its status and alarms, the handing over of the lead.

    advertise ─► Publish, offered until the log has it          move_leader ─► asked of the core until the other leads

Invariant: nothing here is answered by another member.
Models:    etcdserver's publish, MoveLeader and the Maintenance calls about one member
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

from kubelab.client.component import Component
from kubelab.control_plane.etcd.errors import BadTransferee, EtcdError, NoLeader, NotLeader
from kubelab.control_plane.etcd.members.commands import Command, Publish
from kubelab.control_plane.etcd.members.machine import Machine
from kubelab.control_plane.etcd.members.proposals import REQUEST_S, Pending
from kubelab.control_plane.etcd.members.replica import Replica, Settings
from kubelab.control_plane.etcd.members.serving import Served
from kubelab.control_plane.etcd.raft import NOBODY, Entry
from kubelab.control_plane.etcd.server_api import Alarm, Identity, MemberInfo, ServerStatus
from kubelab.machinery.clock import Clock


class Kept(Served, Component):
    """What a member does about itself alone."""

    me: MemberInfo
    _machine: Machine
    _replica: Replica
    _clock: Clock
    _settings: Settings
    _wake: asyncio.Event
    _going: asyncio.Event
    _client_urls: Sequence[str] | None
    _cluster_id: int

    @abstractmethod
    def pend(self, command: Command) -> Pending:
        """Return a command as a request with an id of its own."""

    @abstractmethod
    async def _carried(self, pending: Pending) -> Any:
        """Return the result of a command once it is applied here. Raises EtcdError."""

    @property
    def identity(self) -> Identity:
        return Identity(self._cluster_id, self.me.id, self._replica.node.term)

    @property
    def role(self) -> str:
        return self._replica.node.role

    @property
    def has_leader(self) -> bool:
        return self._up and self.leader != NOBODY

    @property
    def leader(self) -> int:
        """The id of the leader, 0 when this member knows of none."""
        return self._replica.node.leader

    @property
    def replica(self) -> Replica:
        """The Raft core and the machine, to be looked at."""
        return self._replica

    def tail(self, count: int) -> Sequence[Entry]:
        """Return the last entries of this member's log."""
        log = self._replica.node.log
        return log.slice(max(log.first, log.last - count + 1), log.last)

    def advertise(self, client_urls: Sequence[str]) -> None:
        self._client_urls = tuple(client_urls)
        self.spawn(partial(self._publish, self._client_urls), name="publish")

    async def _publish(self, client_urls: Sequence[str]) -> None:
        """Tell the others name and address, as soon as there is a leader."""
        while client_urls is self._client_urls:
            known = self._machine.members.get(self.me.id)
            if known is not None and (known.name, known.client_urls) == (self.me.name, client_urls):
                return
            try:
                if known is None:  # who joins learns first of all that it did
                    raise NoLeader
                await self._carried(self.pend(Publish(self.me.id, self.me.name, client_urls)))
            except EtcdError:
                await self._clock.sleep(self._settings.tick_s * self._settings.election_ticks)

    async def status(self) -> ServerStatus:
        await self._going.wait()
        self._check()
        node, alarms = self._replica.node, self._machine.alarms
        total, live = self._store.size_bytes()
        return ServerStatus(total, live, node.leader, node.commit, node.applied, node.term, node.role == "learner",
                            [*(f"memberID:{a.member} alarm:{a.kind} " for a in sorted(alarms)),
                             *(["etcdserver: no leader"] if node.leader == NOBODY else [])])

    async def alarm_set(self, alarm: Alarm, active: bool) -> list[Alarm]:
        if active and not alarm.member:
            alarm = alarm._replace(member=self.me.id)
        return await super().alarm_set(alarm, active)

    async def move_leader(self, member: int) -> None:
        self._check()
        node = self._replica.node
        if node.role != "leader":
            raise NotLeader
        if member not in node.conf.voters:
            raise BadTransferee
        began, asked = self._clock.monotonic(), float("-inf")
        while node.leader != member:
            now = self._clock.monotonic()
            if now > began + REQUEST_S:
                raise EtcdError("etcdserver: request timed out, leader transfer took too long")
            if node.role == "leader" and now - asked > 2 * self._settings.election_ticks * self._settings.tick_s:
                asked = now  # again: after an election time-out the core goes on leading, for its clients' sake
                node.transfer_leader(member)
                self._wake.set()
            await self._clock.sleep(self._settings.tick_s)
