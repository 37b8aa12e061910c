"""NodeAffinity: nodeSelector, required node affinity, and the weights of preferred node affinity.

    required terms are ORed, the expressions of one term ANDed; nodeSelector is one more AND

Models:    pkg/scheduler/framework/plugins/nodeaffinity
Left out:  addedAffinity of a scheduler profile
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent, Plugin, Rejection, normalized
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.machinery.node_selection import required_affinity, required_matches, term_matches

NO_MATCH = Rejection(("node(s) didn't match Pod's node affinity/selector",), helpless=True)


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    weight = 2

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        return None if pod.spec.get("nodeSelector") or required_affinity(pod.spec) is not None else SKIP

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if required_matches(pod.spec, node.name, node.labels) else NO_MATCH

    def pre_score(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> Any:
        return pod.terms("nodeAffinity", "preferred") or SKIP

    def scores(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        return normalized([sum(term["weight"] for term in state
                               if term_matches(term["preference"], node.name, node.labels)) for node in nodes])

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind != "Node" or event.action == "delete" or event.new is None:
            return False
        meta = event.new["metadata"]
        return required_matches(pod.spec, meta["name"], meta.get("labels") or {})
