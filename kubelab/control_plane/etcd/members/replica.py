"""A member's part in the consensus: it turns the Raft core, keeps its promises on disk, applies what is agreed on.

    RaftNode ─► Ready ─┬─ a leader's entries for the others ─────────────────────────► Transport   (at once)
                       ├─ entries, hard state ─► Storage ─► on disk ─► promises ─► Transport   (votes, acknowledgements)
                       └─ committed ─► first time? ─► Machine ─► Owner.applied(request, result)

Invariant: a promise leaves when what it promises is on disk, and nothing leaves before the term it is of; entries are
           applied in order, each once after a start.
Models:    etcdserver's raft.go and the applying half of its server.go
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from kubelab.control_plane.etcd.members import commands, machine
from kubelab.control_plane.etcd.members.machine import Machine, member_of
from kubelab.control_plane.etcd.members.parcels import Transport
from kubelab.control_plane.etcd.members.storage import Storage
from kubelab.control_plane.etcd.raft import ConfChange, RaftConfig, RaftNode
from kubelab.control_plane.etcd.raft.types import (
    ConfState,
    Entry,
    HardState,
    Message,
    Ready,
    Snapshot,
    SnapshotMeta,
    SoftState,
    data_bytes,
)
from kubelab.control_plane.etcd.records import Snapshot as State
from kubelab.control_plane.etcd.server_api import MemberInfo

_AT_ONCE = frozenset({"append", "heartbeat", "snapshot", "read-index", "read-index-response"})  # these promise nothing
_REQUEST = struct.Struct("<QQ")


class Settings(NamedTuple):
    """How fast a member thinks and how much it keeps. An election time-out is one to two times `election_ticks`."""

    tick_s: float = 0.03
    election_ticks: int = 12
    heartbeat_ticks: int = 2
    snapshot_every: int = 10_000  # records of the log
    snapshot_bytes: int = 64 << 20  # or so much in them
    keep: int = 5_000  # entries behind a snapshot, for followers that lag a little


class Owner(Protocol):
    """Who hears what comes of the consensus."""

    def applied(self, request: int, result: Any) -> None: ...
    def turned(self, soft: SoftState) -> None: ...
    def proven(self, context: bytes, index: int) -> None: ...
    def restored(self) -> None:
        """The machine became what another member was."""
        ...

    def spawn(self, work: Callable[[], Awaitable[None]], *, name: str = ...) -> asyncio.Task[None]: ...


class Replica:
    """One start of one member."""

    node: RaftNode

    def __init__(self, me: MemberInfo, machine_: Machine, storage: Storage, transport: Transport, owner: Owner,
                 settings: Settings) -> None:
        self.me, self.machine, self._storage, self._transport = me, machine_, storage, transport
        self._owner, self._settings = owner, settings
        self._hard = HardState()
        self._logged_bytes = 0  # since the last snapshot
        self.applied = 0  # by the machine, entry by entry

    async def open(self, founders: Sequence[MemberInfo], begin: State | None = None) -> None:
        """Begin with what is on disk; else as one of the `founders`, or, when there are none, as one who joins.

        All founders begin with the same keys: none, or those of `begin`.
        """
        stored = self._storage.open()
        if stored.snapshot is None and founders:
            self.machine.members = {member.id: member for member in founders}
            if begin is not None:
                self.machine.begin_with(begin)
            first = SnapshotMeta(1, 1, ConfState(frozenset(self.machine.members)))
            done = self._storage.save(first, partial(machine.encode, self.machine.state()), HardState(), ())
            await self._storage.flushed()
            await done
            meta: SnapshotMeta | None = first
        else:
            meta = stored.snapshot.meta if stored.snapshot is not None else None
            if stored.snapshot is not None:
                self.machine.become(machine.decode(stored.snapshot.data))
        self._hard, self.applied = stored.hard, meta.index if meta is not None else 0
        config = RaftConfig(self.me.id, self._settings.election_ticks, self._settings.heartbeat_ticks,
                            random=random.Random(random.getrandbits(64)))
        self.node = RaftNode(config, stored.hard, meta and meta.conf, meta, stored.entries, self.applied)
        self._transport.know(list(self.machine.members.values()), self.machine.gone)

    # ── one turn ─────────────────────────────────────────────────────────────────────────────────────────────

    async def turn(self) -> None:
        """Do what the core has ready. Raises StoreFailed, and then nothing was promised."""
        ready = self.node.ready()
        if ready.soft is not None:
            self._owner.turned(ready.soft)
        known = ready.hard is None or ready.hard.term == self._hard.term  # else not even our term is on disk yet
        promises = [message for message in ready.messages if not (known and self._sent_at_once(message))]
        self._hard = ready.hard or self._hard
        await self._keep(ready)
        for message in promises:  # what they promise is on disk now
            if not self._sent_at_once(message):
                self._transport.send(message.to, message)
        for read in ready.reads:
            self._owner.proven(read.context, read.index)
        if ready.snapshot is not None:
            state = await asyncio.to_thread(machine.decode, ready.snapshot.data)  # it may be large
            self._restore(ready.snapshot.meta, state)
        for entry in ready.committed:
            self._apply(entry)
        self.node.advance(ready)
        self._logged_bytes += data_bytes(ready.entries)
        if self.node.log.pending is None and (self._storage.since_snapshot >= self._settings.snapshot_every
                                              or self._logged_bytes >= self._settings.snapshot_bytes):
            self._snapshot()  # unless a newer one has just come from the leader

    def _sent_at_once(self, message: Message) -> bool:
        if message.type not in _AT_ONCE:
            return False
        if message.type == "snapshot":
            meta, state = self._here(), self.machine.state()
            self._owner.spawn(partial(self._send_snapshot, message, meta, partial(machine.encode, state)))
        else:
            self._transport.send(message.to, message)
        return True

    async def _keep(self, ready: Ready) -> None:
        if ready.snapshot is None:
            self._storage.append(ready.entries, ready.hard)
            if ready.must_sync:
                await self._storage.flushed()
        else:
            meta, data = ready.snapshot
            done = self._storage.save(meta, lambda: data, self._hard, ready.entries)
            await self._storage.flushed()
            await done

    # ── what is agreed on ────────────────────────────────────────────────────────────────────────────────────

    def _apply(self, entry: Entry) -> None:
        if entry.kind == "config":
            self._apply_conf(entry)
        elif entry.data:
            request, until, command = commands.decode(entry.data)
            if self.machine.first_time(request, entry.index, until):
                result = self.machine.apply(command)  # from here on it has happened
                self._owner.applied(request, result)
        self.applied = entry.index

    def _apply_conf(self, entry: Entry) -> None:
        change = ConfChange.decode(entry.data)
        request, until, about = read_context(change.context)
        if self.machine.first_time(request, entry.index, until):
            self.node.apply_conf(change)
            self.machine.change_members(change, about)
            self._transport.know(list(self.machine.members.values()), self.machine.gone)
            self._owner.applied(request, None)

    # ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────

    def _here(self) -> SnapshotMeta:
        term = self.node.log.term_at(self.applied)
        assert term is not None
        return SnapshotMeta(self.applied, term, self.node.conf)

    def _snapshot(self) -> None:
        """Put the state on disk instead of the log that made it; the memory keeps some of that for those behind."""
        log, meta = self.node.log, self._here()
        self._storage.save(meta, partial(machine.encode, self.machine.state()), self._hard,
                           log.slice(self.applied + 1, log.stable))
        large = self._logged_bytes >= self._settings.snapshot_bytes
        behind = self.applied - (0 if large else self._settings.keep)
        self._logged_bytes = 0
        if behind > log.snapshot.index:
            self.node.compact(behind, meta.conf)

    async def _send_snapshot(self, message: Message, meta: SnapshotMeta, make: Callable[[], bytes]) -> None:
        data = await asyncio.to_thread(make)
        self._transport.send(message.to, message._replace(snapshot=Snapshot(meta, data)))

    def _restore(self, meta: SnapshotMeta, state: machine.MachineState) -> None:
        self.machine.become(state)
        self.applied = meta.index
        self._transport.know(list(self.machine.members.values()), self.machine.gone)
        self._owner.restored()


def context_of(request: int, until: int, about: MemberInfo | None) -> bytes:
    """Return what a change of the members carries for us: the request's id and last place, and the member as JSON."""
    return _REQUEST.pack(request, until) + json.dumps(about).encode()


def read_context(context: bytes) -> tuple[int, int, MemberInfo | None]:
    request, until = _REQUEST.unpack_from(context)
    fields = json.loads(context[_REQUEST.size:])
    return request, until, None if fields is None else member_of(fields)
