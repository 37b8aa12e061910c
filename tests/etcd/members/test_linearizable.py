"""Clients and watchers of several members cannot tell them from one store, whatever goes wrong; planted bugs are seen.

KUBELAB_MEMBERS_SEEDS=N runs N seeds instead of the usual number.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from kubelab.control_plane.etcd.members.machine import Machine
from kubelab.control_plane.etcd.members.member import Member
from kubelab.control_plane.etcd.members.replica import Settings
from kubelab.control_plane.etcd.members.storage import Memory
from kubelab.machinery.clock import RealClock, SteppedClock

from .conftest import Seeded
from .world import World

SEEDS = int(os.environ.get("KUBELAB_MEMBERS_SEEDS", "16"))


def answered(world: World) -> int:
    return sum(operation.known for operation in world.history)


@pytest.mark.parametrize("part", range(4))
async def test_three_members(seeded: Seeded, part: int) -> None:
    """Killed, paused, cut apart, slowed down, joined and removed, over a network that loses, repeats and reorders."""
    total = 0
    for seed in range(part, SEEDS, 4):
        seeded(seed)
        world = World(seed, SteppedClock())
        await world.run(40)
        total += answered(world)
    assert total > SEEDS // 4 * 100


async def test_five_members(seeded: Seeded) -> None:
    """The same with two that may be missing."""
    for seed in range(100, 102):
        seeded(seed)
        await World(seed, SteppedClock(), size=5).run(30)


@pytest.mark.parametrize("seed", range(2))
async def test_on_disk(tmp_path: Path, seed: int) -> None:
    """The same with a log on disk, threads and the real time, two times faster than the members usually go."""
    random.seed(seed)
    world = World(seed, RealClock(), tmp_path, settings=Settings(tick_s=0.015, snapshot_every=50, keep=10))
    await world.run(10)
    assert answered(world) > 50


async def test_a_run_is_a_function_of_its_seed(seeded: Seeded) -> None:
    """What a seed found once, it finds again."""
    runs = []
    for _ in range(2):
        seeded(7)
        world = World(7, SteppedClock())
        await world.run(15)
        runs.append(list(map(str, world.history)))
    assert runs[0] == runs[1]


# ── planted bugs ─────────────────────────────────────────────────────────────────────────────────────────────────


def reads_unproven(self: Member) -> asyncio.Future[None]:
    """Answer from this member's own keys, however old they are."""
    proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    proof.set_result(None)
    return proof


flushed = Memory.flushed


async def flushes_late(self: Memory) -> None:
    """Say that everything is on disk when the newest of it is not: acknowledgements and votes leave too early."""
    late, self._pending = self._pending[-3:], self._pending[:-3]
    await flushed(self)
    self._pending = late


def never_seen(self: Machine, request: int, index: int, until: int) -> bool:
    """Take every copy of a request for the first."""
    return True


@pytest.mark.parametrize(("owner", "name", "bug", "seeds"), [
    (Member, "prove", reads_unproven, range(5)), (Memory, "flushed", flushes_late, (7, 2, 5, 8)),
    (Machine, "first_time", never_seen, range(5))])
async def test_a_planted_bug_is_seen(seeded: Seeded, monkeypatch: pytest.MonkeyPatch, owner: type, name: str,
                                     bug: object, seeds: Iterable[int]) -> None:
    """Stale reads, acknowledged writes that are lost, and requests that are carried out twice do not go unnoticed."""
    monkeypatch.setattr(owner, name, bug)
    logging.disable(logging.CRITICAL)  # the members have much to complain about
    try:
        for seed in seeds:
            seeded(seed)
            try:
                await World(seed, SteppedClock()).run(40)
            except AssertionError:
                return
            except TimeoutError:
                continue  # they could not even agree any more, which shows nothing to a client
    finally:
        logging.disable(logging.NOTSET)
        await asyncio.sleep(0)
    raise AssertionError(f"{bug} was not found")
