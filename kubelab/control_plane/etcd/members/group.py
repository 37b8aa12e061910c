"""Several members in this process as one etcd: it follows their leader, and lets each of them be broken and mended.

    API server ─► EtcdGroup ─► the member that leads ─► Raft ─► every member applies ─┬─ first to apply ─► the answer
                     │                                                                └─ first to apply ─► watches
                     └─ kill · pause · slow_disk · partition ─► the next leader takes over what is unanswered

Invariant: a watch sees each revision once, in order, whichever members live; a request is carried out at most once,
           however many members it went through.
Models:    etcd's clientv3 over several members, with etcd's functional tester
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from kubelab.control_plane.etcd.api import Compacted, OnEvents, OnLost, OnProgress
from kubelab.control_plane.etcd.errors import LeaderChanged, TooManyRequests, Unavailable
from kubelab.control_plane.etcd.history import Change
from kubelab.control_plane.etcd.members.breaking import Breakable, url_of
from kubelab.control_plane.etcd.members.commands import Command
from kubelab.control_plane.etcd.members.machine import Machine
from kubelab.control_plane.etcd.members.member import MAX_PENDING, Member
from kubelab.control_plane.etcd.members.network import Network, Way
from kubelab.control_plane.etcd.members.proposals import Pending, Waiting, settle
from kubelab.control_plane.etcd.members.replica import Settings
from kubelab.control_plane.etcd.members.storage import Disk, Memory, SlowDisk, recall, remember
from kubelab.control_plane.etcd.raft import ConfChange
from kubelab.control_plane.etcd.raft.types import SoftState
from kubelab.control_plane.etcd.server_api import Alarm, Identity, MemberInfo, ServerStatus
from kubelab.control_plane.etcd.single import id_of
from kubelab.control_plane.etcd.watch import Watcher, WatchHub
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal

RECENT = 1_000  # transactions that a watch can begin from though no living member has applied them yet
CLUSTER_ID = id_of("kubelab")
log = logging.getLogger("kubelab")


class EtcdGroup(Breakable):
    """An etcd of `size` members, in memory or each in a folder of `data_dir`. Members are named m0, m1, ..."""

    def __init__(self, size: int, data_dir: Path | None, clock: Clock, *, journal: Journal | None = None,
                 settings: Settings = Settings(), network: Network | None = None) -> None:  # noqa: B008 - immutable
        super().__init__("etcd")
        self.size, self.data_dir, self._clock, self._settings = size, data_dir, clock, settings
        self._journal, self.network = journal, network or Network()
        self._waiting, self._hub = Waiting(), WatchHub(0)
        self._proofs: dict[asyncio.Future[None], None] = {}  # what readers wait for, in the order in which they came
        self._recent: deque[tuple[int, list[Change]]] = deque(maxlen=RECENT)
        self._all: list[Member] = []
        self._disks: dict[str, SlowDisk] = {}
        self._current: Member | None = None  # who gets the requests
        self._term = 0  # of the newest leader
        self._known: Sequence[MemberInfo] = ()
        self._members_changed = asyncio.Event()
        self._sides: list[list[int]] = []
        self.listeners: list[Callable[[], object]] = []  # called when a member starts or ends

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def setup(self) -> None:
        """Start every member and wait until they have a leader. Raises DataDirInUse, CorruptLog."""
        self.network.on_members = self._members
        if not self._all:
            self._found()
        await asyncio.gather(*(member.start() for member in self._all))
        self._hub.published = max(self._hub.published, *(member.revision for member in self._all))
        best = max(self._all, key=lambda member: (member.replica.node.log.last_term, member.replica.node.log.last))
        self._go_to(best)
        best.campaign()
        self._up = True
        machine = await self.confirm()
        for member in [member for member in self._all if member.me.id in machine.gone]:
            await self._retire(member)  # we ended before it was

    def _found(self) -> None:
        paths = self.data_dir.glob("m*") if self.data_dir is not None else ()
        folders = sorted(paths, key=lambda path: (len(path.name), path.name))  # m2 before m10
        kept = [found[1] for folder in folders if (found := recall(folder)) is not None]
        if kept and len(kept) != self.size:
            log.warning("%s holds an etcd of %d members: it goes on with those", self.data_dir, len(kept))
        infos = kept or [MemberInfo(_founder(name), name, (url_of(name),))
                         for name in (f"m{i}" for i in range(self.size))]
        founders = [info for info in infos if info.id == _founder(info.name)]
        self._known = infos
        self._all = [self._make(info, founders if info in founders else ()) for info in infos]

    def _make(self, info: MemberInfo, founders: Sequence[MemberInfo]) -> Member:
        if self.data_dir is not None:
            remember(self.data_dir / info.name, (CLUSTER_ID, info))
        disk = Disk(self.data_dir / info.name) if self.data_dir else Memory()
        storage = self._disks[info.name] = SlowDisk(disk, self._clock)
        member = Member(info, CLUSTER_ID, storage, Way(self.network, info.id), self._clock, founders=founders,
                        settings=self._settings)
        member.on_changes, member.on_turn = partial(self._publish, member), self._turned
        member.on_applied = self._waiting.answer  # the first to apply answers
        member.on_state.append(lambda _: self._state_changed(member))
        self.network.attach(info.id, info.name, member)
        return member

    def _state_changed(self, member: Member) -> None:
        if member.state == "restarting":
            self._hand_over(member)
        for listener in self.listeners:
            listener()

    async def teardown(self) -> None:
        self._up = False
        await asyncio.gather(*(member.stop() for member in self._all))
        for pending in self._waiting:
            settle(pending.future, Unavailable())

    async def run(self) -> None:
        """Run whoever joins, and end whoever is removed."""
        while True:
            await self._members_changed.wait()
            self._members_changed.clear()
            wanted = {info.id: info for info in self._known}
            for member in [m for m in self._all if m.me.id not in wanted]:
                await self._retire(member)
            for info in [i for i in wanted.values() if all(m.me.id != i.id for m in self._all)]:
                await self._join(info)

    def _members(self, members: Sequence[MemberInfo]) -> None:
        """Hear a list of members; the newest comes from whoever has applied most."""
        best = max((m for m in self._all if m.state == "running"), key=lambda m: m.replica.applied, default=None)
        if self._up and best is not None and members and list(best.machine.members.values()) == list(members):
            self._known = members
            self._members_changed.set()

    async def _join(self, info: MemberInfo) -> None:
        taken = {member.name for member in self._all}
        name = info.name or next(f"m{i}" for i in count() if f"m{i}" not in taken)
        member = self._make(info._replace(name=name), ())
        await member.start()
        self._all.append(member)
        member.advertise(())
        self._state_changed(member)

    async def _retire(self, member: Member) -> None:
        self._all.remove(member)
        self._state_changed(member)
        self.network.detach(member.me.id)
        self._hand_over(member)
        await member.stop()
        if self.data_dir is not None:
            await asyncio.to_thread(shutil.rmtree, self.data_dir / member.name)

    # ── who gets the requests ────────────────────────────────────────────────────────────────────────────────

    def _turned(self, member: Member, soft: SoftState) -> None:
        node = member.replica.node
        if self._journal is not None and soft.role == "leader":
            self._journal.record("raft", "leads", member.name, actor="etcd", detail={"term": node.term})
        if soft.role == "leader" and node.term >= self._term:
            self._term = node.term
            self._go_to(member)
        elif member is self._current:
            self._go_to(member)  # it may have begun again, with another machine

    def _go_to(self, member: Member) -> None:
        """Bring every request to this member from now on, also what another one could not answer yet."""
        before, self._current = self._current, member
        self._store, self._leases = member.machine.store, member.machine.leases
        if before is not None and before is not member:
            before.let_go(self._waiting)
            for pending in self._waiting:
                member.take(pending)
            for proof in list(self._proofs):
                settle(proof, LeaderChanged())

    def _hand_over(self, gone: Member) -> None:
        """Leave a member that does not answer any more."""
        if gone is not self._current:
            return
        others = [m for m in self._all if m is not gone and m.state == "running" and not m.paused]
        if others:
            self._go_to(max(others, key=lambda m: (m.role == "leader", m.role != "learner", m.replica.node.term,
                                                   m.replica.applied)))

    def _route(self) -> Member:
        member = self._current
        self._check()
        if member is None or member.state != "running":
            raise Unavailable
        return member

    async def submit(self, command: Command) -> Any:
        member = self._route()
        return await self._answer_of(member, member.pend(command))

    async def change(self, change: ConfChange, about: MemberInfo | None = None) -> None:
        member = self._route()
        await self._answer_of(member, member.pend_change(change, about))

    async def _answer_of(self, member: Member, pending: Pending) -> Any:
        if len(self._waiting) >= MAX_PENDING:
            raise TooManyRequests
        self._waiting.add(pending)
        member.take(pending)
        return await pending.future

    async def confirm(self) -> Machine:
        while True:
            member = self._route()
            try:
                proof = member.prove()
                self._proofs[proof] = None
                proof.add_done_callback(self._proofs.pop)
                await proof
                return member.machine
            except Unavailable:
                if member is self._current:
                    raise

    @property
    def machine(self) -> Machine:
        return self._route().machine

    # ── watches ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def revision(self) -> int:
        return self._hub.published

    def _publish(self, member: Member, changes: list[Change], revision: int) -> None:
        """Tell the watches of what one member has applied, if none was faster: it is on a majority's disks."""
        if revision > self._hub.published:
            self._recent.append((revision, changes))
            self._hub.publish(changes, revision)

    def watch(self, key: bytes, range_end: bytes | None = None, start_revision: int = 0, *, prev_kv: bool = False,
              on_events: OnEvents, on_progress: OnProgress | None = None, on_lost: OnLost | None = None) -> Watcher:
        self._check()
        past: list[Change] = []
        if 0 < start_revision <= self._hub.published:
            store = max((m.machine.store for m in self._all if m.state == "running"), key=lambda s: s.revision,
                        default=self._store)
            if start_revision < store.compact_revision:
                raise Compacted(store.compact_revision)
            remembered = self._recent[0][0] if self._recent else self._hub.published + 1
            if remembered > max(store.revision + 1, start_revision):
                raise Unavailable  # whoever has just begun again does not know the past yet
            past = list(store.changes_since(start_revision))
            past += [change for revision, changes in self._recent if revision > store.revision for change in changes]
        watcher = Watcher(self._hub, key, range_end, start_revision, prev_kv, on_events, on_progress, on_lost)
        self._hub.add(watcher, past)
        return watcher

    # ── what is asked of one member ──────────────────────────────────────────────────────────────────────────

    @property
    def identity(self) -> Identity:
        return self._route().identity

    @property
    def has_leader(self) -> bool:
        return self._route().has_leader

    def advertise(self, client_urls: Sequence[str]) -> None:
        """Say where clients find the member that answers now; each member is better put on the wire by itself."""
        self._route().advertise(client_urls)

    async def status(self) -> ServerStatus:
        return await self._route().status()

    async def alarm_set(self, alarm: Alarm, active: bool) -> list[Alarm]:
        return await self._route().alarm_set(alarm, active)


def _founder(name: str) -> int:
    """Return the id of one of the first members; those who join later are given another."""
    return id_of(f"kubelab/{name}")
