"""NodeResourcesBalancedAllocation: prefer nodes where cpu and memory would be used in equal measure.

    score = 100 * (1 - standard deviation of the two used fractions)

Invariant: a pod that requests nothing is not scored: it balances nothing.
Models:    pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go
Left out:  resources other than cpu and memory
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import MAX_SCORE, SKIP, Plugin
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo, Requests


def balance(want: Requests, node: NodeInfo) -> int:
    """Score one node; the deviation of two fractions is half their distance."""
    fractions = [min((used + asked) / have, 1.0)
                 for have, used, asked in ((node.cpu_m, node.used_cpu_m, want.cpu_m),
                                           (node.memory_bytes, node.used_memory_bytes, want.memory_bytes)) if have]
    deviation = abs(fractions[0] - fractions[1]) / 2 if len(fractions) == 2 else 0.0
    return int((1 - deviation) * MAX_SCORE)


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    weight = 1
    filters = False

    def pre_score(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> Any:
        return SKIP if pod.requests.nothing else None

    def scores(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        key, out = (self.name, pod.requests), []
        for node in nodes:
            score = node.scores.get(key)
            if score is None:
                score = node.scores[key] = balance(pod.requests, node)
            out.append(score)
        return out
