"""EndpointSlice mirroring: Endpoints that somebody writes by hand are shown as slices too.

    Endpoints, its Service without selector ─► wanted_slices ─► create, update, delete EndpointSlices

Invariant: only slices under our own name are touched; what is there is asked of the API server, not of a cache that may
           not show our last write yet.
Models:    kube-controller-manager, endpointslicemirroring-controller
Left out:  its back-off between changes
"""

from __future__ import annotations

import json
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, key_of, owner_reference
from kubelab.machinery.request import Obj
from kubelab.units.addresses import parse_ip

SLICES = "endpointslices.discovery.k8s.io"
MANAGED_BY, SERVICE_NAME = "endpointslice.kubernetes.io/managed-by", "kubernetes.io/service-name"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST = 1000  # addresses of one subset that are mirrored
NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time")


class SliceMirroringController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder = client, recorder
        self.endpoints, self.services = informers.of("endpoints"), informers.of("services")
        self.slices = informers.of(SLICES)
        super().__init__(name, clock=clock, journal=journal, informers=(self.endpoints, self.services, self.slices))
        self.endpoints.on_event(self._on_object)
        self.services.on_event(self._on_object)
        self.slices.on_event(self._on_slice)

    def _on_object(self, type_: str, obj: Obj, old: Obj | None) -> None:
        if self._is_mirrored(obj) or (old is not None and self._is_mirrored(old)):
            self.queue.add(key_of(obj))

    @staticmethod
    def _is_mirrored(obj: Obj) -> bool:
        """Tell whether Endpoints, or the Endpoints of a Service, may be mirrored."""
        if obj["kind"] == "Service":
            return not obj["spec"].get("selector")
        meta = obj["metadata"]
        return (meta.get("labels") or {}).get(SKIP) != "true" and LEADER not in (meta.get("annotations") or {})

    def _on_slice(self, type_: str, obj: Obj, old: Obj | None) -> None:
        labels = obj["metadata"].get("labels") or {}
        if labels.get(MANAGED_BY) == MANAGER and SERVICE_NAME in labels:
            self.queue.add(f"{obj['metadata']['namespace']}/{labels[SERVICE_NAME]}")

    async def reconcile(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        endpoints, service = self.endpoints.get(key), self.services.get(key)
        wanted: list[Obj] = []
        if endpoints is not None and service is not None and not is_terminating(endpoints) \
                and self._is_mirrored(endpoints) and self._is_mirrored(service):
            wanted, skipped = wanted_slices(endpoints)
            if skipped:
                self.recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", f"A max of {MOST} addresses can "
                                    f"be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were "
                                    "skipped")
        elif not any((s["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
                     for s in self.slices.list() if s["metadata"]["namespace"] == namespace):
            return  # nothing to take away: most Services are others' business
        await self._converge(namespace, name, wanted)

    async def _converge(self, namespace: str, name: str, wanted: list[Obj]) -> None:
        found = (await self.client.list(SLICES, namespace,
                                        selector=f"{MANAGED_BY}={MANAGER},{SERVICE_NAME}={name}"))["items"]
        left = {_sort(existing): existing for existing in found}
        surplus = [existing for existing in found if left[_sort(existing)] is not existing]
        pairs = [(new, left.pop(_sort(new), None)) for new in wanted]
        gone = [*left.values(), *surplus]
        for new, existing in pairs:
            if existing is None:  # rather than one that goes and one that comes
                existing = next((one for one in gone if one["addressType"] == new["addressType"]), None)
                gone = [one for one in gone if one is not existing]
            if existing is None:
                await self._create(new)
            elif not _agree(existing, new):
                meta = {**existing["metadata"], **{k: new["metadata"][k] for k in ("labels", "annotations")}}
                await self.client.update(SLICES, {**existing, **{k: new[k] for k in ("endpoints", "ports")},
                                                  "metadata": meta})
        for existing in gone:
            await self._delete(existing)

    async def _create(self, new: Obj) -> None:
        try:
            await self.client.create(SLICES, new)
        except ApiError as error:
            if "being terminated" not in error.message:
                raise

    async def _delete(self, existing: Obj) -> None:
        meta = existing["metadata"]
        try:
            await self.client.delete(SLICES, meta["name"], meta["namespace"], uid=meta["uid"])
        except ApiError as error:
            if error.code != 404:
                raise


def wanted_slices(endpoints: Obj) -> tuple[list[Obj], int]:
    """Return one slice for each set of ports and family of addresses, and how many addresses were too many.

    A pure function.
    """
    meta, found, skipped = endpoints["metadata"], dict[str, Obj](), 0
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()]
        addresses = [(address, ready) for field, ready in (("addresses", True), ("notReadyAddresses", False))
                     for address in subset.get(field) or ()]
        skipped += max(len(addresses) - MOST, 0)
        for address, ready in addresses[:MOST]:
            ip = parse_ip(address["ip"])
            assert ip is not None  # the API server has seen to it
            one = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{ip.version}",
                   "metadata": _metadata(endpoints), "endpoints": [], "ports": ports}
            found.setdefault(_sort(one), one)["endpoints"].append(_endpoint(address, str(ip), ready))
    return [one | {"metadata": {**one["metadata"], "generateName": f"{meta['name']}-"}} for one in found.values()], \
        skipped


def _endpoint(address: Obj, ip: str, ready: bool) -> Obj:
    out: Obj = {"addresses": [ip], "conditions": {"ready": ready}}
    return out | {field: address[field] for field in ("hostname", "targetRef", "nodeName") if address.get(field)}


def _metadata(endpoints: Obj) -> Obj:
    meta = endpoints["metadata"]
    return {"namespace": meta["namespace"], "ownerReferences": [owner_reference(endpoints, "Endpoints", "v1")],
            "labels": {**(meta.get("labels") or {}), MANAGED_BY: MANAGER, SERVICE_NAME: meta["name"]},
            "annotations": {key: value for key, value in (meta.get("annotations") or {}).items()
                            if key not in NOT_COPIED}}


def _sort(one: Obj) -> str:
    """Name what tells one slice of a Service from the other: the family and the ports."""
    return json.dumps([one["addressType"], one.get("ports") or []], sort_keys=True)


def _agree(existing: Obj, new: Obj) -> bool:
    def shown(one: Obj) -> Any:
        meta = one["metadata"]
        return (one.get("endpoints") or [], one.get("ports") or [], meta.get("labels") or {},
                meta.get("annotations") or {})

    return bool(shown(existing) == shown(new))
