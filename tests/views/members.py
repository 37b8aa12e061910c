"""A group of members as a view sees it, without consensus: the tests say what the members are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class FakeEntry:
    index: int
    term: int
    key: str = ""


@dataclass(frozen=True)
class FakeMember:
    name: str
    role: str = "follower"
    state: str = "running"
    term: int = 2
    leader: str = "m0"
    vote: str = "m0"
    commit: int = 7
    applied: int = 7
    tail: Sequence[FakeEntry] = field(default_factory=lambda: log(7))


def log(last: int, term: int = 2) -> list[FakeEntry]:
    first = [FakeEntry(1, 1), *(FakeEntry(i, 1, f"/registry/pods/default/web-{i}") for i in (2, 3)), FakeEntry(4, 2)]
    return [*first, *(FakeEntry(i, term, f"/registry/pods/default/web-{i}") for i in range(5, last + 1))]


class FakeGroup:
    """Its methods change what the members say."""

    def __init__(self, count: int = 3) -> None:
        self.members = [FakeMember(f"m{i}", "follower" if i else "leader") for i in range(count)]
        self.groups: Sequence[Sequence[int]] = ()

    def put(self, i: int, **fields: Any) -> None:
        self.members[i] = replace(self.members[i], **fields)

    async def kill(self, member: int) -> None:
        self.put(member, state="dead")

    async def restart(self, member: int) -> None:
        self.put(member, state="running", role="follower")

    async def pause(self, member: int) -> None:
        self.put(member, state="paused")

    async def resume(self, member: int) -> None:
        self.put(member, state="running")

    async def slow_disk(self, member: int, seconds: float) -> None:
        self.put(member, state="slow" if seconds else "running")

    async def partition(self, *groups: Sequence[int]) -> None:
        self.groups = groups

    async def heal(self) -> None:
        self.groups = ()
