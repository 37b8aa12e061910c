"""Pod garbage collector: take away pods that nobody can take away any more.

    its node is gone (and stayed gone for a while)  ─► mark DisruptionTarget, Failed; delete at once
    being deleted, never scheduled                  ─► delete at once

Invariant: a pod on a node that the API server still knows is left to that node's kubelet.
Models:    kube-controller-manager, pod-garbage-collector-controller
Left out:  the threshold for finished pods (12,500), the out-of-service taint
"""

from __future__ import annotations

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_finished
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, key_of, set_condition
from kubelab.machinery.request import Obj

QUARANTINE_S = 40.0


class PodGarbageCollector(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 quarantine_s: float = QUARANTINE_S) -> None:
        self.client, self.quarantine_s = client, quarantine_s
        self.nodes = informers.of("nodes")
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.nodes, self.pods))
        self.nodes.on_event(self._on_node)
        self.pods.on_event(self._on_pod)

    def _on_node(self, type_: str, node: Obj, old: Obj | None) -> None:
        if type_ == "DELETED":
            for pod in self.pods.by_index("node", node["metadata"]["name"]):
                self.queue.add_after(key_of(pod), self.quarantine_s)

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        if type_ == "DELETED":
            return
        node = pod["spec"].get("nodeName")
        if node is None:
            if is_terminating(pod):
                self.queue.add(key_of(pod))
        elif self.nodes.get(node) is None:
            self.queue.add_after(key_of(pod), self.quarantine_s)

    async def reconcile(self, key: str) -> None:
        pod = self.pods.get(key)
        if pod is None:
            return
        node = pod["spec"].get("nodeName")
        if node is None:
            if is_terminating(pod):
                await self._delete(pod)
        elif self.nodes.get(node) is None and await self._really_gone(node):
            await self._mark(pod)
            await self._delete(pod)

    async def _really_gone(self, node: str) -> bool:
        try:
            await self.client.get("nodes", node)
        except ApiError as error:
            return error.code == 404
        return False

    async def _mark(self, pod: Obj) -> None:
        if is_finished(pod):
            return
        status = dict(pod.get("status") or {})
        conditions = [dict(c) for c in status.get("conditions") or ()]
        set_condition(conditions, {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                                   "message": "PodGC: node no longer exists"}, self.clock.now())
        patch = {"status": {"phase": "Failed", "conditions": conditions}}
        await self.client.patch("pods", pod["metadata"]["name"], patch, pod["metadata"]["namespace"],
                                type="strategic", subresource="status")

    async def _delete(self, pod: Obj) -> None:
        meta = pod["metadata"]
        try:
            await self.client.delete("pods", meta["name"], meta["namespace"], grace_period_s=0, uid=meta["uid"])
        except ApiError as error:
            if error.code not in (404, 409):
                raise
