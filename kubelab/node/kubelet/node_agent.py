"""Keeps the API server's picture of this node fresh: registers it, renews its Lease, reports its status.

    register ─► every 10 s: renew the Lease ─► every 5 min, or when something changed: patch node/status

Invariant: a Node that exists is reconciled, never replaced: labels, taints and cordons of others stay.
Models:    kubelet tryRegisterWithAPIServer, component-helpers lease controller, syncNodeStatus
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

from kubelab.client.client import Client
from kubelab.machinery.clock import Clock, micro_timestamp, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.node_events import NodeEvents
from kubelab.node.kubelet.node_object import (
    LEASE_RENEW_S,
    STATUS_REPORT_S,
    NodeFacts,
    lease_object,
    node_object,
    node_status,
)


class NodeAgent:
    """The heartbeat of one node; `facts` is asked anew for each report."""

    def __init__(self, client: Client, clock: Clock, facts: Callable[[], NodeFacts], events: NodeEvents) -> None:
        self.client, self.clock, self.facts, self.events = client, clock, facts, events
        self.node: Obj = {}
        self._lease: Obj | None = None
        self._reported_at = 0.0
        self._reported: NodeFacts | None = None

    async def register(self) -> None:
        """Create the Node, or bring the one that is there up to date."""
        facts = self.facts()
        fresh = node_object(facts, timestamp(self.clock.now()))
        try:
            self.node = await self.client.create("nodes", fresh)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            labels = fresh["metadata"]["labels"]
            self.node = await self.client.patch("nodes", facts.name, {"metadata": {"labels": labels}})
            await self.report()
        self._reported_at, self._reported = self.clock.monotonic(), facts

    async def report(self) -> None:
        """Write the node's status now."""
        facts = self.facts()
        old = self.node.get("status", {})
        status = node_status(facts, old, timestamp(self.clock.now()))
        gone = dict.fromkeys(old.get("allocatable") or {}, None)
        status["allocatable"] = gone | status["allocatable"]
        self.node = await self.client.patch("nodes", facts.name, {"status": status}, type="strategic",
                                            subresource="status")
        self._reported_at, self._reported = self.clock.monotonic(), facts

    async def look(self) -> None:
        """Read the node anew; when the server cannot be reached, what is known stays."""
        with contextlib.suppress(ApiError, OSError):
            self.node = await self.client.get("nodes", self.facts().name)
            self.events.seen(self.node)

    async def beat(self) -> None:
        """Renew the Lease, and report the status when it is due or its facts changed."""
        await self._renew()
        await self.look()
        due = self.clock.monotonic() - self._reported_at >= STATUS_REPORT_S
        if due or self.facts() != self._reported or self._was_enlarged():
            await self.report()

    def _was_enlarged(self) -> bool:
        """Tell whether somebody has changed the capacity: an extended resource came or went."""
        status = self.node.get("status", {})
        return bool(status.get("capacity") != status.get("allocatable"))

    async def run(self) -> None:
        """Beat until cancelled; a server that cannot be reached is asked again at the next beat."""
        while True:
            try:
                await self.beat()
            except (ApiError, OSError) as error:
                if isinstance(error, ApiError) and error.code == 404:
                    self._lease = None
            await self.clock.sleep(LEASE_RENEW_S * random.uniform(0.96, 1.0))  # many nodes, spread over time

    async def _renew(self) -> None:
        fresh = lease_object(self.facts(), self.node, micro_timestamp(self.clock.now()))
        if self._lease is not None:
            spec = self._lease["spec"] | fresh["spec"]
            try:
                self._lease = await self.client.update("leases.coordination.k8s.io", self._lease | {"spec": spec})
                return
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
        self._lease = await self._take_lease(fresh)

    async def _take_lease(self, fresh: Obj) -> Obj:
        name = fresh["metadata"]["name"]
        try:
            known = await self.client.get("leases.coordination.k8s.io", name, "kube-node-lease")
        except ApiError as error:
            if error.code != 404:
                raise
            return await self.client.create("leases.coordination.k8s.io", fresh)
        return await self.client.update("leases.coordination.k8s.io", known | {"spec": fresh["spec"]})
