"""DaemonSet controller: one pod on every node where it may run.

    Node event ─► every DaemonSet's key ─┐
    Pod event ──► its owner's key ───────┴─► reconcile ─► revision ─► make or give up pods ─► update ─► status

Invariant: pods are created or deleted here, never edited; which node a pod is for stands in its affinity.
Models:    kube-controller-manager, daemonset-controller
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kubelab.client.informer import Informers
from kubelab.control_plane.controllers import revisions
from kubelab.control_plane.controllers.claims import claim
from kubelab.control_plane.controllers.daemon_plan import (
    GENERATION_LABEL,
    HASH_LABEL,
    Plan,
    meant_for,
    node_of,
    plan_daemons,
    plan_update,
    status_of,
)
from kubelab.control_plane.controllers.pod_owner import PodOwner, slow_start, write_status
from kubelab.control_plane.controllers.pods import POD_INDEXERS, available_in
from kubelab.control_plane.controllers.replica_plan import pod_from
from kubelab.machinery.meta import is_terminating, key_of, owner_reference
from kubelab.machinery.request import Obj
from kubelab.units.daemonset import GENERATION

MAX_BACKOFF_S = 900.0


@dataclass(slots=True)
class Failures:
    """Pods of one DaemonSet that failed on one node: how many were given up, the last, and how long the next stays."""

    count: int = 0
    uid: str = ""
    until: float = 0.0


class DaemonSetController(PodOwner):
    resource = "daemonsets.apps"

    def __init__(self, name: str, client: Any, informers: Informers, **parts: Any) -> None:
        self._failures: dict[str, Failures] = {}
        self.nodes = informers.of("nodes")
        self.history = informers.of(revisions.RESOURCE, indexers={"controller": POD_INDEXERS["controller"]})
        super().__init__(name, client, informers, others=(self.nodes, self.history), **parts)
        self.nodes.on_event(self._on_node)

    def _on_node(self, type_: str, node: Obj, old: Obj | None) -> None:
        if type_ == "MODIFIED" and old is not None and _placing(node) == _placing(old):
            return
        for owner in self.owners.list():
            self.queue.add(key_of(owner))

    async def reconcile(self, key: str) -> None:
        daemon = self.owners.get(key)
        if daemon is None:
            self.expectations.forget(key)
            return
        may_act = self.expectations.satisfied(key)  # asked before the pods are looked at, not after
        if is_terminating(daemon):
            return
        known = await claim(self.client, self.kind, daemon, self.selector_of(daemon), revisions.RESOURCE,
                            self.history.by_index("controller", daemon["metadata"]["uid"]))
        current = await revisions.current_revision(self.client, daemon, self.kind, known, HASH_LABEL)
        digest = current["metadata"]["labels"][HASH_LABEL]
        pods = await self.claimed(daemon)
        nodes, now = self.nodes.list(), self.clock.now()
        plan = self._held_back(key, plan_daemons(daemon, nodes, pods, digest, now), now)
        if may_act:
            if plan.create or plan.delete:
                await self._act(key, daemon, plan, digest)
            else:
                await self._act(key, daemon, plan_update(daemon, plan.belongs, pods, digest, now), digest)
        waits = [s for pod in pods if (s := available_in(pod, daemon["spec"].get("minReadySeconds", 0), now))]
        if waits:
            self.queue.add_after(key, min(waits))
        status = {k: v for k, v in (daemon.get("status") or {}).items() if k in ("conditions", "collisionCount")}
        status |= status_of(daemon, plan.belongs, pods, digest, now)
        if status != daemon.get("status"):
            await write_status(self.client, self.kind.qualified, daemon, status)
        live = {current["metadata"]["name"],
                *(f"{daemon['metadata']['name']}-{(p['metadata'].get('labels') or {}).get(HASH_LABEL)}" for p in pods)}
        await revisions.forget(self.client, known, live, daemon["spec"].get("revisionHistoryLimit", 10))

    def _held_back(self, key: str, plan: Plan, now: float) -> Plan:
        """Leave pods that failed for a while, longer each time, so that a node that refuses them is not flooded."""
        early = set()
        for pod in plan.ended:
            where, uid = f"{key} {node_of(pod)}", pod["metadata"]["uid"]
            known = self._failures.get(where)
            if known is None or now - known.until > 2 * MAX_BACKOFF_S:
                known = self._failures[where] = Failures()
            if known.uid == uid:
                continue  # given up already
            if now < known.until:
                early.add(uid)
                self.queue.add_after(key, known.until - now)
            else:
                wait_s = min(2.0 ** known.count, MAX_BACKOFF_S)
                known.uid, known.count, known.until = uid, known.count + 1, now + wait_s
        if not early:
            return plan
        return replace(plan, delete=tuple(p for p in plan.delete if p["metadata"]["uid"] not in early),
                       ended=tuple(p for p in plan.ended if p["metadata"]["uid"] not in early))

    async def _act(self, key: str, daemon: Obj, plan: Plan, digest: str) -> None:
        for pod in plan.ended:
            phase, meta = pod["status"]["phase"], pod["metadata"]
            where = f"{meta['namespace']}/{meta['name']} on node {pod['spec'].get('nodeName', '')}"
            kind, reason, will = ("Warning", "FailedDaemonPod", "kill") if phase == "Failed" else \
                ("Normal", "SucceededDaemonPod", "delete")
            self.recorder.event(daemon, kind, reason,
                                f"Found {phase.lower()} daemon pod {where}, will try to {will} it")
        if plan.delete:
            await self.delete_all(key, daemon, plan.delete)
        elif plan.create:
            await self._make(key, daemon, plan, digest)

    async def _make(self, key: str, daemon: Obj, plan: Plan, digest: str) -> None:
        self.expectations.expect_creations(key, len(plan.create))
        base = pod_from(daemon, daemon["spec"]["template"],
                        owner_reference(daemon, self.kind.kind, self.kind.api_version))
        generation = (daemon["metadata"].get("annotations") or {}).get(GENERATION, "1")
        base["metadata"]["labels"] = {**(base["metadata"].get("labels") or {}), HASH_LABEL: digest,
                                      GENERATION_LABEL: generation}
        wanted = iter(plan.create)

        async def make() -> None:
            await self._create(key, daemon, meant_for(base, next(wanted)))

        tried, error = await slow_start(len(plan.create), make)
        if error is not None:
            self.expectations.creation_observed(key, len(plan.create) - tried)  # those will never be seen
            raise error


def _placing(node: Obj) -> Any:
    """Return what of a node decides whether a daemon belongs on it."""
    return node["metadata"].get("labels"), (node.get("spec") or {}).get("taints")
