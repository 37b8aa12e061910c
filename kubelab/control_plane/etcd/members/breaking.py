"""Look at the members of a group and break them, one by one; they are named by their place, from 0.

    kill · restart     pause · resume     slow_disk     partition · heal     move_leader · add · remove · promote

Invariant: what breaks a member leaves the requests that it could not answer to another one that lives.
Models:    etcd's functional tester; the view protocol of views/consensus.py
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from kubelab.client.component import Component
from kubelab.control_plane.etcd.errors import Unavailable
from kubelab.control_plane.etcd.members.faces import Face, face
from kubelab.control_plane.etcd.members.member import Member
from kubelab.control_plane.etcd.members.network import Network
from kubelab.control_plane.etcd.members.replica import Settings
from kubelab.control_plane.etcd.members.serving import Served
from kubelab.control_plane.etcd.members.storage import SlowDisk
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal


class Breakable(Served, Component):
    """What a learner's hand can do to a group; who gets the requests is the group's own affair."""

    network: Network
    _all: list[Member]
    _disks: dict[str, SlowDisk]
    _current: Member | None
    _sides: list[list[int]]
    _clock: Clock
    _settings: Settings

    @abstractmethod
    def _go_to(self, member: Member) -> None:
        """Bring every request to this member from now on."""

    @abstractmethod
    def _hand_over(self, gone: Member) -> None:
        """Leave a member that does not answer any more."""

    @property
    def members(self) -> Sequence[Face]:
        """What each member says of itself now."""
        return [face(member, self._state_of(member)) for member in self._all]

    @property
    def messages(self) -> Journal:
        """What the members send each other: seam "raft", from actor to subject."""
        return self.network.journal

    @property
    def running(self) -> Sequence[Member]:
        """The members themselves, as they were started."""
        return tuple(self._all)

    def _state_of(self, member: Member) -> str:
        if member.state != "running":
            return "dead"
        return "paused" if member.paused else "slow" if self._disks[member.name].delay_s else "running"

    @property
    def groups(self) -> Sequence[Sequence[int]]:
        """How the network is cut: the members of each side; empty when it is whole."""
        return self._sides

    @property
    def leader(self) -> int:
        """The place of the newest leader that lives, -1 when there is none."""
        leading = [(m.replica.node.term, i) for i, m in enumerate(self._all)
                   if m.state == "running" and not m.paused and m.role == "leader"]
        return max(leading, default=(0, -1))[1]

    def _at(self, place: int) -> Member:
        if not 0 <= place < len(self._all):
            raise LookupError(f"there is no member {place}; there are 0 to {len(self._all) - 1}")
        return self._all[place]

    async def kill(self, member: int) -> None:
        """End a member as kill -9 would."""
        gone = self._at(member)
        self._hand_over(gone)
        await gone.crash()

    async def restart(self, member: int) -> None:
        """Start a member that is dead, with what its disk has."""
        back = self._at(member)
        await back.start()
        if self._current is None or self._current.state != "running":
            self._go_to(back)
        else:
            self._go_to(self._current)  # its machine is a new one, if it is this one

    async def pause(self, member: int) -> None:
        """Let a member stand still, as after SIGSTOP."""
        still = self._at(member)
        still.pause()
        self._hand_over(still)

    async def resume(self, member: int) -> None:
        back = self._at(member)
        back.resume()
        if back.state == "running" and (self._current is None or self._current.state != "running"):
            self._go_to(back)

    async def slow_disk(self, member: int, seconds: float) -> None:
        """Let a member's disk take so long for each write; 0 is as fast as it can."""
        self._disks[self._at(member).name].delay_s = max(0.0, seconds)

    async def partition(self, *groups: Sequence[int]) -> None:
        """Cut the network: only members of the same group hear each other. One in no group is alone.

        Raises ValueError for a member in two groups, LookupError for one that there is not.
        """
        places = [place for group in groups for place in group]
        if len(set(places)) < len(places):
            raise ValueError("a member stands on one side of a cut; write for example partition([0], [1, 2])")
        alone = [[place] for place in range(len(self._all)) if place not in places]
        self._sides = [list(group) for group in groups] + alone
        self.network.cut([frozenset(self._at(place).me.id for place in side) for side in self._sides])

    async def heal(self) -> None:
        """Make the network whole again."""
        self._sides = []
        self.network.cut(())

    async def move_leader(self, member: int) -> None:
        """Hand the leadership to the member at this place, or with this id. Raises BadTransferee."""
        id_ = self._all[member].me.id if 0 <= member < len(self._all) else member
        if self.leader < 0:
            raise Unavailable
        await self._all[self.leader].move_leader(id_)

    async def add_member(self, *, learner: bool = False) -> int:
        """Let one more member join, and return its place when it runs. A learner only listens until it is promoted."""
        new = await self.member_add([url_of(f"m{len(self._all)}-{self._hub.published}")], learner=learner)
        while not any(member.me.id == new.id and member.state == "running" for member in self._all):
            await self._clock.sleep(self._settings.tick_s)
        return next(i for i, member in enumerate(self._all) if member.me.id == new.id)

    async def remove_member(self, member: int) -> None:
        """Let the member at this place belong to the etcd no longer; its data is deleted."""
        gone = self._at(member)
        await self.member_remove(gone.me.id)
        while gone in self._all:
            await self._clock.sleep(self._settings.tick_s)

    async def promote(self, member: int) -> None:
        """Give a learner its vote. Raises MemberNotLearner, LearnerNotReady."""
        await self.member_promote(self._at(member).me.id)


def url_of(name: str) -> str:
    """Return the address of a member that has none on the network."""
    return f"in-process://{name}"
