"""The controller base: workers, back-off, journal."""

from __future__ import annotations

import asyncio

from kubelab.client.controller import Controller
from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal, caused_by, current_cause


class Recording(Controller):
    """Reconciles by writing down the key; fails for keys it was told to."""

    def __init__(self, clock: SteppedClock, journal: Journal | None = None, workers: int = 1) -> None:
        super().__init__("recording", clock=clock, journal=journal, workers=workers)
        self.seen: list[str] = []
        self.causes: list[int | None] = []
        self.fail: dict[str, Exception] = {}
        self.gate: asyncio.Event | None = None

    async def reconcile(self, key: str) -> None:
        self.seen.append(key)
        self.causes.append(current_cause.get())
        if self.gate is not None:
            await self.gate.wait()
        if key in self.fail:
            raise self.fail.pop(key)


async def test_keys_are_reconciled_and_journalled() -> None:
    """Each key is reconciled once, under a journal entry that is the cause of what it does."""
    clock, journal = SteppedClock(), Journal()
    controller = Recording(clock, journal)
    await controller.start()
    for key in "abca":
        controller.queue.add(key)
    await clock.step(0)
    assert controller.seen == ["a", "b", "c"]
    entries = journal.entries()
    assert [(e.seam, e.actor) for e in entries] == [("reconcile", "recording")] * 3
    assert controller.causes == [e.seq for e in entries]
    await controller.stop()


async def test_a_reconcile_knows_what_led_to_it() -> None:
    """The journal entry under which a key was added is the cause of its reconcile."""
    clock, journal = SteppedClock(), Journal()
    controller = Recording(clock, journal)
    write = journal.record("write", "create", "pods/default/a")
    with caused_by(write):
        controller.queue.add("a")
    await controller.start()
    await clock.step(0)
    assert [(e.seam, e.cause) for e in journal.entries()] == [("write", None), ("reconcile", write)]
    await controller.stop()


async def test_a_failed_key_is_tried_again_later() -> None:
    """An error is recorded and the key comes again after its back-off, while others go on at once."""
    clock, journal = SteppedClock(), Journal()
    controller = Recording(clock, journal)
    controller.fail = {"a": ApiError(409, "Conflict", "stale"), "b": ZeroDivisionError("oops")}
    await controller.start()
    for key in "abc":
        controller.queue.add(key)
    await clock.step(0.001)
    assert controller.seen == ["a", "b", "c"]
    await clock.step(0.01)
    assert sorted(controller.seen[3:]) == ["a", "b"]
    assert controller.errors == 2
    assert isinstance(controller.last_error, ZeroDivisionError)
    assert [e.detail for e in journal.entries() if e.verb == "error"] == ["stale", "oops"]
    await controller.stop()


async def test_a_key_in_work_when_stopped_is_there_when_started_again() -> None:
    """Stopping half-way through a reconcile does not lose the key."""
    clock = SteppedClock()
    controller = Recording(clock)
    controller.gate = asyncio.Event()
    await controller.start()
    controller.queue.add("a")
    await clock.step(0)
    await controller.stop()
    controller.gate = None
    controller.queue.add("b")
    await controller.start()
    await clock.step(0)
    assert sorted(controller.seen) == ["a", "a", "b"]
    await controller.stop()


async def test_several_workers_work_side_by_side() -> None:
    """Two workers hold two keys at a time, never the same one."""
    clock = SteppedClock()
    controller = Recording(clock, workers=2)
    controller.gate = asyncio.Event()
    await controller.start()
    for key in "aab":
        controller.queue.add(key)
    await clock.step(0)
    assert sorted(controller.seen) == ["a", "b"]
    controller.gate.set()
    await clock.step(0)
    await controller.stop()


async def test_a_busy_worker_lets_others_run() -> None:
    """A worker whose reconciles never wait still gives the loop away now and then."""
    controller = Recording(SteppedClock())
    for i in range(20_000):
        controller.queue.add(str(i))
    await controller.start()
    turns = 0
    while len(controller.seen) < 20_000:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    await controller.stop()
