"""Cluster IPs and node ports: which are taken, and which a Service gets.

    Service ─► allocate ─► spec.clusterIP from a ServiceCIDR, spec.ports[].nodePort from 30000-32767
                 ▲
    the cache ───┘ (what stored Services hold)

Invariant: no address and no port is held by two Services; what a Service no longer needs is free at once.
Models:    pkg/registry/core/service/{ipallocator,portallocator,storage/alloc.go} of kube-apiserver
Left out:  IPv6, health check node ports
"""

from __future__ import annotations

import random

from kubelab.control_plane.apiserver.cache import Collection
from kubelab.control_plane.apiserver.service_ranges import ServiceRanges
from kubelab.control_plane.apiserver.watch import Watcher
from kubelab.machinery.errors import FieldError, invalid, invalid_value
from kubelab.machinery.request import Obj, WatchEvent

NODE_PORTS = range(30000, 32768)
RESERVED = "an IPAddress made by hand"
PortKey = tuple[int, str]


class ServiceAllocator:
    """Hands out the addresses of the stored ServiceCIDRs and the node ports of the cluster."""

    def __init__(self, services: Collection, cidrs: Collection) -> None:
        self._services, self._ranges = services, ServiceRanges(cidrs)
        self._ips: dict[str, str] = {}  # address -> namespace/name
        self._ports: dict[PortKey, str] = {}
        self._random = random.Random()

    def start(self) -> None:
        """Learn what stored Services hold and follow their changes from here on."""
        self._ips.clear()
        self._ports.clear()
        watcher = Watcher()
        watcher.drain_to(self._follow)
        for body in self._services.objects.values():
            self._hold(body.obj)
        self._services.fanout.add(watcher)

    def _follow(self, event: WatchEvent) -> None:
        self.forget(event.obj)

    def reserve(self, ip: str, taken: bool) -> None:
        """Keep an address from every Service, as an IPAddress made by hand does, or give it free again."""
        if taken:
            self._ips.setdefault(ip, RESERVED)
        elif self._ips.get(ip) == RESERVED:
            del self._ips[ip]

    def forget(self, service: Obj) -> None:
        """Hold for a Service what is stored of it and nothing else."""
        key = _key(service)
        self._ips = {ip: owner for ip, owner in self._ips.items() if owner != key}
        self._ports = {port: owner for port, owner in self._ports.items() if owner != key}
        stored = self._services.objects.get(key)
        if stored is not None:
            self._hold(stored.obj)

    def _hold(self, service: Obj) -> None:
        key = _key(service)
        for ip in _ips(service):
            self._ips[ip] = key
        for port in service["spec"].get("ports") or ():
            if port.get("nodePort"):
                self._ports[port["nodePort"], port.get("protocol", "TCP")] = key

    def allocate(self, service: Obj, old: Obj | None, *, dry_run: bool = False) -> None:
        """Complete a Service. Raises `Invalid` when what it asks for is taken or out of range."""
        spec, key = service["spec"], _key(service)
        errors: list[FieldError] = []
        if spec["type"] != "ExternalName":
            self._allocate_ip(spec, key, errors, dry_run=dry_run)
        if spec["type"] in ("NodePort", "LoadBalancer") and spec.get("allocateLoadBalancerNodePorts", True):
            self._allocate_ports(spec, key, errors)
        if errors:
            self.forget(service)
            raise invalid("", "Service", service["metadata"]["name"], errors)

    def _allocate_ip(self, spec: Obj, key: str, errors: list[FieldError], *, dry_run: bool) -> None:
        asked = spec.get("clusterIP") or ""
        if asked == "None":
            spec["clusterIPs"] = ["None"]
            return
        if not asked:
            asked = self._ranges.free(self._ips)
            if not asked:
                errors.append(FieldError("spec.clusterIPs", "InternalError",
                                         "failed to allocate a serviceIP: range is full"))
                return
        elif self._ips.get(asked) != key:  # what it has it keeps, also when its range has gone
            problem = self._ranges.problem(asked, dry_run=dry_run)
            if not problem and asked in self._ips:
                problem = "provided IP is already allocated"
            if problem:
                errors.append(invalid_value("spec.clusterIPs", [asked], f"failed to allocate IP {asked}: {problem}"))
                return
        self._ips[asked] = key
        spec["clusterIP"], spec["clusterIPs"] = asked, [asked]

    def _allocate_ports(self, spec: Obj, key: str, errors: list[FieldError]) -> None:
        for index, port in enumerate(spec.get("ports") or ()):
            protocol, path = port.get("protocol", "TCP"), f"spec.ports[{index}].nodePort"
            number = port.get("nodePort")
            if not number:
                number = self._free_port(protocol)
            elif number not in NODE_PORTS:
                errors.append(invalid_value(path, number, "provided port is not in the valid range. The range of valid "
                                            f"ports is {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"))
                continue
            elif self._ports.get((number, protocol), key) != key:
                errors.append(invalid_value(path, number, "provided port is already allocated"))
                continue
            self._ports[number, protocol] = key
            port["nodePort"] = number

    def _free_port(self, protocol: str) -> int:
        for _ in range(64):
            number = self._random.choice(NODE_PORTS)
            if (number, protocol) not in self._ports:
                return number
        return next(number for number in NODE_PORTS if (number, protocol) not in self._ports)


def _key(service: Obj) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def _ips(service: Obj) -> list[str]:
    ip = service["spec"].get("clusterIP") or ""
    return [] if ip in ("", "None") else [ip]
