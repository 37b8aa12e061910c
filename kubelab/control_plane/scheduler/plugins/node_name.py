"""NodeName: a pod that names its node in a scheduling request goes nowhere else.

Models:    pkg/scheduler/framework/plugins/nodename
"""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo

NO_MATCH = Rejection(("node(s) didn't match the requested node name",), helpless=True)


class NodeName(Plugin):
    name = "NodeName"

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        return pod.spec.get("nodeName") or SKIP

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if state == node.name else NO_MATCH

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return (event.kind == "Node" and event.action == "add" and event.new is not None
                and event.new["metadata"]["name"] == pod.spec.get("nodeName"))
