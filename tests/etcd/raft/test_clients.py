"""Clients of a faulty cluster cannot tell it from one single store, unless a bug is planted."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.raft import RaftNode, Ready
from tests.etcd.linearizability import NotLinearizable, check
from tests.etcd.raft.clients import ClientSimulation, history
from tests.etcd.raft.simulator import Member


@pytest.mark.parametrize("hundred", range(10))
def test_linearizable(hundred: int) -> None:
    """A hundred schedules with crashes, partitions and changes of the members: their clients saw one store."""
    answered = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        seen = history(seed)
        check(seen)
        answered += sum(1 for operation in seen if operation.known)
    assert answered > 1000


class StaleReads(ClientSimulation):
    """A leader answers from its own state, without asking whether it still leads."""

    def read(self) -> None:
        before = len(self.history)
        member = self.some_leader()
        super().read()
        if len(self.history) > before and member is not None and not self.history[-1].known:
            self.answer(self.history[-1], member)


class AcknowledgesEarly(ClientSimulation):
    """A member acknowledges a put when it is in its own log, before a majority has it."""

    def propose(self) -> None:
        before = len(self.history)
        super().propose()
        if len(self.history) > before and self.history[-1].kind == "put" and not self.history[-1].known:
            self.history[-1].returned = self.now()


class AppliesBehind(ClientSimulation):
    """A follower answers a read before it has applied the index."""

    def finish(self, member: Member, node: RaftNode, ready: Ready) -> None:
        for read in ready.reads:
            self.answer(self.reading[read.context], member)
        super().finish(member, node, ready)


@pytest.mark.parametrize("bug", [StaleReads, AcknowledgesEarly, AppliesBehind])
def test_a_planted_bug_is_seen(bug: type[ClientSimulation]) -> None:
    """The checker finds stale reads and lost acknowledged writes in what the clients saw."""
    def caught(seed: int) -> bool:
        seen = history(seed, bug)
        try:
            check(seen)
        except NotLinearizable:
            return True
        return False

    assert any(caught(seed) for seed in range(1000))
