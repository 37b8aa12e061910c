"""A group under load and under fire: clients whose answers make a history, watchers that write down what they are told.

    clients ─► the group, or one member ─► history ─► linearizable?
    watchers of the group and of each member ─► told ─► each revision once, in order, whole, the same for all?
    at the end, when all is mended: the same keys, leases and members everywhere

Invariant: with a SteppedClock and without a folder, a world is a function of its seed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubelab.control_plane.etcd.api import Compacted, Compare, EtcdError, Put, WatchedEvent
from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.control_plane.etcd.members.member import Member
from kubelab.control_plane.etcd.members.replica import Settings
from kubelab.machinery.clock import Clock, SteppedClock
from tests.etcd.linearizability import Operation, check

from .faults import BadNetwork, Nemesis

KEYS = ("x", "y", "z")
SMALL = Settings(snapshot_every=50, keep=10)


class Told:
    """What one watcher was told: (revision, events), opened again from there whenever it is lost."""

    def __init__(self, name: str, etcd: EtcdGroup | Member) -> None:
        self.name, self._etcd = name, etcd
        self.seen: list[tuple[int, tuple[tuple[str, bytes, bytes], ...]]] = []
        self.skipped: list[tuple[int, int]] = []  # from, to: compacted before it could be told
        self.next = 1
        self._open = False

    def look(self) -> None:
        """Watch, if nothing does and the etcd answers."""
        if self._open:
            return
        try:
            self._open = True
            self._etcd.watch(b"\0", b"\0", self.next, on_events=self._on_events, on_lost=self._on_lost)
        except Compacted as gone:
            self._open = False
            self.skipped.append((self.next, gone.compact_revision))
            self.next = gone.compact_revision
        except EtcdError:
            self._open = False

    def _on_lost(self, why: EtcdError) -> None:
        self._open = False

    def _on_events(self, events: list[WatchedEvent]) -> None:
        for event in events:
            revision = event.kv.mod_revision
            if not self.seen or self.seen[-1][0] != revision:
                self.seen.append((revision, ()))
            self.seen[-1] = (revision, (*self.seen[-1][1], (event.type, event.kv.key, event.kv.value)))
            self.next = revision + 1


class World:
    """Everything of one run."""

    def __init__(self, seed: int, clock: Clock, data_dir: Path | None = None, *, size: int = 3, clients: int = 6,
                 settings: Settings = SMALL) -> None:
        self.seed, self.clock, self.random = seed, clock, random.Random(seed)
        self.network = BadNetwork(clock, random.Random(seed))
        self.group = EtcdGroup(size, data_dir, clock, settings=settings, network=self.network)
        self.nemesis = Nemesis(self.group, self.network, clock, random.Random(seed))
        self.history: list[Operation] = []
        self.told: dict[str, Told] = {}
        self.clients, self.calm = clients, False
        self._moment = 0

    def now(self) -> int:
        self._moment += 1
        return self._moment

    # ── the run ──────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, rounds: int) -> None:
        """Rage for some rounds, mend everything, then check everything. Every failure names the seed."""
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        before = asyncio.all_tasks()
        await self._live(self.group.start())
        tasks = [asyncio.ensure_future(self._client(number)) for number in range(self.clients)]
        tasks.append(asyncio.ensure_future(self._look()))
        try:
            await self._live(self.nemesis.rage(rounds))
            self.calm = True
            await self._live(asyncio.gather(*tasks))
            await self._live(self._settled())
            self.check()
            assert not failures, failures
        except AssertionError as failure:
            failure.add_note(f"seed {self.seed}, after {', '.join(self.nemesis.done)}")
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._live(self.group.stop())
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - before
        assert not left, f"seed {self.seed}: left after the stop: {left}"

    async def _live(self, work: Any) -> None:
        """Let the time pass until something is done."""
        task = asyncio.ensure_future(work)
        if isinstance(self.clock, SteppedClock):
            until = self.clock.monotonic() + 120
            while not task.done():
                await self.clock.step(0.03, settle=20)
                if self.clock.monotonic() > until:
                    task.cancel()
                    raise TimeoutError(f"seed {self.seed}: it never ends: {task}, {self.nemesis.done}, "
                                       f"{self.group.members}")
        await task

    async def _look(self) -> None:
        """Have a watcher on the group and on every member, all the time."""
        while not self.calm:
            for name, etcd in [("group", self.group), *((m.name, m) for m in self.group.running)]:
                name = f"{name}/{id(etcd):x}"
                if name not in self.told:
                    self.told[name] = Told(name, etcd)
            for told in self.told.values():
                told.look()
            await self.clock.sleep(0.05)

    async def _settled(self) -> None:
        """Wait until all members have applied the same, and every watcher was told of it."""
        while True:
            for told in self.told.values():
                told.look()
            members = self.group.running
            if (len({member.replica.applied for member in members}) == 1 and self.group.leader >= 0
                    and members[0].replica.applied == members[self.group.leader].replica.node.log.last):
                return
            await self.clock.sleep(0.05)

    # ── clients ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _client(self, number: int) -> None:
        rnd = random.Random(f"{self.seed}/{number}")
        while not self.calm:
            members = self.group.running
            etcd: EtcdGroup | Member = self.group if rnd.random() < 0.4 else rnd.choice(members)
            operation = Operation(number, rnd.choice(("get", "get", "put", "put", "cas", "cas", "delete")),
                                  rnd.choice(KEYS), self.now(), f"{number}.{self._moment}",
                                  rnd.choice([None, *(op.value for op in self.history[-8:])]))
            self.history.append(operation)
            try:
                operation.result = await self._do(etcd, operation)
                operation.returned = self.now()
            except EtcdError:
                pass  # nobody knows whether it has happened, or will
            await self.clock.sleep(rnd.random() * 0.1)

    async def _do(self, etcd: EtcdGroup | Member, operation: Operation) -> str | bool | None:
        key, value = operation.key.encode(), (operation.value or "").encode()
        if operation.kind == "get":
            found = (await etcd.range(key)).kvs
            return found[0].value.decode() if found else None
        if operation.kind == "put":
            await etcd.put(key, value)
            return None
        if operation.kind == "delete":
            return (await etcd.delete_range(key)).deleted == 1
        guard = Compare(key, "version", "=", 0) if operation.expect is None else \
            Compare(key, "value", "=", operation.expect.encode())
        return (await etcd.txn([guard], [Put(key, value)])).succeeded

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        truth = self._check_watchers()
        self._check_members()
        written = {value.decode() for events in truth.values() for _, _, value in events}
        check(operation for operation in self.history  # what never came about need not be looked for
              if operation.known or operation.kind == "delete" or operation.value in written)

    def _check_watchers(self) -> dict[int, Any]:
        """Each watcher was told of each revision once, in order, and of the same as every other."""
        truth: dict[int, Any] = {}
        for told in self.told.values():
            revisions = [revision for revision, _ in told.seen]
            assert revisions == sorted(set(revisions)), f"{told.name} was told out of order: {revisions}"
            for revision, events in told.seen:
                assert truth.setdefault(revision, events) == events, f"{told.name} was told of another {revision}"
        now = self.group.running[0].revision
        values = [value for events in truth.values() for kind, _, value in events if kind == "PUT"]
        assert len(values) == len(set(values)), "a request was carried out twice"
        living = {f"{etcd.name}/{id(etcd):x}" for etcd in (self.group, *self.group.running)}
        for told in self.told.values():
            missed = set(range(2, now + 1)) - {revision for revision, _ in told.seen}
            missed -= {revision for low, high in told.skipped for revision in range(low, high)}
            assert not missed or told.name not in living, f"{told.name} was never told of {sorted(missed)}"
        return truth

    def _check_members(self) -> None:
        """Every member holds the same."""
        first, *others = self.group.running
        for other in others:
            for what in ("state", "hash"):
                mine, its = (_WHAT[what](member) for member in (first, other))
                assert mine == its, f"{first.name} and {other.name} differ in their {what}:\n{mine}\n{its}"


_WHAT: dict[str, Callable[[Member], Any]] = {
    "state": lambda member: member.machine.state()._replace(keys=None),
    "hash": lambda member: (member.machine.store.hash(), member.machine.store.compact_revision),
}
