"""One member of an etcd: brings its clients' requests to the leader, and answers them from its own machine.

    client ─► submit ─► Pending ─► leader's log ─► ... ─► applied here ─► answer
    client ─► confirm ─► read-index ─► leader asks a majority ─► applied that far ─► answer

    tick, 33 times a second ─► Raft's clock; what got no word is offered again, what waited too long is turned away

Invariant: a request is carried out at most once, however often it was offered; one whose time is up may still happen.
Models:    etcdserver's server.go and v3_server.go
Left out:  a leader's lease for reads; checks for corruption between members
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from kubelab.control_plane.etcd.errors import (
    EtcdError,
    LeaderFailed,
    LearnerNotReady,
    NotForLearner,
    TimedOut,
    TooManyRequests,
    Unavailable,
)
from kubelab.control_plane.etcd.history import Change
from kubelab.control_plane.etcd.lease import Leases
from kubelab.control_plane.etcd.members import commands
from kubelab.control_plane.etcd.members.commands import Command, RevokeLease
from kubelab.control_plane.etcd.members.machine import REMEMBERED, Machine
from kubelab.control_plane.etcd.members.parcels import Parcel, Proposal, Refusal, Transport, weight
from kubelab.control_plane.etcd.members.proposals import AGAIN_TICKS, REQUEST_S, Pending, Reads, Waiting, settle
from kubelab.control_plane.etcd.members.replica import Replica, Settings, context_of
from kubelab.control_plane.etcd.members.storage import Storage
from kubelab.control_plane.etcd.members.upkeep import Kept
from kubelab.control_plane.etcd.raft import NOBODY, ConfChange, Dropped, Message
from kubelab.control_plane.etcd.raft import NotLeader as RaftNotLeader
from kubelab.control_plane.etcd.raft.types import SoftState
from kubelab.control_plane.etcd.records import Snapshot
from kubelab.control_plane.etcd.server_api import MemberInfo
from kubelab.control_plane.etcd.watch import WatchHub
from kubelab.machinery.clock import Clock, Handle

MAX_PENDING = 5_000  # as etcd: so many requests may be under way
INBOX_BYTES = 4 << 20  # as a socket would keep for a process that stands still
READY_SHARE = 0.9  # of the leader's log that a learner must have before it may vote, as in etcd


class Member(Kept):
    """One member. `founders` are all the first members of a new etcd; without them it joins one that is there."""

    def __init__(self, me: MemberInfo, cluster_id: int, storage: Storage, transport: Transport, clock: Clock, *,
                 founders: Sequence[MemberInfo] = (), begin: Snapshot | None = None,
                 settings: Settings = Settings()) -> None:  # noqa: B008 - immutable
        super().__init__(me.name)
        self.me, self._cluster_id, self._storage, self._transport = me, cluster_id, storage, transport
        self._clock, self._founders, self._begin, self._settings = clock, founders, begin, settings
        self._mine = Waiting()  # what came in through this member
        self._reads = Reads()
        self._leases = Leases(clock, self._lease_over)
        self._hub = WatchHub(0)
        self._wake, self._going = asyncio.Event(), asyncio.Event()
        self._inbox: list[Parcel] = []  # while paused
        self._inbox_bytes = 0
        self._timer: Handle | None = None
        self._ticks, self._leader_lost_at = 0, float("-inf")
        self._crashes = False
        self._client_urls: Sequence[str] | None = None  # once told
        self.on_changes: Callable[[list[Change], int], None] = lambda changes, revision: None
        self.on_applied: Callable[[int, Any], None] = lambda request, result: None
        self.on_turn: Callable[[Member, SoftState], None] = lambda member, soft: None
        self.removed = asyncio.Event()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def setup(self) -> None:
        """Take the disk and begin to follow. Raises DataDirInUse, CorruptLog."""
        self._leases.clear()
        self._machine = Machine(self._leases, self._changed)
        self._store = self._machine.store
        self._replica = Replica(self.me, self._machine, self._storage, self._transport, self, self._settings)
        await self._replica.open(self._founders, self._begin)
        self._hub.published = self._store.revision
        self._leases.restart(ringing=False)
        self._up, self._crashes = True, False
        self.resume()
        self._tick()
        if self._client_urls is not None:
            self.advertise(self._client_urls)  # it may have ended before the others heard of it

    async def teardown(self) -> None:
        """Turn everyone away and let go of the disk."""
        self._up = False
        if self._timer is not None:
            self._timer.cancel()
        self._leases.stop()
        self._hub.lose(Unavailable())
        self._reads.fail(Unavailable())
        for pending in self._mine:
            settle(pending.future, Unavailable())
        self._inbox, self._inbox_bytes = [], 0
        self._going.set()
        await self._storage.close(crash=self._crashes)

    async def crash(self) -> None:
        """End as kill -9 would: what is not on disk yet is lost."""
        self._crashes = True
        await self.stop()

    def pause(self) -> None:
        """Stand still as after SIGSTOP: what comes in waits, as much as fits."""
        self._going.clear()

    def resume(self) -> None:
        self._going.set()
        inbox, self._inbox, self._inbox_bytes = self._inbox, [], 0
        for parcel in inbox:
            self.receive(parcel)

    @property
    def paused(self) -> bool:
        return not self._going.is_set()

    async def run(self) -> None:
        """Turn the core for ever. When that fails, begin again with what the disk did take."""
        if not self._up:
            await self.teardown()
            await self.setup()
        node = self._replica.node
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while node.has_ready():
                    await self._going.wait()
                    await self._replica.turn()
                    self._reads.apply(self._replica.applied)
                    self._ask_for_proof()
        except Exception:
            self._up = False  # this member's silence is seen by the others, its error by those who look here
            raise

    def campaign(self) -> None:
        """Stand for election now: how a new etcd begins without waiting for a time-out."""
        self._replica.node.campaign()
        self._wake.set()

    # ── what the others send ─────────────────────────────────────────────────────────────────────────────────

    def receive(self, parcel: Parcel) -> None:
        if not self._up:
            return
        if self.paused:
            self._inbox_bytes += weight(parcel)
            if self._inbox_bytes <= INBOX_BYTES:
                self._inbox.append(parcel)
            return
        if isinstance(parcel, Message):
            self._replica.node.step(parcel)
        elif isinstance(parcel, Proposal):
            self._consider(parcel)
        else:
            self._refused(parcel)
        self._wake.set()

    def delivered(self, to: int, ok: bool) -> None:
        """Hear whether a snapshot came to a member, or that nothing comes to it now."""
        if self._up:
            self._replica.node.report_snapshot(to, ok)
            if not ok:
                self._replica.node.report_unreachable(to)
            self._wake.set()

    def expelled(self) -> None:
        """Hear from another member that this one was removed."""
        self.removed.set()

    def _consider(self, proposal: Proposal) -> None:
        try:
            self._propose(proposal)
        except (RaftNotLeader, Dropped):
            self._transport.send(proposal.from_, Refusal(proposal.request))
        except EtcdError as refusal:
            self._transport.send(proposal.from_, Refusal(proposal.request, refusal))

    def _refused(self, refusal: Refusal) -> None:
        pending = self._mine.get(refusal.request)
        if pending is None:
            return
        if refusal.error is None:
            pending.term = NOBODY  # the next tick offers it again
        else:
            settle(pending.future, refusal.error)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, command: Command) -> Any:
        return await self._answer_of(self.pend(command))

    async def change(self, change: ConfChange, about: MemberInfo | None = None) -> None:
        await self._answer_of(self.pend_change(change, about))

    def pend(self, command: Command) -> Pending:
        """Return a command as a request with an id of its own."""
        request = random.getrandbits(64)
        return Pending(request, "normal", commands.encode(request, self._until(), command),
                       self._clock.monotonic() + REQUEST_S)

    def pend_change(self, change: ConfChange, about: MemberInfo | None) -> Pending:
        request = random.getrandbits(64)
        data = change._replace(context=context_of(request, self._until(), about)).encode()
        return Pending(request, "config", data, self._clock.monotonic() + REQUEST_S)

    def _until(self) -> int:
        """Return the last place in the log where a request of now counts; its first copy comes after `commit`."""
        return self._replica.node.commit + REMEMBERED

    async def _answer_of(self, pending: Pending) -> Any:
        self._serve()
        return await self._carried(pending)

    async def _carried(self, pending: Pending) -> Any:
        self._check()
        if len(self._mine) >= MAX_PENDING:
            raise TooManyRequests
        self.take(pending)
        return await pending.future

    def _serve(self) -> None:
        """Refuse what a learner does not answer. Raises Unavailable."""
        self._check()
        if self._replica.node.role == "learner":
            raise NotForLearner

    def take(self, pending: Pending) -> None:
        """Bring a request into the log, now and as often as it takes."""
        self._mine.add(pending)
        self._offer(pending)

    def let_go(self, those: Iterable[Pending]) -> None:
        """Care no longer for some requests: another member takes them."""
        for pending in those:
            self._mine.forget(pending)

    def _offer(self, pending: Pending) -> None:
        node = self._replica.node
        pending.term, pending.offered = node.term, self._ticks
        proposal = Proposal(pending.request, self.me.id, pending.kind, pending.data)
        if node.role != "leader" and node.leader != NOBODY and not self.paused:
            self._transport.send(node.leader, proposal)
            return
        try:
            self._propose(proposal)
        except (RaftNotLeader, Dropped):
            pending.term = NOBODY
        except EtcdError as refusal:
            settle(pending.future, refusal)

    def _propose(self, proposal: Proposal) -> None:
        """Put a request into this leader's log. Raises RaftNotLeader, Dropped, LearnerNotReady."""
        node = self._replica.node
        if proposal.kind == "config":
            change = ConfChange.decode(proposal.data)
            self._check_change(change)
            node.propose_conf(change)
        else:
            node.propose(proposal.data)
        self._wake.set()

    def _check_change(self, change: ConfChange) -> None:
        node = self._replica.node
        if node.role != "leader":
            return
        progress = node.progress()
        if change.op == "promote" and change.member in progress \
                and progress[change.member].match < READY_SHARE * node.log.last:
            raise LearnerNotReady
        heirs = sorted(node.conf.voters - {self.me.id}, key=lambda member: progress[member].match)
        if change.op == "remove" and change.member == self.me.id and heirs:
            node.transfer_leader(heirs[-1])  # who leads next removes us: a leader that is gone could not say so
            raise Dropped("this leader hands over before it is removed")

    # ── reads ────────────────────────────────────────────────────────────────────────────────────────────────

    async def confirm(self) -> Machine:
        await self.prove()
        return self._machine

    def prove(self) -> asyncio.Future[None]:
        """Return what is done once all that was answered to anyone before is applied here. Raises Unavailable."""
        self._serve()
        proof = self._reads.join(self._clock.monotonic())
        self._ask_for_proof()
        return proof

    def _ask_for_proof(self) -> None:
        """Ask once for all that wait, one question at a time."""
        if self._reads.wanted and not self.paused:
            context = random.randbytes(8)
            try:
                self._replica.node.read_index(context)
            except RaftNotLeader:
                return  # the next leader is asked
            self._reads.ask(context, self._ticks)
            self._wake.set()

    @property
    def machine(self) -> Machine:
        return self._machine

    # ── what comes of the consensus ──────────────────────────────────────────────────────────────────────────

    def applied(self, request: int, result: Any) -> None:
        self._mine.answer(request, result)
        self.on_applied(request, result)
        if self.me.id in self._machine.gone:
            self.removed.set()

    def turned(self, soft: SoftState) -> None:
        """Follow another leader: what the last one had may be lost with it."""
        if soft.leader == NOBODY:
            self._leader_lost_at = self._clock.monotonic()
        self._reads.ask_again()
        self._leases.restart(ringing=soft.role == "leader")
        if soft.leader != NOBODY:
            for pending in self._mine:
                self._offer(pending)
        self.on_turn(self, soft)

    def proven(self, context: bytes, index: int) -> None:
        self._reads.prove(context, index, self._replica.applied)

    def restored(self) -> None:
        """Go on from a snapshot of another member: what became of our own requests in it, nobody here knows."""
        self.make_up()
        for pending in self._mine:
            if self._machine.knows(pending.request):
                pending.deadline = float("-inf")

    def _changed(self, changes: list[Change], revision: int) -> None:
        self._hub.publish(changes, revision)
        self.on_changes(changes, revision)

    def _lease_over(self, lease: int) -> None:
        if not self.paused:
            self.spawn(partial(self._revoke, lease), name=f"revoke-{lease}")

    async def _revoke(self, lease: int) -> None:
        try:
            await self._carried(self.pend(RevokeLease(lease)))
        except EtcdError:
            return  # someone was faster, or it rings again

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _tick(self) -> None:
        self._timer = self._clock.call_later(self._settings.tick_s, self._tick)
        if self.paused:
            return
        self._ticks += 1
        self._replica.node.tick()
        now = self._clock.monotonic()
        for pending in self._mine:
            if pending.deadline <= now:
                settle(pending.future, LeaderFailed() if self._leader_lost_at >= now - REQUEST_S else TimedOut())
            elif self._may_be_lost(pending):
                self._offer(pending)
        self._reads.expire(now)
        if self._reads.unanswered and self._ticks - self._reads.asked_at > AGAIN_TICKS:
            self._reads.ask_again()
        self._ask_for_proof()
        self._wake.set()

    def _may_be_lost(self, pending: Pending) -> bool:
        node = self._replica.node
        if node.role == "leader" and pending.term == node.term:
            return False  # it stands in this log, for as long as this leader leads
        return pending.term == NOBODY or self._ticks - pending.offered > AGAIN_TICKS
