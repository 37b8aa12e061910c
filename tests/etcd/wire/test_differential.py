"""Long random sequences against a real etcd and ours: same answers, revisions, errors and watch events.

Seeds are fixed; KUBELAB_DIFFERENTIAL=N walks N sequences instead of the usual number.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.server import EtcdWire
from kubelab.machinery.clock import RealClock
from tests.etcd.real_members import RealMembers

from .client import Client, Refusal, ask_progress, connected
from .conftest import Served
from .sequences import LEASES, Sequence, Step

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(600)]
SEQUENCES, STEPS = int(os.environ.get("KUBELAB_DIFFERENTIAL", "12")), 150


class Side:
    """One of the two etcds: its calls, and what its watches have been told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stream = client.stream()
        self.told: dict[int, list[Any]] = defaultdict(list)  # events of each watch
        self.control: list[Any] = []  # created, canceled
        self.progress = asyncio.Event()
        self.news = asyncio.Event()
        self.reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for answer in self.stream:
            self.news.set()
            if answer.created or answer.canceled:
                self.control.append((answer.watch_id, answer.created, answer.canceled, answer.compact_revision,
                                     answer.cancel_reason))
                self.told[answer.watch_id].append("created" if answer.created else "canceled")
            elif answer.events:
                self._note(answer)
            else:
                self.progress.set()

    def _note(self, answer: Any) -> None:
        written: set[tuple[bytes, int]] = set()
        for event in answer.events:
            name = (event.kv.key, event.kv.mod_revision)
            if name in written:  # twice in one transaction: a real etcd looks for what stood before the first
                event.ClearField("prev_kv")
            written.add(name)
            self.told[answer.watch_id].append(event.SerializeToString())

    async def call(self, step: Step) -> Any:
        try:
            answer = await self.client(step.service, step.method, step.request)
        except Refusal as refused:
            return refused.code, refused.text
        return plain(answer)

    async def ask(self) -> None:
        """Have every watch told of everything there is, as far as this side does that by itself."""
        self.progress.clear()
        await self.stream.write(ask_progress())
        await asyncio.wait_for(self.progress.wait(), 10)


def plain(answer: Any) -> Any:
    """Take out what two etcds cannot have in common: who they are, and how long a lease has been running."""
    for field in ("cluster_id", "member_id", "raft_term"):
        answer.header.ClearField(field)
    if answer.DESCRIPTOR.name == "LeaseTimeToLiveResponse":
        answer.TTL = min(answer.TTL, 0)
        answer.keys.sort()
    if answer.DESCRIPTOR.name == "LeaseLeasesResponse":
        answer.leases.sort(key=lambda lease: lease.ID)
    return answer


async def same_told(ours: Side, real: Side, seed: int) -> None:
    """Wait until the real one has told its watches as much as ours, then compare."""
    await ours.ask()
    async with asyncio.timeout(10):
        while any(len(real.told[watch]) < len(told) for watch, told in list(ours.told.items())):
            real.news.clear()
            await real.news.wait()
    await real.ask()
    for watch in {*ours.told, *real.told}:
        assert ours.told[watch] == real.told[watch], (seed, watch, ours.told[watch], real.told[watch])
    assert sorted(ours.control) == sorted(real.control), seed


async def walk(ours: Side, real: Side, seed: int) -> None:
    sequence = Sequence(seed)
    sequence.revision = (await ours.client("KV", "Range", key=b"k")).header.revision
    for number, step in enumerate(sequence.steps(STEPS)):
        if step.method in ("Compact", "cancel"):
            await same_told(ours, real, seed)  # a real etcd tells the past in its own time
        if step.service == "Watch":
            for side in (ours, real):
                await side.stream.write(step.request)
                await side.ask()
            continue
        answers = [await side.call(step) for side in (ours, real)]
        assert answers[0] == answers[1], f"seed {seed}, step {number}: {step}\nours {answers[0]}\nreal {answers[1]}"
        if not isinstance(answers[0], tuple):
            sequence.revision = max(sequence.revision, answers[0].header.revision)
    await same_told(ours, real, seed)


@pytest.mark.parametrize("served", ["memory", "disk"], indirect=True)
async def test_the_same_answers_as_a_real_etcd(served: Served, tmp_path: Path) -> None:
    """Ranges, puts, deletes, transactions, compactions, leases and watches: nothing tells the two apart."""
    await compare(served.address, tmp_path, SEQUENCES)


async def test_a_follower_of_three_gives_the_same_answers(tmp_path: Path) -> None:
    """Whoever asks one of several members, and not their leader, cannot tell it from a real etcd either."""
    group = EtcdGroup(3, None, RealClock())
    await group.start()
    wire = EtcdWire(group.running[(group.leader + 1) % 3], "127.0.0.1:0", clock=RealClock())
    await wire.start()
    await compare(wire.endpoint.partition("://")[2], tmp_path, SEQUENCES // 2)
    await wire.stop()
    await group.stop()


async def compare(our_address: str, folder: Path, sequences: int) -> None:
    """Walk so many sequences on ours and on a real one."""
    with RealMembers(folder, 1, "--unsafe-no-fsync") as member:
        async with connected(our_address) as our_client, connected(member.address) as real_client:
            for seed in range(sequences):
                ours, real = Side(our_client), Side(real_client)
                await walk(ours, real, seed)
                for side in (ours, real):
                    side.stream.cancel()
                    await asyncio.gather(side.reader, return_exceptions=True)
                    await side.client("KV", "DeleteRange", key=b"k", range_end=b"l")
                    for lease in LEASES:
                        await side.call(Step("Lease", "LeaseRevoke", pb.LeaseRevokeRequest(ID=lease)))
