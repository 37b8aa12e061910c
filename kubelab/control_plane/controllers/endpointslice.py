"""EndpointSlice controller: for each Service with a selector, its pods in slices of at most 100 endpoints.

    Service, Pods, Nodes (zones) ─► plan_slices ─► create, update, delete EndpointSlices

A pod whose node is not there, or not seen yet, is left out until it is, unless the Service publishes what is not ready.

Invariant: while the informer has not yet shown a slice we wrote, its Service is left alone.
Models:    kube-controller-manager, endpointslice-controller
Left out:  see slice_plan.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kubelab.client.client import Client
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.service_pods import (
    HEADLESS,
    TRIGGER_TIME,
    ServicePodsController,
    copied_labels,
    is_headless,
)
from kubelab.control_plane.controllers.slice_plan import Ports, plan_slices, wanted_endpoints
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, owner_reference
from kubelab.machinery.request import Obj

SLICES = "endpointslices.discovery.k8s.io"
MANAGED_BY, SERVICE_NAME = "endpointslice.kubernetes.io/managed-by", "kubernetes.io/service-name"
MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
STALE_S = 30.0


def service_key(obj: Obj) -> list[str]:
    """Index our own slices by their Service."""
    labels = obj["metadata"].get("labels") or {}
    name = labels.get(SERVICE_NAME)
    return [f"{obj['metadata']['namespace']}/{name}"] if name and labels.get(MANAGED_BY) == MANAGER else []


class EndpointSliceController(ServicePodsController):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.slices = informers.of(SLICES, indexers={"service": service_key})
        self.nodes = informers.of("nodes")
        self.recorder = recorder
        super().__init__(name, client, informers, clock=clock, journal=journal, more=(self.slices, self.nodes))
        self._written: dict[str, dict[str, str | None]] = {}  # Service → slice → revision to be seen, None: gone
        self._waiting_since: dict[str, float] = {}
        self._nodeless: set[str] = set()  # Services with pods whose node is missing
        self.slices.on_event(self._on_slice)
        self.nodes.on_event(self._on_node)

    def _on_slice(self, type_: str, obj: Obj, old: Obj | None) -> None:
        for key in service_key(obj):
            expected = self._written.get(key, {})
            name, revision = obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
            ours = name in expected
            if ours and (type_ == "DELETED" or _caught_up(expected[name], revision)):
                del expected[name]
            if type_ == "DELETED" or not ours:  # somebody else's change, or the last we waited for
                self.queue.add(key)
            elif not expected:
                self.queue.add_after(key, self._together_s(self._sizes.get(key, 0)))

    def _on_node(self, type_: str, node: Obj, old: Obj | None) -> None:
        if type_ == "ADDED":
            for key in self._nodeless:
                self.queue.add(key)
        zone = (node["metadata"].get("labels") or {}).get(ZONE)
        if old is not None and zone != (old["metadata"].get("labels") or {}).get(ZONE):
            for key in list(self.services.keys()):
                self.queue.add(key)

    async def reconcile(self, key: str) -> None:
        service = self.services.get(key)
        if service is None or is_terminating(service):
            self._written.pop(key, None)  # the garbage collector takes the slices
            self._nodeless.discard(key)
            return
        if not service["spec"].get("selector"):
            return
        if self._written.get(key) and not self._waited_enough(key):
            return  # the informer's news of our own writes bring us back
        self._written.pop(key, None)
        self._waiting_since.pop(key, None)
        zones = {node["metadata"]["name"]: (node["metadata"].get("labels") or {}).get(ZONE, "")
                 for node in self.nodes.list()}
        pods = self._placed(key, service, self._pods_of(service), zones)
        ours, strange = self._slices_of(key, service)
        plan = plan_slices(wanted_endpoints(service, pods, zones), ours)
        plan.delete += strange
        labels = self._labels(service)
        touched = {existing["metadata"]["name"] for existing, _, _ in plan.update} | {
            gone["metadata"]["name"] for gone in plan.delete}
        for existing in ours:
            if existing["metadata"]["name"] not in touched and existing["metadata"].get("labels") != labels:
                plan.update.append((existing, None, existing.get("endpoints") or []))
        if plan.create or plan.update or plan.delete:
            notes = self._trigger(key, {})
            await asyncio.gather(
                *(self._create(key, service, labels, notes, ports, endpoints) for ports, endpoints in plan.create),
                *(self._update(key, existing, labels, notes, ports, endpoints)
                  for existing, ports, endpoints in plan.update),
                *(self._delete(key, existing) for existing in plan.delete))

    def _placed(self, key: str, service: Obj, pods: list[Obj], nodes: Mapping[str, str]) -> list[Obj]:
        """Return the pods whose node is known, and remember to look again when some are not."""
        found = pods if service["spec"].get("publishNotReadyAddresses") else [
            pod for pod in pods if pod["spec"].get("nodeName") in nodes]
        (self._nodeless.discard if len(found) == len(pods) else self._nodeless.add)(key)
        return found

    def _slices_of(self, key: str, service: Obj) -> tuple[list[Obj], list[Obj]]:
        """Return the Service's slices, and those of another one that had its name."""
        ours, strange = list[Obj](), list[Obj]()
        for existing in self.slices.by_index("service", key):
            owners = {owner.get("uid") for owner in existing["metadata"].get("ownerReferences") or ()}
            (ours if service["metadata"]["uid"] in owners else strange).append(existing)
        return ours, strange

    def _waited_enough(self, key: str) -> bool:
        """Believe the informer again after a while: it may have listed anew and never show what we wait for."""
        now = self.clock.monotonic()
        left_s = self._waiting_since.setdefault(key, now) + STALE_S - now
        self.queue.add_after(key, left_s)
        return left_s <= 0

    @staticmethod
    def _labels(service: Obj) -> dict[str, str]:
        labels = copied_labels(service, (HEADLESS, SERVICE_NAME, MANAGED_BY))
        labels |= {MANAGED_BY: MANAGER, SERVICE_NAME: service["metadata"]["name"]}
        return labels | {HEADLESS: ""} if is_headless(service) else labels

    async def _create(self, key: str, service: Obj, labels: dict[str, str], notes: dict[str, str], ports: Ports,
                      endpoints: list[Obj]) -> None:
        meta = service["metadata"]
        body: dict[str, Any] = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"generateName": f"{meta['name']}-", "namespace": meta["namespace"], "labels": labels,
                         "annotations": notes, "ownerReferences": [owner_reference(service, "Service", "v1")]},
            "endpoints": endpoints, "ports": [dict(port) for port in ports]}
        try:
            made = await self.client.create(SLICES, body)
        except ApiError as error:
            if "being terminated" in error.message:
                return
            self.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices",
                                f"Error updating Endpoint Slices for Service {key}: {error}")
            raise
        self._expect(key, made["metadata"]["name"], made)

    async def _update(self, key: str, existing: Obj, labels: dict[str, str], notes: dict[str, str],
                      ports: Ports | None, endpoints: list[Obj]) -> None:
        meta = existing["metadata"]
        kept = {name: value for name, value in (meta.get("annotations") or {}).items() if name != TRIGGER_TIME}
        wanted = {**existing, "endpoints": endpoints, "metadata": {
            **meta, "labels": labels, "annotations": {**kept, **notes}}}
        if ports is not None:
            wanted["ports"] = [dict(port) for port in ports]
        self._expect(key, meta["name"], await self.client.update(SLICES, wanted))

    async def _delete(self, key: str, existing: Obj) -> None:
        meta = existing["metadata"]
        try:
            await self.client.delete(SLICES, meta["name"], meta["namespace"], uid=meta["uid"])
        except ApiError as error:
            if error.code != 404:
                raise
            return
        self._expect(key, meta["name"], None)

    def _expect(self, key: str, name: str, written: Obj | None) -> None:
        """Remember what the informer has yet to show, unless it was quicker."""
        revision = None if written is None else written["metadata"]["resourceVersion"]
        seen = self.slices.get(f"{key.partition('/')[0]}/{name}")
        if not _caught_up(revision, None if seen is None else seen["metadata"]["resourceVersion"]):
            self._written.setdefault(key, {})[name] = revision


def _caught_up(written: str | None, seen: str | None) -> bool:
    """Compare revisions: None is the absence of the slice."""
    if written is None or seen is None:
        return written is None and seen is None
    return int(seen) >= int(written)
