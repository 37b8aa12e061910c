"""kube-scheduler: give every pod without a node the best node there is, and say why when there is none.

    pod without nodeName ─► queue ─► cycle ─► assume ─► Binding (asynchronous) ─► event "Scheduled"
                              ▲        └─ FitError ─► event "FailedScheduling", condition PodScheduled=False
                              │                └──► preemption: lower ones go, the node is nominated
                              └── node or pod events that may help (queueing hints)

Invariant: the next cycle sees a pod where the last one put it, before the API server has confirmed it.
Models:    cmd/kube-scheduler, pkg/scheduler
Left out:  profiles
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from time import perf_counter
from typing import Any

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.scheduler import metrics
from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.cycle import Cycle, FitError
from kubelab.control_plane.scheduler.framework import ClusterEvent
from kubelab.control_plane.scheduler.nodeinfo import PodInfo
from kubelab.control_plane.scheduler.plugins import default_plugins
from kubelab.control_plane.scheduler.preemption import Candidate, find, waits_for_victims
from kubelab.control_plane.scheduler.queue import QueuedPod, SchedulingQueue
from kubelab.control_plane.scheduler.spread_selector import SpreadSelectors
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal, caused_by
from kubelab.machinery.meta import get_condition, key_of
from kubelab.machinery.request import Obj

_TURN_S = 0.002  # cycles run this long before others get the loop
FINISHED = ("Succeeded", "Failed")


class Scheduler(Component):
    """Schedules the pods whose spec.schedulerName is `name`."""

    def __init__(self, client: Client, *, clock: Clock, journal: Journal, name: str = "default-scheduler",
                 percentage_of_nodes_to_score: int = 0) -> None:
        super().__init__("scheduler")
        self.client, self.clock, self.journal, self.scheduler_name = client, clock, journal, name
        self.percentage_of_nodes_to_score = percentage_of_nodes_to_score
        self.bound = 0
        self._tasks_in_flight: set[asyncio.Task[None]] = set()
        self._reset()
        self._lengths = metrics.Lengths(lambda: self.queue.lengths)

    def _reset(self) -> None:
        """Begin with an empty picture: every start lists the cluster anew."""
        self.informers = Informers(self.client, self.clock)
        self.cache = Cache()
        self.queue = SchedulingQueue(self.clock, self._wants)
        self.recorder = EventRecorder(self.client, self.scheduler_name, self.clock, series=True)
        selectors = SpreadSelectors(self.informers)
        self.cycle = Cycle(default_plugins(selectors.of),
                           percentage_of_nodes_to_score=self.percentage_of_nodes_to_score)

    def _wants(self, names: Iterable[str], pod: PodInfo, event: ClusterEvent) -> bool:
        return any(plugin.name in names and plugin.hint(pod, event) for plugin in self.cycle.plugins)

    async def setup(self) -> None:
        self._reset()
        self.informers.of("namespaces").on_event(self._on_namespace)
        self.informers.of("nodes").on_event(self._on_node)
        self.informers.of("pods").on_event(self._on_pod)
        self.informers.of("persistentvolumeclaims").on_event(self._on_claim)
        self.informers.of("poddisruptionbudgets")
        await self.recorder.start()

    async def run(self) -> None:
        await self.informers.start_all()
        turn_began = perf_counter()
        while True:
            entry = self.queue.pop_now()
            if entry is None:
                entry = await self.queue.pop()
                turn_began = perf_counter()
            self.schedule(entry)
            if perf_counter() - turn_began > _TURN_S:
                await asyncio.sleep(0)
                turn_began = perf_counter()

    async def teardown(self) -> None:
        for task in self._tasks_in_flight:
            task.cancel()
        await asyncio.gather(*self._tasks_in_flight, return_exceptions=True)
        await self.recorder.stop()
        await self.informers.stop_all()

    # one pod
    def schedule(self, entry: QueuedPod) -> None:
        """Run one cycle; what has to be told to the API server is told afterwards."""
        pod, began = entry.pod, perf_counter()
        try:
            node_name = self.cycle.place(pod, self.cache)
        except FitError as error:
            candidate = self._make_room(pod, error)
            self.queue.park(entry, error.rejected_by)
            metrics.attempt(self.scheduler_name, "unschedulable", perf_counter() - began)
            if candidate is None:
                self._later(self._report(pod, "Unschedulable", error.message))
            else:
                self._later(self._preempt(pod, candidate, error.fit))
            return
        self.cache.assume(pod, node_name)  # from here on, the node's room is taken
        self._later(self._bind(entry, node_name, began))

    def _make_room(self, pod: PodInfo, error: FitError) -> Candidate | None:
        """Choose who has to go for the pod, unless somebody is leaving for it already."""
        if waits_for_victims(pod, self.cache):
            return None
        self.cache.nominated.pop(pod.uid, None)
        candidate = find(pod, self.cache, self.cycle.plugins, error.rejected,
                         self.informers.of("poddisruptionbudgets").list() if error.rejected else ())
        if candidate is not None:
            self.cache.nominated[pod.uid] = (pod, candidate.node)  # no lesser pod may take the room meanwhile
        return candidate

    async def _preempt(self, pod: PodInfo, candidate: Candidate, message: str) -> None:
        for victim in candidate.victims:
            if not victim.terminating:
                await self._evict(victim, pod, candidate.node)
        await self._report(pod, "Unschedulable", message, candidate.node)

    async def _evict(self, victim: PodInfo, pod: PodInfo, node_name: str) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
                     "message": f"{self.scheduler_name}: preempting to accommodate a higher priority pod",
                     "lastTransitionTime": timestamp(self.clock.now())}
        try:
            await self.client.patch("pods", victim.name, {"status": {"conditions": [condition]}}, victim.namespace,
                                    type="strategic", subresource="status")
            await self.client.delete("pods", victim.name, victim.namespace, uid=victim.uid)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        self.recorder.event(victim.obj, "Normal", "Preempted", f"Preempted by pod {pod.uid} on node {node_name}",
                            action="Preempting")

    async def _bind(self, entry: QueuedPod, node_name: str, began: float) -> None:
        pod = entry.pod
        binding: Obj = {"apiVersion": "v1", "kind": "Binding",
                        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                        "target": {"apiVersion": "v1", "kind": "Node", "name": node_name}}
        seq = self.journal.record("bind", "bind", f"pods/{pod.key}", actor=self.name, detail=node_name)
        try:
            with caused_by(seq):
                await self.client.create("pods", binding, pod.namespace, name=pod.name, subresource="binding")
        except (ApiError, OSError) as error:
            self.cache.forget(pod)
            metrics.attempt(self.scheduler_name, "error", perf_counter() - began)
            if isinstance(error, ApiError) and error.code == 404:
                self.queue.done(entry)
                return
            self.queue.park(entry, ())
            await self._report(pod, "SchedulerError", f"binding rejected: {error}")
            return
        self.queue.done(entry)
        self.bound += 1
        metrics.attempt(self.scheduler_name, "scheduled", perf_counter() - began)
        metrics.scheduled(entry.attempts, self.clock.monotonic() - entry.since)
        message = f"Successfully assigned {pod.key} to {node_name}"
        self.recorder.event(pod.obj, "Normal", "Scheduled", message, action="Binding")

    async def _report(self, pod: PodInfo, reason: str, message: str, nominated: str = "") -> None:
        """Tell the pod's owner why it waits: an event each time, the condition when it says something new."""
        self.recorder.event(pod.obj, "Warning", "FailedScheduling", message, action="Scheduling")
        old = get_condition(pod.obj, "PodScheduled")
        known = old and (old["status"], old.get("reason"), old.get("message")) == ("False", reason, message)
        if known and not nominated:
            return
        since = old["lastTransitionTime"] if old and old["status"] == "False" else timestamp(self.clock.now())
        condition: dict[str, Any] = {"type": "PodScheduled", "status": "False", "lastProbeTime": None,
                                     "lastTransitionTime": since, "reason": reason, "message": message}
        generation = pod.obj["metadata"].get("generation")
        if generation:
            condition["observedGeneration"] = generation
        status: Obj = {"conditions": [condition]} | ({"nominatedNodeName": nominated} if nominated else {})
        try:
            await self.client.patch("pods", pod.name, {"status": status}, pod.namespace,
                                    type="strategic", subresource="status")
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks_in_flight.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks_in_flight.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.last_error = task.exception()

    # what the cluster tells
    def _on_claim(self, type_: str, claim: Obj, old: Obj | None) -> None:
        if type_ == "DELETED":
            self.cache.claims.pop(key_of(claim), None)
            return
        self.cache.claims[key_of(claim)] = claim
        self.queue.on_event(ClusterEvent("PersistentVolumeClaim", "add" if old is None else "update", claim, old))

    def _on_namespace(self, type_: str, obj: Obj, old: Obj | None) -> None:
        if type_ == "DELETED":
            self.cache.namespace_labels.pop(obj["metadata"]["name"], None)
        else:
            self.cache.namespace_labels[obj["metadata"]["name"]] = obj["metadata"].get("labels") or {}

    def _on_node(self, type_: str, obj: Obj, old: Obj | None) -> None:
        if type_ == "DELETED":
            self.cache.remove_node(obj["metadata"]["name"])
            self.queue.on_event(ClusterEvent("Node", "delete", None, obj))
        elif old is None:
            self.cache.set_node(obj)
            self.queue.on_event(ClusterEvent("Node", "add", obj))
        elif _node_matters(obj) != _node_matters(old):  # heartbeats change nothing that a plugin reads
            self.cache.set_node(obj)
            self.queue.on_event(ClusterEvent("Node", "update", obj, old))

    def _on_pod(self, type_: str, obj: Obj, old: Obj | None) -> None:
        uid: str = obj["metadata"]["uid"]
        gone = type_ == "DELETED" or (obj.get("status") or {}).get("phase") in FINISHED
        if gone:
            self.cache.nominated.pop(uid, None)
            self.queue.remove(uid)
            if self.cache.remove_pod(uid) is not None:
                self.queue.on_event(ClusterEvent("Pod", "delete", None, obj))
        elif obj["spec"].get("nodeName"):
            self._on_assigned(obj, uid)
        elif obj["spec"].get("schedulerName", "default-scheduler") == self.scheduler_name:
            if "deletionTimestamp" in obj["metadata"]:
                self.cache.nominated.pop(uid, None)
                self.queue.remove(uid)
                return
            pod, nominated = PodInfo(obj), (obj.get("status") or {}).get("nominatedNodeName")
            if nominated and old is None:  # by an earlier life of the scheduler
                self.cache.nominated[uid] = (pod, nominated)
            self.queue.add(pod)

    def _on_assigned(self, obj: Obj, uid: str) -> None:
        known = self.cache.pods.get(uid)
        if known is None:
            self.queue.remove(uid)
            self.cache.set_pod(PodInfo(obj))
            self.queue.on_event(ClusterEvent("Pod", "add", obj))
            return
        old, known.obj = known.obj, obj
        if uid in self.cache.assumed and known.node_name == obj["spec"]["nodeName"]:
            self.cache.assumed.discard(uid)  # confirmed
            self.queue.on_event(ClusterEvent("Pod", "add", obj))
        elif _pod_matters(obj) != _pod_matters(old) or known.node_name != obj["spec"]["nodeName"]:
            self.cache.set_pod(PodInfo(obj))
            self.queue.on_event(ClusterEvent("Pod", "update", obj, old))


def _node_matters(node: Obj) -> tuple[Any, ...]:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return (node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable"),
            status.get("capacity"))


def _pod_matters(pod: Obj) -> tuple[Any, ...]:
    """Name what plugins read of a pod on a node; its generation stands for the whole spec."""
    meta = pod["metadata"]
    return meta.get("generation"), meta.get("labels"), meta.get("deletionTimestamp")
