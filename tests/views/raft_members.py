"""Members that really run Raft, stepped by hand: no disk, no clock, a network that can be cut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from kubelab.control_plane.etcd.raft import ConfState, Entry, HardState, RaftConfig, RaftNode
from kubelab.machinery.journal import Journal
from tests.views.members import FakeEntry, FakeGroup, FakeMember


class RaftGroup(FakeGroup):
    """The same buttons; what members say comes of their Raft cores, and each message stands in `journal`."""

    def __init__(self, count: int = 3) -> None:
        super().__init__(count)
        self.journal = Journal()
        voters = ConfState(voters=frozenset(range(1, count + 1)))
        self.nodes = [RaftNode(RaftConfig(i + 1, random=random.Random(i)), conf=voters) for i in range(count)]
        self.logs: list[list[Entry]] = [[] for _ in range(count)]
        self.hard = [HardState() for _ in range(count)]
        self._tell()

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            for i, node in enumerate(self.nodes):
                if self.members[i].state == "running":
                    node.tick()
            while any(self._settle(i) for i in range(len(self.nodes))):
                continue
        self._tell()

    def write(self, i: int, key: str) -> None:
        self.nodes[i].propose(key.encode())

    def _settle(self, i: int) -> bool:
        node = self.nodes[i]
        if self.members[i].state != "running" or not node.has_ready():
            return False
        ready = node.ready()
        if ready.entries:
            self.logs[i] = [e for e in self.logs[i] if e.index < ready.entries[0].index] + list(ready.entries)
        self.hard[i] = ready.hard or self.hard[i]
        node.advance(ready)
        for message in ready.messages:
            to = message.to - 1
            self.journal.record("raft", message.type, f"m{to}", actor=f"m{i}")
            if self._hear(i, to):
                self.nodes[to].step(message)
        return True

    def _hear(self, a: int, b: int) -> bool:
        side: Any = next((s for s in self.groups if a in s), range(len(self.nodes)))
        return b in side and self.members[b].state == "running"

    def _tell(self) -> None:
        for i, node in enumerate(self.nodes):
            tail: Sequence[FakeEntry] = [FakeEntry(e.index, e.term, e.data.decode()) for e in self.logs[i]]
            self.members[i] = FakeMember(f"m{i}", node.role, self.members[i].state, node.term, named(node.leader),
                                         named(self.hard[i].vote), node.commit, node.applied, tail)


def named(member: int) -> str:
    return f"m{member - 1}" if member else ""
