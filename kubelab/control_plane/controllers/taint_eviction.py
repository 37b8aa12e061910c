"""Taint eviction controller: pods leave a node that has a NoExecute taint they do not tolerate, or tolerate no longer.

    taint on node ─► each of its pods: not tolerated ─► delete now
                                       tolerationSeconds ─► delete then, unless the taint goes first
                                       tolerated for ever ─► stays

Models:    kube-controller-manager, taint-eviction-controller
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_finished
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, key_of
from kubelab.machinery.request import Obj
from kubelab.machinery.taints import Taint, Toleration, tolerates


def no_execute(node: Obj | None) -> list[Taint]:
    return [t for t in ((node or {}).get("spec") or {}).get("taints") or () if t.get("effect") == "NoExecute"]


def leaves_in(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> float | None:
    """Return after how many seconds of these taints a pod has to leave: 0 at once, None never."""
    limits: list[float] = []
    for taint in taints:
        speaking = [t for t in tolerations if tolerates(t, taint)]
        if not speaking:
            return 0.0
        limits += [max(float(t["tolerationSeconds"]), 0.0) for t in speaking if t.get("tolerationSeconds") is not None]
    return min(limits, default=None)


class TaintEvictionController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder = client, recorder
        self.nodes = informers.of("nodes")
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.nodes, self.pods), workers=8)
        self._since: dict[str, float] = {}  # pod key → monotonic seconds since which taints count against it
        self.nodes.on_event(self._on_node)
        self.pods.on_event(self._on_pod)

    def _on_node(self, type_: str, node: Obj, old: Obj | None) -> None:
        if type_ != "DELETED" and _shape(no_execute(node)) != _shape(no_execute(old)):
            for pod in self.pods.by_index("node", node["metadata"]["name"]):
                self.queue.add(key_of(pod))

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        key = key_of(pod)
        if type_ == "DELETED":
            self._spare(key, pod)
            return
        node = pod["spec"].get("nodeName")
        if not node or (old is not None and old["spec"].get("nodeName") == node and old["metadata"].get("generation")
                        == pod["metadata"].get("generation")):
            return
        if key in self._since or no_execute(self.nodes.get(node)):
            self.queue.add(key)

    async def reconcile(self, key: str) -> None:
        pod = self.pods.get(key)
        if pod is None or is_terminating(pod) or is_finished(pod):
            return
        taints = no_execute(self.nodes.get(pod["spec"].get("nodeName", "")))
        leaves_s = leaves_in(taints, pod["spec"].get("tolerations") or ())
        if leaves_s is None:
            self._spare(key, pod)
            return
        now = self.clock.monotonic()
        left_s = self._since.setdefault(key, now) + leaves_s - now
        if left_s > 0:
            self.queue.add_after(key, left_s)
            return
        await self._evict(key, pod)

    def _spare(self, key: str, pod: Obj) -> None:
        """Forget a pod that was to leave: it may stay, or has gone on its own."""
        if self._since.pop(key, None) is not None:
            self.recorder.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")

    async def _evict(self, key: str, pod: Obj) -> None:
        meta, since = pod["metadata"], self._since.pop(key)
        self.recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        condition: dict[str, Any] = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
                                     "message": "Taint manager: deleting due to NoExecute taint",
                                     "lastTransitionTime": timestamp(self.clock.now())}
        if meta.get("generation"):
            condition["observedGeneration"] = meta["generation"]
        try:
            await self.client.patch("pods", meta["name"], {"status": {"conditions": [condition]}}, meta["namespace"],
                                    type="strategic", subresource="status")
            await self.client.delete("pods", meta["name"], meta["namespace"], uid=meta["uid"])
        except ApiError as error:
            if error.code not in (404, 409):
                self._since[key] = since
                raise


def _shape(taints: Sequence[Taint]) -> list[tuple[Any, Any]]:
    return [(t.get("key"), t.get("value")) for t in taints]
