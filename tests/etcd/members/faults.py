"""What goes wrong around the members of a group: a bad network, and someone who breaks and mends things in turn.

    Nemesis ─► kill · pause · cut · slow · hand over · add · remove ... ─► EtcdGroup     every choice from one seed
    parcel ─► BadNetwork ─► lost, twice, late, out of order

Invariant: what is left of the group can be mended again; after `mend` everything runs and everyone hears everyone.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial

from kubelab.control_plane.etcd.errors import EtcdError
from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.control_plane.etcd.members.network import Network
from kubelab.control_plane.etcd.members.parcels import Parcel
from kubelab.control_plane.etcd.raft.types import Message
from kubelab.machinery.clock import Clock


class BadNetwork(Network):
    """Loses, repeats and delays parcels as long as it is `bad`; `deaf` are pairs of whom the second hears nothing."""

    def __init__(self, clock: Clock, rnd: random.Random) -> None:
        super().__init__()
        self._clock, self._random = clock, rnd
        self.bad = 0.0  # how probable each fault is
        self.deaf: set[tuple[int, int]] = set()

    def reaches(self, from_: int, to: int) -> bool:
        return (from_, to) not in self.deaf and super().reaches(from_, to)

    def arrive(self, from_: int, to: int, parcel: Parcel) -> None:
        if not self.reaches(from_, to) or self._random.random() < self.bad:
            if isinstance(parcel, Message) and parcel.type == "snapshot" and from_ in self._ends:
                self._ends[from_][1].delivered(to, False)
            return
        for _ in range(1 + (self._random.random() < self.bad)):
            if self._random.random() < 2 * self.bad:  # the others overtake it
                self._clock.call_later(self._random.random() * 0.2, partial(super().arrive, from_, to, parcel))
            else:
                super().arrive(from_, to, parcel)


class Nemesis:
    """Breaks and mends a group, one thing after the other."""

    def __init__(self, group: EtcdGroup, network: BadNetwork, clock: Clock, rnd: random.Random) -> None:
        self.group, self.network, self._clock, self._random = group, network, clock, rnd
        self.done: list[str] = []
        self.largest = group.size + 1

    async def rage(self, rounds: int) -> None:
        deeds: list[tuple[Callable[[], Awaitable[object]], int]] = [
            (self.kill, 4), (self.kill_all, 1), (self.restart, 6), (self.pause, 3), (self.resume, 4), (self.isolate, 3),
            (self.halve, 2), (self.half_deaf, 1), (self.heal, 5), (self.slow, 2), (self.hand_over, 2), (self.spoil, 2),
            (self.grow, 1), (self.shrink, 1)]
        kinds, weights = zip(*deeds, strict=True)
        for deed in self._random.choices(kinds, weights, k=rounds):
            self.done.append(deed.__name__)
            try:
                await deed()
            except EtcdError as refused:
                self.done[-1] += f" ({refused})"
            await self._clock.sleep(self._random.random() * 1.2)
        await self.mend()

    def _some(self) -> int:
        return self._random.randrange(len(self.group.running))

    def _leader(self) -> int:
        """Return the leader's place, or any when there is none."""
        return self.group.leader if self.group.leader >= 0 else self._some()

    async def kill(self) -> None:
        await self.group.kill(self._random.choice((self._leader(), self._some())))

    async def kill_all(self) -> None:
        for place in range(len(self.group.running)):
            await self.group.kill(place)
        await self._clock.sleep(0.1)
        await self.restart()

    async def restart(self) -> None:
        for place, member in enumerate(self.group.running):
            if member.state == "stopped":
                await self.group.restart(place)

    async def pause(self) -> None:
        await self.group.pause(self._random.choice((self._leader(), self._some())))

    async def resume(self) -> None:
        for place in range(len(self.group.running)):
            await self.group.resume(place)

    async def isolate(self) -> None:
        leader = self._leader()
        await self.group.partition([place for place in range(len(self.group.running)) if place != leader])

    async def halve(self) -> None:
        places = list(range(len(self.group.running)))
        self._random.shuffle(places)
        at = self._random.randrange(1, len(places))
        await self.group.partition(places[:at], places[at:])

    async def half_deaf(self) -> None:
        """Let one member be heard and hear nothing, or the other way round."""
        one = self.group.running[self._leader()].me.id
        others = [member.me.id for member in self.group.running if member.me.id != one]
        self.network.deaf |= {(other, one) if self._random.random() < 0.5 else (one, other) for other in others}

    async def heal(self) -> None:
        self.network.deaf.clear()
        self.network.bad = 0.0
        await self.group.heal()
        for place in range(len(self.group.running)):
            await self.group.slow_disk(place, 0)

    async def slow(self) -> None:
        await self.group.slow_disk(self._some(), self._random.choice((0.02, 0.2)))

    async def hand_over(self) -> None:
        await self.group.move_leader(self._some())

    async def spoil(self) -> None:
        self.network.bad = self._random.choice((0.02, 0.1, 0.25))

    async def grow(self) -> None:
        """Let one more join, in peace; half of the time as a learner, which is promoted at once."""
        if len(self.group.running) >= self.largest:
            return
        await self.mend()
        place = await self.group.add_member(learner=self._random.random() < 0.5)
        while self.group.members[place].role == "learner":
            try:
                await self.group.promote(place)
            except EtcdError:
                await self._clock.sleep(0.1)

    async def shrink(self) -> None:
        """Remove one, in peace; half of the time the leader."""
        if len(self.group.running) > 3:
            await self.mend()
            await self.group.remove_member(self._random.choice((self._leader(), self._some())))

    async def mend(self) -> None:
        await self.heal()
        await self.resume()
        await self.restart()
        while self.group.leader < 0:
            await self._clock.sleep(0.1)
