"""TaintToleration: keep pods off nodes whose taints they do not tolerate; prefer nodes that do not even discourage.

Models:    pkg/scheduler/framework/plugins/tainttoleration
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent, Plugin, Rejection, normalized
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.machinery.taints import tolerates, untolerated

UNTOLERATED = Rejection(("node(s) had untolerated taint(s)",), helpless=True)
HARD = ("NoSchedule", "NoExecute")
SOFT = "PreferNoSchedule"


class TaintToleration(Plugin):
    name = "TaintToleration"
    weight = 3

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if node.taints and untolerated(node.taints, pod.spec.get("tolerations") or (), HARD):
            return UNTOLERATED
        return None

    def pre_score(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> Any:
        if not any(taint.get("effect") == SOFT for node in nodes for taint in node.taints):
            return SKIP  # every node would score the same
        return [t for t in pod.spec.get("tolerations") or () if t.get("effect", "") in ("", SOFT)]

    def scores(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        return normalized([sum(taint.get("effect") == SOFT and not any(tolerates(t, taint) for t in state)
                               for taint in node.taints) for node in nodes], reverse=True)

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind != "Node" or event.new is None or event.action == "delete":
            return False
        taints = (event.new.get("spec") or {}).get("taints") or []
        return untolerated(taints, pod.spec.get("tolerations") or (), HARD) is None
