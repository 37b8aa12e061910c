"""What the consensus view shows: the members of an etcd cluster as plain data, and what travels between them.

    members (status objects) ─┐
    network groups ───────────┼─► picture() ─► one small dict ─► browser
    raft entries of a journal ┴─► Flights ──► counts by (from, to, type)

Invariant: nothing here is kept of a member; a picture is a function of what the members say of themselves now.
Models:    etcdctl endpoint status, with the tail of the log
Left out:  etcd itself: views are handed objects that look like these protocols
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from kubelab.machinery.journal import Entry

TAIL = 14  # log entries shown of each member


class LogEntry(Protocol):
    """One place in a member's log; `key` is what it writes ("/registry/pods/..."), empty for a leader's first entry."""

    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def key(self) -> str: ...


class Member(Protocol):
    """What a member says of itself. `leader` is a member's name or empty; `state`: running, dead, paused or slow."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def term(self) -> int: ...
    @property
    def leader(self) -> str: ...
    @property
    def vote(self) -> str: ...
    @property
    def commit(self) -> int: ...
    @property
    def applied(self) -> int: ...
    @property
    def tail(self) -> Sequence[LogEntry]: ...


class Group(Protocol):
    """An etcd cluster that can be looked at and broken. Members are named by their place, from 0."""

    @property
    def members(self) -> Sequence[Member]: ...
    @property
    def groups(self) -> Sequence[Sequence[int]]: ...
    async def kill(self, member: int) -> None: ...
    async def restart(self, member: int) -> None: ...
    async def pause(self, member: int) -> None: ...
    async def resume(self, member: int) -> None: ...
    async def slow_disk(self, member: int, seconds: float) -> None: ...
    async def partition(self, *groups: Sequence[int]) -> None: ...
    async def heal(self) -> None: ...


class Flights:
    """Messages since the last look, counted: a journal entry of seam "raft" goes from its actor to its subject."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def hear(self, entry: Entry) -> None:
        if entry.seam == "raft":
            self._counts[entry.actor, entry.subject, entry.verb] += 1

    def take(self) -> list[list[Any]]:
        """Return [from, to, type, how many] and begin anew."""
        taken = [[*way, count] for way, count in self._counts.items()]
        self._counts.clear()
        return taken


def picture(group: Group) -> dict[str, Any]:
    """Return what the browser draws, small enough to be sent many times a second."""
    members = list(group.members)
    groups = [list(side) for side in group.groups]
    return {"members": [_member(i, member) for i, member in enumerate(members)], "groups": groups,
            "quorum": len(members) // 2 + 1, "leader": leader_of(members, groups)}


def leader_of(members: Sequence[Member], groups: Sequence[Sequence[int]] = ()) -> str:
    """Return who can commit: a leader that reaches a majority; empty when nobody does.

    A leader that was cut off may think for a while that it still leads: it is in the smaller group.
    """
    leaders = [(m.term, i) for i, m in enumerate(members) if m.role == "leader" and m.state in ("running", "slow")]
    for _, i in sorted(leaders, reverse=True):
        side = next((s for s in groups if i in s), range(len(members)))
        alive = sum(members[j].state in ("running", "slow") for j in side)
        if alive > len(members) // 2:
            return members[i].name
    return ""


def _member(place: int, member: Member) -> dict[str, Any]:
    tail = list(member.tail)[-TAIL:]
    return {"i": place, "name": member.name, "role": member.role, "state": member.state, "term": member.term,
            "leader": member.leader, "vote": member.vote, "commit": member.commit, "applied": member.applied,
            "log": [[e.index, e.term, e.key] for e in tail]}
