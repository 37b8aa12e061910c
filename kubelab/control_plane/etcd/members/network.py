"""The network between members of one process: it delivers in order, and can be cut.

    member ─► Way ─► cut? ─┬─ no ──► the event loop's next turn ─► member.receive
                           └─ yes ─► lost
                       └─► journal: seam "raft", who to whom, what

Invariant: nothing is delivered to a member before the sender's turn is over, and nothing across a cut.
Models:    etcdserver's rafthttp, with the faults of etcd's own proxy for tests
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from kubelab.control_plane.etcd.members.parcels import Parcel, Proposal, Receiver
from kubelab.control_plane.etcd.raft.types import Message
from kubelab.control_plane.etcd.server_api import MemberInfo
from kubelab.machinery.journal import Journal


class Network:
    """The ways between all members. `on_members` hears of each list of members that one of them has applied."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal(1_000)  # of its own: heartbeats would drive everything else out
        self.on_members: Callable[[Sequence[MemberInfo]], None] = lambda members: None
        self._ends: dict[int, tuple[str, Receiver]] = {}
        self._sides: tuple[frozenset[int], ...] = ()

    def attach(self, member: int, name: str, end: Receiver) -> None:
        self._ends[member] = (name, end)

    def detach(self, member: int) -> None:
        self._ends.pop(member, None)

    def cut(self, sides: Sequence[frozenset[int]]) -> None:
        """Let members hear only those on their own side; one that stands on none hears nobody. No sides: whole."""
        self._sides = tuple(sides)

    def reaches(self, from_: int, to: int) -> bool:
        return not self._sides or any(from_ in side and to in side for side in self._sides)

    def send(self, from_: int, to: int, parcel: Parcel) -> None:
        sender, receiver = self._ends.get(from_), self._ends.get(to)
        if sender is None:
            return
        if receiver is not None:
            self.journal.record("raft", kind_of(parcel), receiver[0], actor=sender[0])
        if receiver is not None and self.reaches(from_, to):
            asyncio.get_running_loop().call_soon(self.arrive, from_, to, parcel)
        elif _is_snapshot(parcel):
            asyncio.get_running_loop().call_soon(sender[1].delivered, to, False)

    def arrive(self, from_: int, to: int, parcel: Parcel) -> None:
        sender, receiver = self._ends.get(from_), self._ends.get(to)
        if receiver is not None:
            receiver[1].receive(parcel)
        if sender is not None and _is_snapshot(parcel):
            sender[1].delivered(to, receiver is not None)


class Way:
    """The transport of one member."""

    def __init__(self, network: Network, from_: int) -> None:
        self._network, self._from = network, from_

    def send(self, to: int, parcel: Parcel) -> None:
        self._network.send(self._from, to, parcel)

    def know(self, members: Sequence[MemberInfo], gone: Collection[int]) -> None:
        self._network.on_members(members)


def kind_of(parcel: Parcel) -> str:
    """Return what a parcel is, in one word."""
    if isinstance(parcel, Message):
        return parcel.type
    return "proposal" if isinstance(parcel, Proposal) else "refusal"


def _is_snapshot(parcel: Parcel) -> bool:
    return isinstance(parcel, Message) and parcel.type == "snapshot"
