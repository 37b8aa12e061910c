"""NodePorts: a host port can be taken once per node, address and protocol.

Invariant: 0.0.0.0 stands for every address, so it conflicts with each.
Models:    pkg/scheduler/framework/plugins/nodeports
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo, host_ports_of

TAKEN = Rejection(("node(s) didn't have free ports for the requested pod ports",))
Port = tuple[str, str, int]  # host IP, protocol, port
ANY = "0.0.0.0"


def clash(wanted: Iterable[Port], used: Iterable[Port]) -> bool:
    used = tuple(used)
    return any(protocol == other_protocol and port == other_port and (ip == other_ip or ANY in (ip, other_ip))
               for ip, protocol, port in wanted for other_ip, other_protocol, other_port in used)


class NodePorts(Plugin):
    name = "NodePorts"

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        return pod.host_ports or SKIP

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return TAKEN if node.used_ports and clash(state, node.used_ports) else None

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind == "Node":
            return event.action == "add"
        return event.action == "delete" and event.old is not None and clash(pod.host_ports,
                                                                            host_ports_of(event.old["spec"]))
