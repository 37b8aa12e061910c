"""The scheduler's plugins, one file each, in the order in which real Kubernetes runs them."""

from __future__ import annotations

from collections.abc import Callable

from kubelab.control_plane.scheduler.framework import Plugin
from kubelab.control_plane.scheduler.nodeinfo import PodInfo
from kubelab.control_plane.scheduler.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from kubelab.control_plane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from kubelab.control_plane.scheduler.plugins.node_affinity import NodeAffinity
from kubelab.control_plane.scheduler.plugins.node_name import NodeName
from kubelab.control_plane.scheduler.plugins.node_ports import NodePorts
from kubelab.control_plane.scheduler.plugins.node_resources_fit import NodeResourcesFit
from kubelab.control_plane.scheduler.plugins.node_unschedulable import NodeUnschedulable
from kubelab.control_plane.scheduler.plugins.pod_topology_spread import PodTopologySpread
from kubelab.control_plane.scheduler.plugins.taint_toleration import TaintToleration
from kubelab.control_plane.scheduler.plugins.volume_binding import VolumeBinding
from kubelab.machinery.selectors import Selector


def default_plugins(default_selector: Callable[[PodInfo], Selector | None] = lambda pod: None) -> list[Plugin]:
    """Build the default profile. `default_selector` finds the selector of a pod's Services and controller."""
    return [NodeUnschedulable(), NodeName(), TaintToleration(), NodeAffinity(), NodePorts(), NodeResourcesFit(),
            VolumeBinding(), PodTopologySpread(default_selector), InterPodAffinity(),
            NodeResourcesBalancedAllocation()]


__all__ = ["Plugin", "default_plugins"]
