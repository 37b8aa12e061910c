"""NodeUnschedulable: a cordoned node takes no pod, unless the pod tolerates exactly that.

Models:    pkg/scheduler/framework/plugins/nodeunschedulable
"""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.scheduler.framework import ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.machinery.taints import tolerates

CORDONED = Rejection(("node(s) were unschedulable",), helpless=True)
TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if not node.unschedulable or any(tolerates(t, TAINT) for t in pod.spec.get("tolerations") or ()):
            return None
        return CORDONED

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return (event.kind == "Node" and event.action != "delete" and event.new is not None
                and not (event.new.get("spec") or {}).get("unschedulable"))
