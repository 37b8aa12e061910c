"""Raft is safe over 20,000 random schedules. All of them run here, 2 ms each; every eighth has to heal as well."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.etcd.raft import simulator


@pytest.mark.parametrize("thousand", range(20))
def test_safety_holds(thousand: int) -> None:
    """A thousand seeds: every property of checker.py holds after every step, and every eighth cluster heals."""
    for seed in range(1000 * thousand, 1000 * thousand + 1000):
        simulator.run(seed)


def test_a_seed_decides_everything() -> None:
    """The same seed gives the same steps, in the same order."""
    def steps(seed: int) -> list[str]:
        lines: list[str] = []
        simulator.run(seed, lines.append)
        return lines

    assert steps(11) == steps(11) != steps(12)


def test_schedules_reach_what_they_are_for() -> None:
    """Two hundred schedules see elections, commits, reads, crashes, changes of members and snapshots."""
    happened: Counter[str] = Counter()
    for seed in range(200):
        simulation = simulator.run(seed)
        happened += simulation.happened
        happened["committed"] += simulation.checker.committed
        happened["terms with a leader"] += len(simulation.checker.leaders)
        happened["reads answered"] += simulation.checker.reads_answered
    enough = {"committed": 1000, "terms with a leader": 400, "reads answered": 50, "crash": 300, "lost": 2000,
              "changes applied": 50, "snapshots restored": 5, "transfer": 30, "compact": 50}
    assert {what: happened[what] for what, least in enough.items() if happened[what] < least} == {}
