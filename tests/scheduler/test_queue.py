"""The scheduling queue: order, back-off, and who is woken by what."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.scheduler.framework import ClusterEvent
from kubelab.control_plane.scheduler.queue import FLUSH_UNSCHEDULABLE_S, SchedulingQueue
from kubelab.machinery.clock import SteppedClock

NODE_ADDED = ClusterEvent("Node", "add", {"metadata": {"name": "n"}})


def queue(wanted: set[str]) -> tuple[SchedulingQueue, SteppedClock]:
    clock = SteppedClock()
    return SchedulingQueue(clock, lambda names, pod, event: bool(wanted & set(names))), clock


def popped(waiting: SchedulingQueue) -> list[str]:
    names = []
    while (entry := waiting.pop_now()) is not None:
        names.append(entry.pod.name)
    return names


async def test_priority_then_age(pod: Any) -> None:
    """Higher priority first, among equals the older."""
    waiting, clock = queue(set())
    for name, priority in (("a", 0), ("b", 10), ("c", 0)):
        waiting.add(pod(name, priority=priority))
        clock.jump(1)
    assert popped(waiting) == ["b", "a", "c"]


async def test_an_event_that_may_help_wakes_after_the_back_off(pod: Any) -> None:
    """A rejected pod waits for a fitting event, and then still for the rest of its back-off, longer each time."""
    waiting, clock = queue({"NodeResourcesFit"})
    waiting.add(pod("a"))
    for backoff_s in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
        entry = waiting.pop_now()
        assert entry is not None
        waiting.park(entry, ["NodeResourcesFit"])
        waiting.on_event(NODE_ADDED)
        assert waiting.lengths["backoff"] == 1
        clock.jump(backoff_s - 0.1)
        assert waiting.lengths["backoff"] == 1
        clock.jump(0.2)
        assert waiting.lengths["active"] == 1


async def test_an_event_that_cannot_help_wakes_nobody(pod: Any) -> None:
    """Without a hint the pod stays, until five minutes are over."""
    waiting, clock = queue({"NodePorts"})
    waiting.add(pod("a"))
    entry = waiting.pop_now()
    assert entry is not None
    waiting.park(entry, ["NodeResourcesFit"])
    waiting.on_event(NODE_ADDED)
    clock.jump(60)
    assert waiting.lengths["unschedulable"] == 1
    clock.jump(FLUSH_UNSCHEDULABLE_S)
    assert popped(waiting) == ["a"]


async def test_gates_hold_a_pod_back(pod: Any) -> None:
    """A gated pod is not tried before its gates are lifted."""
    waiting, _ = queue(set())
    gated = pod("a", schedulingGates=[{"name": "x/y"}])
    waiting.add(gated)
    assert popped(waiting) == [] and waiting.lengths["gated"] == 1
    free = pod("a")
    free.uid = gated.uid
    waiting.update(free)
    assert popped(waiting) == ["a"]


async def test_a_deleted_pod_is_not_popped(pod: Any) -> None:
    """A pod that goes away while it waits, or while a cycle has it, is forgotten."""
    waiting, _ = queue(set())
    one = pod("a")
    waiting.add(one)
    waiting.remove(one.uid)
    assert popped(waiting) == []
    waiting.add(one)
    entry = waiting.pop_now()
    assert entry is not None
    waiting.remove(one.uid)
    waiting.park(entry, ["NodeResourcesFit"])
    assert not any(waiting.lengths.values())


async def test_an_error_only_backs_off(pod: Any) -> None:
    """When binding fails nobody is to blame, and the pod is tried again soon."""
    waiting, clock = queue(set())
    waiting.add(pod("a"))
    entry = waiting.pop_now()
    assert entry is not None
    waiting.park(entry, ())
    clock.jump(1.1)
    assert popped(waiting) == ["a"]
