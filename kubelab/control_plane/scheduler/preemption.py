"""Preemption: which pods of lower priority have to go, and from which node, so that this one fits.

    rejected nodes ─► all lower ones away: does it fit? ─► let back in whom there is room for ─► the rest are victims
                                                            (those under a budget first, the most important first)
    candidates ─► fewest budgets broken ─► least important victims ─► fewest of them ─► the youngest

Invariant: nothing is changed: pods that are taken out of the cache to try are back in it on return.
Models:    pkg/scheduler/framework/preemption, plugins/defaultpreemption
Left out:  extenders, victims' pod groups
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector

MIN_CANDIDATES, MIN_PERCENT = 100, 10  # nodes that are tried at least


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and who has to leave it, the most important first."""

    node: str
    victims: tuple[PodInfo, ...]
    broken: int  # victims whose budget allows no more disruptions


def find(pod: PodInfo, cache: Cache, plugins: Sequence[Plugin], rejected: Mapping[str, Rejection],
         budgets: Iterable[Obj]) -> Candidate | None:
    """Return the best node to make room on, None when no pod's leaving helps."""
    if pod.spec.get("preemptionPolicy") == "Never" or not cache.has_lower_priority(pod.priority):
        return None
    hopeful = [cache.nodes[name] for name, why in rejected.items() if not why.helpless and name in cache.nodes]
    enough = max(MIN_CANDIDATES, len(hopeful) * MIN_PERCENT // 100)
    found: list[Candidate] = []
    for node in hopeful:
        candidate = _try(pod, node, cache, plugins, budgets)
        if candidate is not None:
            found.append(candidate)
            if len(found) == enough:
                break
    return min(found, key=_cost, default=None)


def waits_for_victims(pod: PodInfo, cache: Cache) -> bool:
    """Tell whether pods that make room for this one are still leaving: then no others have to."""
    nominated = cache.nominated.get(pod.uid)
    node = cache.nodes.get(nominated[1]) if nominated is not None else None
    return node is not None and any(other.priority < pod.priority and other.terminating
                                    for other in node.pods.values())


def _try(pod: PodInfo, node: NodeInfo, cache: Cache, plugins: Sequence[Plugin],
         budgets: Iterable[Obj]) -> Candidate | None:
    lower = sorted((other for other in node.pods.values() if other.priority < pod.priority), key=_importance)
    if not lower:
        return None
    with _without(lower, cache):
        if not _fits(pod, node, cache, plugins):
            return None
        broken = _breaking(lower, budgets)
        victims = []
        for other in sorted(lower, key=lambda p: p.uid not in broken):  # stable: the most important first in each half
            cache.put_back(other)
            if not _fits(pod, node, cache, plugins):
                cache.take_out(other)
                victims.append(other)
    victims.sort(key=_importance)
    return Candidate(node.name, tuple(victims), sum(v.uid in broken for v in victims)) if victims else None


@contextmanager
def _without(pods: Sequence[PodInfo], cache: Cache) -> Iterator[None]:
    """Take pods out of the cache, and put back at the end who is still missing."""
    assumed = cache.assumed & {pod.uid for pod in pods}
    for pod in pods:
        cache.take_out(pod)
    try:
        yield
    finally:
        for pod in pods:
            if pod.uid not in cache.pods:
                cache.put_back(pod)
        cache.assumed |= assumed


def _fits(pod: PodInfo, node: NodeInfo, cache: Cache, plugins: Sequence[Plugin]) -> bool:
    for plugin in plugins:
        state = plugin.pre_filter(pod, cache)
        if isinstance(state, Rejection):
            return False
        if state is not SKIP and plugin.filters and plugin.filter(state, pod, node) is not None:
            return False
    return True


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Sort the most important first: by priority, then who has run the longest."""
    return -pod.priority, _started(pod)


def _started(pod: PodInfo) -> str:
    return str((pod.obj.get("status") or {}).get("startTime") or "~")  # not yet: after every timestamp


def _breaking(pods: Sequence[PodInfo], budgets: Iterable[Obj]) -> set[str]:
    """Return the uids of the pods, the most important first, whose going a PodDisruptionBudget does not allow."""
    left = [(b["metadata"]["namespace"], from_label_selector(b["spec"].get("selector")),
             [(b.get("status") or {}).get("disruptionsAllowed", 0)], (b.get("status") or {}).get("disruptedPods") or {})
            for b in budgets]
    out = set()
    for pod in pods:
        for namespace, selector, allowed, disrupted in left:
            if namespace == pod.namespace and pod.labels and pod.name not in disrupted and selector.matches(pod.labels):
                allowed[0] -= 1
                if allowed[0] < 0:
                    out.add(pod.uid)
    return out


def _cost(candidate: Candidate) -> tuple[int, int, int, int, _Youngest]:
    victims = candidate.victims
    highest = victims[0].priority
    earliest = min(_started(v) for v in victims if v.priority == highest)
    return (candidate.broken, highest, sum(v.priority + (1 << 31) for v in victims), len(victims), _Youngest(earliest))


@dataclass(frozen=True, slots=True)
class _Youngest:
    """Orders start times backwards: among equals, who started last goes first."""

    started: str

    def __lt__(self, other: _Youngest) -> bool:
        return self.started > other.started
