"""Endpoints controller: for each Service with a selector, the addresses of its pods, in the old single object.

    Service, Pods ─► subsets: {addresses, notReadyAddresses, ports} ─► Endpoints of the same name

Invariant: at most 1,000 addresses; ready ones go first.
Models:    kube-controller-manager, endpoints-controller
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubelab.client.client import Client
from kubelab.client.informer import Informers
from kubelab.control_plane.controllers.pods import is_ready
from kubelab.control_plane.controllers.service_pods import (
    HEADLESS,
    TRIGGER_TIME,
    ServicePodsController,
    address_of,
    copied_labels,
    hostname_of,
    is_headless,
    may_serve,
    target_port,
    target_ref,
)
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj
from kubelab.units.endpoint_subsets import repacked

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000


def plan_subsets(service: Obj, pods: Iterable[Obj]) -> list[Obj]:
    """Group the pods' addresses by the ports they serve."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    subsets = []
    for pod in pods:
        if not may_serve(pod, publish):
            continue
        ports = _ports(service, pod)
        if not ports and not (is_headless(service) and not service["spec"].get("ports")):
            continue
        place = "addresses" if publish or is_ready(pod) else "notReadyAddresses"
        subsets.append({place: [_address(service, pod)], "ports": ports})
    return repacked(subsets)


def _ports(service: Obj, pod: Obj) -> list[Obj]:
    found = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            one = {"name": port.get("name"), "port": number, "protocol": port.get("protocol", "TCP"),
                   "appProtocol": port.get("appProtocol")}
            found.append({key: value for key, value in one.items() if value})
    return found


def _address(service: Obj, pod: Obj) -> Obj:
    address: Obj = {"ip": address_of(pod), "targetRef": target_ref(pod)}
    if pod["spec"].get("nodeName"):
        address["nodeName"] = pod["spec"]["nodeName"]
    hostname = hostname_of(pod, service)
    return {**address, "hostname": hostname} if hostname else address


def truncated(subsets: list[Obj]) -> tuple[list[Obj], bool]:
    """Keep the first 1,000 addresses, ready ones before the others."""
    room, cut = CAPACITY, False
    out = [dict(subset) for subset in subsets]
    for name in ("addresses", "notReadyAddresses"):
        for subset in out:
            addresses = subset.get(name) or []
            if len(addresses) > room:
                subset[name], cut = addresses[:room], True
                if not room:
                    del subset[name]
            room -= min(len(addresses), room)
    return [s for s in out if s.get("addresses") or s.get("notReadyAddresses")], cut


class EndpointsController(ServicePodsController):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.endpoints = informers.of("endpoints")
        super().__init__(name, client, informers, clock=clock, journal=journal, more=(self.endpoints,))
        self.endpoints.on_event(self._on_endpoints)

    def _on_endpoints(self, type_: str, obj: Obj, old: Obj | None) -> None:
        if type_ == "DELETED" and self.services.get(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"):
            self.queue.add(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")

    async def reconcile(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        service, current = self.services.get(key), self.endpoints.get(key)
        if service is None:
            if current is not None and MANAGED_BY in (current["metadata"].get("labels") or {}):
                await self._delete(name, namespace)
            return
        if not service["spec"].get("selector"):
            return  # its Endpoints, if any, are somebody else's
        subsets, cut = truncated(plan_subsets(service, self._pods_of(service)))
        wanted = self._object(service, current, subsets, cut)
        if current is not None and current.get("subsets") == wanted.get("subsets") and _same_meta(current, wanted):
            return
        wanted["metadata"]["annotations"] = self._trigger(key, wanted["metadata"]["annotations"])
        if current is None:
            await self._create(wanted)
        else:
            await self.client.update("endpoints", wanted)

    def _object(self, service: Obj, current: Obj | None, subsets: list[Obj], cut: bool) -> Obj:
        meta = service["metadata"]
        labels = copied_labels(service, (HEADLESS,)) | {MANAGED_BY: "endpoint-controller"}
        if is_headless(service):
            labels[HEADLESS] = ""
        notes = {k: v for k, v in ((current or {"metadata": {}})["metadata"].get("annotations") or {}).items()
                 if k != OVER_CAPACITY}
        if cut:
            notes[OVER_CAPACITY] = "truncated"
        base = current["metadata"] if current else {"name": meta["name"], "namespace": meta["namespace"]}
        wanted: Obj = {"apiVersion": "v1", "kind": "Endpoints",
                       "metadata": {**base, "labels": labels, "annotations": notes}}
        if subsets:
            wanted["subsets"] = subsets
        return wanted

    async def _create(self, wanted: Obj) -> None:
        try:
            await self.client.create("endpoints", wanted)
        except ApiError as error:
            if "being terminated" not in error.message:
                raise

    async def _delete(self, name: str, namespace: str) -> None:
        try:
            await self.client.delete("endpoints", name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise


def _same_meta(current: Obj, wanted: Obj) -> bool:
    def seen(obj: Obj) -> tuple[Any, Any]:
        notes = obj["metadata"].get("annotations") or {}
        return obj["metadata"].get("labels"), {k: v for k, v in notes.items() if k != TRIGGER_TIME}

    return seen(current) == seen(wanted)
