"""The network between members of one process: what arrives, what is lost, and who hears of it."""

from __future__ import annotations

import asyncio

from kubelab.control_plane.etcd.members.network import Network, Way, kind_of
from kubelab.control_plane.etcd.members.parcels import Parcel, Proposal, Refusal
from kubelab.control_plane.etcd.raft import Message
from kubelab.control_plane.etcd.raft.types import ConfState, Snapshot, SnapshotMeta
from kubelab.control_plane.etcd.server_api import MemberInfo

SNAPSHOT = Message("snapshot", 2, 1, snapshot=Snapshot(SnapshotMeta(1, 1, ConfState())))


class End:
    """A member that writes down what comes."""

    def __init__(self, network: Network, member: int) -> None:
        self.got: list[Parcel] = []
        self.reports: list[tuple[int, bool]] = []
        self.way = Way(network, member)
        network.attach(member, f"m{member}", self)

    def receive(self, parcel: Parcel) -> None:
        self.got.append(parcel)

    def delivered(self, to: int, ok: bool) -> None:
        self.reports.append((to, ok))

    def expelled(self) -> None:
        raise AssertionError("nobody is expelled here")


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_parcels_arrive_in_order_in_the_next_turn() -> None:
    """Nothing is heard before the sender's turn is over, and each stands in the journal with its kind."""
    network = Network()
    one, two = End(network, 1), End(network, 2)
    sent: list[Parcel] = [Message("heartbeat", 2, 1), Proposal(7, 1, "normal", b"x"), Refusal(7)]
    for parcel in sent:
        one.way.send(2, parcel)
    assert two.got == []
    await turn()
    assert two.got == sent
    entries = [(entry.verb, entry.actor, entry.subject) for entry in network.journal.entries()]
    assert entries == [(kind, "m1", "m2") for kind in ("heartbeat", "proposal", "refusal")]
    assert [kind_of(parcel) for parcel in sent] == ["heartbeat", "proposal", "refusal"]


async def test_across_a_cut_nothing_arrives() -> None:
    """Each hears those of its own side, one on no side hears nobody, and healed all do."""
    network = Network()
    ends = [End(network, member) for member in (1, 2, 3)]
    network.cut([frozenset((1, 2))])
    for to in (2, 3):
        ends[0].way.send(to, Message("heartbeat", to, 1))
    await turn()
    assert (len(ends[1].got), len(ends[2].got)) == (1, 0)
    network.cut(())
    ends[0].way.send(3, Message("heartbeat", 3, 1))
    await turn()
    assert len(ends[2].got) == 1


async def test_a_snapshot_is_reported_whatever_becomes_of_it() -> None:
    """Delivered, lost in a cut, or sent to one that is not there yet: its sender would wait for ever without a word."""
    network = Network()
    one, _ = End(network, 1), End(network, 2)
    one.way.send(2, SNAPSHOT)
    await turn()
    network.cut([frozenset((1,)), frozenset((2,))])
    one.way.send(2, SNAPSHOT)
    await turn()
    network.detach(2)
    one.way.send(2, SNAPSHOT)
    await turn()
    assert one.reports == [(2, True), (2, False), (2, False)]


def test_who_the_members_are_is_passed_on() -> None:
    """What one member has applied, the group hears."""
    network, heard = Network(), []
    network.on_members = heard.append
    members = [MemberInfo(1, "m1")]
    Way(network, 1).know(members, ())
    assert heard == [members]
