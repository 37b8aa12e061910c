"""Upkeep: what the API server itself keeps true of stored objects, a moment after they change.

    Service ─► its IPAddress is there while it holds the address, and no longer
    IPAddress of anyone else ─► the allocator gives that address to nobody
    the ServiceCIDR `kubernetes` ─► is there, whoever deleted it
    FlowSchema, PriorityLevelConfiguration ─► the condition Dangling

Invariant: only what a stored object asks for is written; a second look writes nothing.
Models:    the ip allocator and its repair loop, the default ServiceCIDR and flow control's status of kube-apiserver
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from kubelab.control_plane.apiserver import bootstrap
from kubelab.control_plane.apiserver.allocator import ServiceAllocator
from kubelab.control_plane.apiserver.cache import Collection
from kubelab.control_plane.apiserver.storage import Changed, Storage
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.meta import get_condition, with_condition
from kubelab.machinery.request import Obj, WatchEvent
from kubelab.units.flow_defaults import GROUP as FLOW
from kubelab.units.flow_defaults import dangling
from kubelab.units.system_objects import DEFAULT_RANGE, address, service_range

NETWORKING = "networking.k8s.io"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
Task = tuple[str, str]  # ("address", ip), ("range", name) or ("schema", name)


class Upkeep:
    """Follows the collections and writes what follows from them."""

    def __init__(self, storage: Storage, allocator: ServiceAllocator, clock: Clock, service_cidr: str) -> None:
        self._storage, self._allocator, self._clock, self._cidr = storage, allocator, clock, service_cidr
        self._keep = {"address": self._keep_address, "range": self._keep_range, "schema": self._keep_schema}
        self._ips: dict[str, str] = {}  # Service -> address, as last seen
        self._due: dict[Task, None] = {}
        self._wake = asyncio.Event()

    def start(self) -> None:
        """Look at everything once, and from here on at every change."""
        for plural, group, sink in self._watched():
            self._storage.of(group, plural).follow(sink, known=True)

    def _watched(self) -> Iterator[tuple[str, str, Callable[[WatchEvent], None]]]:
        yield "services", "", self._service
        yield "ipaddresses", NETWORKING, self._address
        yield "servicecidrs", NETWORKING, self._range
        yield "flowschemas", FLOW, lambda event: self._add("schema", event.obj["metadata"]["name"])
        yield "prioritylevelconfigurations", FLOW, self._level

    def _service(self, event: WatchEvent) -> None:
        metadata, spec = event.obj["metadata"], event.obj["spec"]
        key, ip = f"{metadata['namespace']}/{metadata['name']}", spec.get("clusterIP") or ""
        if event.type == "DELETED" or ip == "None":
            ip = ""
        before = self._ips.pop(key, "")
        if ip:
            self._ips[key] = ip
        for changed in {before, ip} - {""} if before != ip else ():
            self._add("address", changed)

    def _address(self, event: WatchEvent) -> None:
        ip = event.obj["metadata"]["name"]
        if _is_ours(event.obj):
            self._add("address", ip)  # someone may have taken it away
        else:
            self._allocator.reserve(ip, event.type != "DELETED")

    def _range(self, event: WatchEvent) -> None:
        if event.type == "DELETED" and event.obj["metadata"]["name"] == DEFAULT_RANGE:
            self._add("range", DEFAULT_RANGE)

    def _level(self, event: WatchEvent) -> None:
        for name in self._storage.of(FLOW, "flowschemas").objects:
            self._add("schema", name)

    def _add(self, what: str, name: str) -> None:
        self._due[what, name] = None
        self._wake.set()

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for what, name in list(self._due):
                del self._due[what, name]
                try:
                    await self._keep[what](name)
                except Changed:  # another writer was faster: look again
                    self._add(what, name)

    async def _keep_address(self, ip: str) -> None:
        collection = self._storage.of(NETWORKING, "ipaddresses")
        owner = next((key for key, held in self._ips.items() if held == ip), "")
        old = collection.objects.get(ip)
        if owner and old is None:
            await self._create(collection, address(ip, *owner.split("/")))
        elif not owner and old is not None and _is_ours(old.obj):
            await self._storage.delete(collection, ip, old)

    async def _keep_range(self, name: str) -> None:
        collection = self._storage.of(NETWORKING, "servicecidrs")
        if name not in collection.objects:
            await self._create(collection, service_range(self._cidr, timestamp(self._clock.now())))

    async def _create(self, collection: Collection, obj: Obj) -> None:
        bootstrap.complete(collection.kind, obj, timestamp(self._clock.now()))
        await self._storage.create(collection, obj["metadata"]["name"], obj)

    async def _keep_schema(self, name: str) -> None:
        def judged(schema: Obj) -> Obj | None:
            level = schema["spec"]["priorityLevelConfiguration"]["name"]
            exists = level in self._storage.of(FLOW, "prioritylevelconfigurations").objects
            wanted, found = dangling(level, exists, timestamp(self._clock.now())), get_condition(schema, "Dangling")
            if found is not None and all(found.get(key) == wanted[key] for key in ("status", "reason", "message")):
                return None
            return {**schema, "metadata": {**schema["metadata"]}, "status": with_condition(schema, wanted)}

        await self._storage.change(self._storage.of(FLOW, "flowschemas"), name, judged)


def _is_ours(obj: Obj) -> bool:
    return (obj["metadata"].get("labels") or {}).get(MANAGED_BY) == "ipallocator.k8s.io"
