"""NodeResourcesFit: does the pod's request fit into what is left; emptier nodes score higher.

    left = allocatable - requested, in integers: millicores, bytes, pods, extended resources
    score = mean over cpu and memory of 100 * (allocatable - scored use - scored request) / allocatable

Invariant: a request above the whole allocatable is `helpless`: no preemption could make room.
Models:    pkg/scheduler/framework/plugins/noderesources (fit, LeastAllocated)
Left out:  MostAllocated and RequestedToCapacityRatio strategies, ignored resources
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.control_plane.scheduler.framework import MAX_SCORE, ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo, Requests, requests_of


def shortfalls(want: Requests, node: NodeInfo) -> Rejection | None:
    """Name every resource of which the node has too little; None when all fit."""
    reasons, helpless = [], False
    if len(node.pods) + 1 > node.max_pods:
        reasons.append("Too many pods")
    for name, asked, have, used in (("cpu", want.cpu_m, node.cpu_m, node.used_cpu_m),
                                    ("memory", want.memory_bytes, node.memory_bytes, node.used_memory_bytes),
                                    ("ephemeral-storage", want.ephemeral_bytes, node.ephemeral_bytes,
                                     node.used_ephemeral_bytes),
                                    *((n, a, node.scalars.get(n, 0), node.used_scalars.get(n, 0))
                                      for n, a in want.scalars)):
        if asked > 0 and asked > have - used:
            reasons.append(f"Insufficient {name}")
            helpless = helpless or asked > have
    return Rejection(tuple(reasons), helpless) if reasons else None


def fits(want: Requests, node: NodeInfo) -> bool:
    """Answer the common case with three comparisons."""
    return (len(node.pods) < node.max_pods and not want.scalars and not want.ephemeral_bytes
            and (not want.cpu_m or want.cpu_m <= node.cpu_m - node.used_cpu_m)
            and (not want.memory_bytes or want.memory_bytes <= node.memory_bytes - node.used_memory_bytes))


def least_allocated(want: Requests, node: NodeInfo) -> int:
    def free(have: int, used: int) -> int:
        return MAX_SCORE * (have - used) // have if 0 < have >= used else 0

    return (free(node.cpu_m, node.scored_cpu_m + want.scored_cpu_m)
            + free(node.memory_bytes, node.scored_memory_bytes + want.scored_memory_bytes)) // 2


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    weight = 1

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if fits(pod.requests, node) else shortfalls(pod.requests, node)

    def scores(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        key, out = (self.name, pod.requests), []
        for node in nodes:
            score = node.scores.get(key)
            if score is None:
                score = node.scores[key] = least_allocated(pod.requests, node)
            out.append(score)
        return out

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind == "Pod":
            if event.action == "delete":
                return True
            if event.action == "update" and event.new and event.old:
                return requests_of(event.new["spec"]) != requests_of(event.old["spec"])
            return False
        if event.action == "delete" or event.new is None:
            return False
        empty = NodeInfo(event.new)
        return shortfalls(pod.requests, empty) is None
