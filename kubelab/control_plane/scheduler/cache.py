"""The scheduler's picture of the cluster, changed by events and by its own assumptions.

    watch: Node, assigned Pod ──► add / update / remove ─┐
    cycle: "this pod goes there" ─► assume ──────────────┼─► NodeInfo sums, label groups
    bind failed ──────────────────► forget ──────────────┘

A cycle runs without an await, in the one thread of the loop, so nothing changes under it: the cache is its own
snapshot, and a change costs what changed, never the size of the cluster.

Invariant: a pod is counted on at most one node; an assumed pod is counted as if it were bound.
Models:    pkg/scheduler/backend/cache
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.machinery.request import Obj

LabelsKey = tuple[str, frozenset[tuple[str, str]], bool]  # namespace, labels, terminating: one template, one key


class Cache:
    """Nodes with what runs on them."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.node_list: list[NodeInfo] = []  # real nodes in stable order, for the round robin of samples
        self.pods: dict[str, PodInfo] = {}  # uid → pod on a node, assumed ones too
        self.assumed: set[str] = set()
        self.groups: dict[LabelsKey, dict[str, int]] = {}  # → node name → how many pods there have these labels
        self.with_affinity: dict[str, PodInfo] = {}  # uid → pods that have pod (anti-)affinity terms
        self._orphans: dict[str, dict[str, PodInfo]] = {}  # node name → pods seen before their node
        self.namespace_labels: dict[str, dict[str, str]] = {}
        self.nominated: dict[str, tuple[PodInfo, str]] = {}  # uid → waiting pod, and the node that others make room on
        self._priorities: dict[int, int] = {}  # priority → how many pods on nodes have it
        self.claims: dict[str, Obj] = {}  # namespace/name → PersistentVolumeClaim

    # nodes
    def set_node(self, obj: Obj) -> NodeInfo:
        name = obj["metadata"]["name"]
        info = self.nodes.get(name)
        if info is None:
            info = self.nodes[name] = NodeInfo(obj)
            self.node_list.append(info)
            for pod in self._orphans.pop(name, {}).values():
                info.add(pod)
        else:
            info.set_node(obj)
        return info

    def remove_node(self, name: str) -> None:
        info = self.nodes.pop(name, None)
        if info is not None:
            self.node_list.remove(info)
            if info.pods:
                self._orphans[name] = dict(info.pods)

    # pods
    def set_pod(self, pod: PodInfo) -> None:
        """Take over a pod that the API server says is assigned; what was assumed of it is confirmed."""
        self.remove_pod(pod.uid)
        self._count(pod)

    def assume(self, pod: PodInfo, node_name: str) -> None:
        """Count the pod on the node before the API server has heard of it."""
        self.nominated.pop(pod.uid, None)
        pod.node_name = node_name
        self.assumed.add(pod.uid)
        self._count(pod)

    def forget(self, pod: PodInfo) -> None:
        """Take an assumption back, unless it has been confirmed meanwhile."""
        if pod.uid in self.assumed:
            self.remove_pod(pod.uid)
            pod.node_name = ""

    def remove_pod(self, uid: str) -> PodInfo | None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return None
        self.assumed.discard(uid)
        self.with_affinity.pop(uid, None)
        info = self.nodes.get(pod.node_name)
        if info is not None:
            info.remove(pod)
        else:
            self._orphans.get(pod.node_name, {}).pop(uid, None)
        self._priorities[pod.priority] -= 1
        if not self._priorities[pod.priority]:
            del self._priorities[pod.priority]
        group = self.groups[pod.labels_key]
        group[pod.node_name] -= 1
        if not group[pod.node_name]:
            del group[pod.node_name]
            if not group:
                del self.groups[pod.labels_key]
        return pod

    # what if
    def has_lower_priority(self, priority: int) -> bool:
        return any(known < priority for known in self._priorities)

    def take_out(self, pod: PodInfo) -> None:
        """Leave a pod out of account, to see what its going would change; `put_back` ends it."""
        self.remove_pod(pod.uid)

    def put_back(self, pod: PodInfo) -> None:
        self._count(pod)

    @contextmanager
    def as_nominated(self, pod: PodInfo) -> Iterator[None]:
        """Count those on their nominated nodes whom `pod` must not be quicker than."""
        ahead = [other for other, _ in self.nominated.values() if other.uid != pod.uid
                 and other.priority >= pod.priority and other.uid not in self.pods]
        for other in ahead:
            other.node_name = self.nominated[other.uid][1]
            self._count(other)
        try:
            yield
        finally:
            for other in ahead:
                self.remove_pod(other.uid)
                other.node_name = ""

    def _count(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self._priorities[pod.priority] = self._priorities.get(pod.priority, 0) + 1
        info = self.nodes.get(pod.node_name)
        if info is not None:
            info.add(pod)
        else:
            self._orphans.setdefault(pod.node_name, {})[pod.uid] = pod
        if "podAffinity" in pod.affinity or "podAntiAffinity" in pod.affinity:
            self.with_affinity[pod.uid] = pod
        group = self.groups.setdefault(pod.labels_key, {})
        group[pod.node_name] = group.get(pod.node_name, 0) + 1
