"""Node lifecycle controller: notice nodes that have gone silent, and tell everybody by conditions and taints.

    Lease renewed, Node status posted ─► "seen at" (our clock)
    nothing for 40 s ─► Ready Unknown ─► taint unreachable NoSchedule, NoExecute ─► pods there not Ready
    heard of again   ─► the kubelet's own conditions return ─► taints off

Invariant: time is measured on our own clock from what we saw, never against a node's clock.
Models:    kube-controller-manager, node-lifecycle-controller
Left out:  zones (the cluster is one), the node-ipam and cloud parts
"""

from __future__ import annotations

import asyncio

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.node_health import (
    eviction_rate,
    next_taints,
    ready_status,
    silent_conditions,
    wanted_taints,
)
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_ready
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj

LEASES = "kube-node-lease"
GRACE_S, EVICTION_RATE_PER_S = 40.0, 0.1


class NodeLifecycleController(Controller):
    """`grace_s`: silence after which a node counts as gone. `eviction_rate_per_s`: nodes a second emptied for it."""

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder, grace_s: float = GRACE_S,
                 eviction_rate_per_s: float = EVICTION_RATE_PER_S) -> None:
        self.client, self.recorder = client, recorder
        self.grace_s, self.eviction_rate_per_s = grace_s, eviction_rate_per_s
        self.nodes = informers.of("nodes")
        self.leases = informers.of("leases.coordination.k8s.io")
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.nodes, self.leases, self.pods), workers=8)
        self._seen_at: dict[str, float] = {}  # node → monotonic seconds of the last sign of life
        self._not_ready: set[str] = set()
        self._next_eviction_at = 0.0
        self.nodes.on_event(self._on_node)
        self.leases.on_event(self._on_lease)

    async def setup(self) -> None:
        """Give every node a fresh grace: while we were away, we could not hear them."""
        for name in self._seen_at:
            self._seen_at[name] = self.clock.monotonic()

    # signs of life
    def _on_lease(self, type_: str, lease: Obj, old: Obj | None) -> None:
        meta = lease["metadata"]
        if type_ == "DELETED" or meta.get("namespace") != LEASES or meta["name"] not in self._seen_at:
            return
        if old is None or old["spec"].get("renewTime") != lease["spec"].get("renewTime"):
            self._seen(meta["name"])

    def _on_node(self, type_: str, node: Obj, old: Obj | None) -> None:
        name = node["metadata"]["name"]
        if type_ == "DELETED":
            self._seen_at.pop(name, None)
            self._not_ready.discard(name)
            self.recorder.event(node, "Normal", "RemovingNode",
                                f"Node {name} event: Removing Node {name} from Controller")
            return
        if old is None:
            self.recorder.event(node, "Normal", "RegisteredNode",
                                f"Node {name} event: Registered Node {name} in Controller")
        if old is None or _heartbeat(node) != _heartbeat(old):
            self._seen(name)
        before = name in self._not_ready
        if ready_status(node) == "True":
            self._not_ready.discard(name)
        else:
            self._not_ready.add(name)
        self.queue.add(name)
        if before != (name in self._not_ready):
            for other in self._not_ready:  # how many are down decides whether any is emptied
                self.queue.add(other)

    def _seen(self, name: str) -> None:
        first = name not in self._seen_at
        self._seen_at[name] = self.clock.monotonic()
        if first:
            self.queue.add(name)

    # the verb
    async def reconcile(self, key: str) -> None:
        node = self.nodes.get(key)
        if node is None:
            return
        silent_s = self.clock.monotonic() - self._seen_at.get(key, self.clock.monotonic())
        if silent_s >= self.grace_s:
            node = await self._declare_silent(node)
        else:
            self.queue.add_after(key, self.grace_s - silent_s)
        await self._taint(node)
        if ready_status(node) != "True":
            await self._mark_pods(node)

    async def _declare_silent(self, node: Obj) -> Obj:
        conditions = silent_conditions(node, self.clock.now())
        if conditions is None:
            return node
        was_ready = ready_status(node) == "True"
        status = {**(node.get("status") or {}), "conditions": conditions}
        written = await self.client.update("nodes", {**node, "status": status}, subresource="status")
        if was_ready:
            name = node["metadata"]["name"]
            self.recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return written

    async def _taint(self, node: Obj) -> None:
        soft, hard = wanted_taints(node)
        meta = node["metadata"]
        present = {(t["key"], t["effect"]) for t in (node.get("spec") or {}).get("taints") or ()}
        hard = self._allowed(meta["name"], hard, present)
        taints = next_taints(node, soft | hard, self.clock.now())
        if taints is None:
            return
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "spec": {"taints": taints or None}}
        await self.client.patch("nodes", meta["name"], patch)

    def _allowed(self, name: str, hard: set[tuple[str, str]], present: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Hold back NoExecute when too many nodes are down at once, and take one node at a time otherwise."""
        if not hard:
            return hard
        down = self._not_ready | {name}
        rate = eviction_rate(len(self.nodes), len(down), self.eviction_rate_per_s)
        if len(down) >= len(self.nodes):
            return set()
        already = {(key, effect) for key, effect in present if effect == "NoExecute"}
        if any(effect == "NoExecute" and key.startswith("node.kubernetes.io/") for key, effect in already):
            return hard
        if not rate:
            return set()
        wait_s = self._next_eviction_at - self.clock.monotonic()
        if wait_s > 0:
            self.queue.add_after(name, wait_s)
            return set()
        self._next_eviction_at = self.clock.monotonic() + 1 / rate
        return hard

    async def _mark_pods(self, node: Obj) -> None:
        """Pods of a node that nobody hears of are not ready, so that no Service sends them anything."""
        ready = [pod for pod in self.pods.by_index("node", node["metadata"]["name"]) if is_ready(pod)]
        await asyncio.gather(*(self._mark(pod) for pod in ready))

    async def _mark(self, pod: Obj) -> None:
        meta = pod["metadata"]
        old = get_condition(pod, "Ready") or {}
        condition = {**old, "status": "False", "lastTransitionTime": timestamp(self.clock.now())}
        self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
        try:
            await self.client.patch("pods", meta["name"], {"status": {"conditions": [condition]}}, meta["namespace"],
                                    type="strategic", subresource="status")
        except ApiError as error:
            if error.code != 404:
                raise


def _heartbeat(node: Obj) -> tuple[object, object]:
    """Return what only a kubelet that lives changes: not what this controller writes."""
    condition = get_condition(node, "Ready") or {}
    return condition.get("lastHeartbeatTime"), condition.get("status") if condition.get("status") != "Unknown" else None
