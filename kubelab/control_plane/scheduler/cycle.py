"""One scheduling cycle: where does this pod go, or why does it go nowhere.

    pre_filter ─► sample of nodes ─► filter ─► pre_score ─► scores * weight ─► best, ties by lot
         └──────── nobody left ────────┴─► FitError, worded as Kubernetes words it

Invariant: a cycle has no await and changes nothing; its caller assumes the node it returns.
Models:    pkg/scheduler/schedule_one.go
Left out:  extenders, trying the nominated node before the others
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo

MIN_FEASIBLE_NODES = 100
MIN_PERCENT = 5
HELPLESS = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


class FitError(Exception):
    """No node takes the pod. `message` is what the event and the PodScheduled condition say.

    `rejected` names for each node why it does not; it is empty where the pod itself is at fault.
    """

    def __init__(self, message: str, rejected_by: frozenset[str],
                 rejected: Mapping[str, Rejection] | None = None) -> None:
        super().__init__(message)
        self.message, self.rejected_by, self.rejected = message, rejected_by, rejected or {}

    @property
    def fit(self) -> str:
        """Return the message without what it says about preemption."""
        return self.message.partition(" no new claims to deallocate")[0]


def sample_size(nodes: int, percentage: int = 0) -> int:
    """Return how many feasible nodes are enough; `percentage` 0 adapts to the size of the cluster.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/
    """
    if nodes < MIN_FEASIBLE_NODES or percentage >= 100:
        return nodes
    percent = percentage or max(50 - nodes // 125, MIN_PERCENT)
    return max(nodes * percent // 100, MIN_FEASIBLE_NODES)


def explain(total: int, rejections: Sequence[Rejection]) -> str:
    """Word why none of `total` nodes fits, and why preemption does not help."""
    reasons = Counter(reason for rejection in rejections for reason in rejection.reasons)
    fit = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    helpless = sum(rejection.helpless for rejection in rejections)
    verdicts = ((helpless, HELPLESS), (len(rejections) - helpless, NO_VICTIMS))
    preempt = ", ".join(sorted(f"{count} {verdict}" for count, verdict in verdicts if count))
    return (f"0/{total} nodes are available: {fit}. no new claims to deallocate, "
            f"preemption: 0/{total} nodes are available: {preempt}.")


def explain_never(total: int, rejections: Sequence[Rejection]) -> str:
    """The same for a pod whose preemptionPolicy is Never."""
    return (explain(total, rejections).split("preemption: ")[0]
            + "preemption: not eligible due to preemptionPolicy=Never.")


class Cycle:
    """The plugins in their order, and where the next sample of nodes begins."""

    def __init__(self, plugins: Sequence[Plugin], *, percentage_of_nodes_to_score: int = 0,
                 lot: random.Random | None = None) -> None:
        self.plugins = list(plugins)
        self.percentage = percentage_of_nodes_to_score
        self._lot = lot or random.Random()
        self._start = 0

    def place(self, pod: PodInfo, cache: Cache) -> str:
        """Return the name of the node for the pod. Raises: FitError."""
        if not cache.node_list:
            raise FitError("no nodes available to schedule pods", frozenset(p.name for p in self.plugins))
        if cache.nominated:
            with cache.as_nominated(pod):
                feasible = self._feasible(pod, cache)
        else:
            feasible = self._feasible(pod, cache)
        if len(feasible) == 1:
            return feasible[0].name
        totals = self.totals(pod, cache, feasible)
        best = max(totals)
        return self._lot.choice([node.name for node, score in zip(feasible, totals, strict=True) if score == best])

    def _feasible(self, pod: PodInfo, cache: Cache) -> list[NodeInfo]:
        filters: list[tuple[Plugin, Any]] = []
        nodes = cache.node_list
        for plugin in self.plugins:
            state = plugin.pre_filter(pod, cache)
            if isinstance(state, Rejection):
                raise FitError(f"0/{len(nodes)} nodes are available: {state.reasons[0]}. not found",
                               frozenset((plugin.name,)))
            if state is not SKIP and plugin.filters:
                filters.append((plugin, state))
        wanted, feasible = sample_size(len(nodes), self.percentage), []
        rejections: dict[str, Rejection] = {}
        blamed: set[str] = set()
        looked = 0
        start = self._start % len(nodes)
        for node in (*nodes[start:], *nodes[:start]):
            looked += 1
            for plugin, state in filters:
                rejection = plugin.filter(state, pod, node)
                if rejection is not None:
                    rejections[node.name] = rejection
                    blamed.add(plugin.name)
                    break
            else:
                feasible.append(node)
                if len(feasible) == wanted:
                    break
        self._start = (start + looked) % len(nodes)
        if not feasible:
            word = explain_never if pod.spec.get("preemptionPolicy") == "Never" else explain
            raise FitError(word(len(nodes), [*rejections.values()]), frozenset(blamed), rejections)
        return feasible

    def totals(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> list[int]:
        """Return the weighted sum of all plugins' scores for each node."""
        totals = [0] * len(nodes)
        for plugin in self.plugins:
            if not plugin.weight:
                continue
            state = plugin.pre_score(pod, cache, nodes)
            if state is not SKIP:
                weight = plugin.weight
                totals = [total + weight * score
                          for total, score in zip(totals, plugin.scores(state, pod, nodes), strict=True)]
        return totals
