"""Cluster IPs and node ports: which are taken, and which a Service gets.

    Service ─► allocate ─► spec.clusterIP from a ServiceCIDR, spec.ports[].nodePort from 30000-32767,
                 ▲         spec.healthCheckNodePort for a load balancer that wants to know which nodes have pods
    the cache ───┘ (what stored Services hold)

Invariant: no address and no port is held by two Services; what a Service no longer needs is free at once.
Models:    pkg/registry/core/service/{ipallocator,portallocator,storage/alloc.go} of kube-apiserver
Left out:  IPv6
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from kubelab.control_plane.apiserver.cache import Collection
from kubelab.control_plane.apiserver.watch import Watcher
from kubelab.machinery.errors import ApiError, invalid, invalid_value
from kubelab.machinery.request import Obj, WatchEvent
from kubelab.units.addresses import parse_ip
from kubelab.units.service_ranges import ServiceRanges
from kubelab.units.service_validation import has_node_ports, needs_health_check

NODE_PORTS = range(30000, 32768)
DYNAMIC = NODE_PORTS[86:]  # the others are left to those who ask for one by number, as long as there are any of these
RESERVED = "an IPAddress made by hand"


class ServiceAllocator:
    """Hands out the addresses of the stored ServiceCIDRs and the node ports of the cluster."""

    def __init__(self, services: Collection, cidrs: Collection) -> None:
        self._services, self._ranges = services, ServiceRanges(
            lambda: (body.obj for body in cidrs.objects.values()))
        self._ips: dict[str, str] = {}  # address -> namespace/name
        self._ports: dict[int, str] = {}
        self._held: dict[str, set[str | int]] = {}  # namespace/name -> its addresses and ports
        self._random = random.Random()

    def start(self) -> None:
        """Learn what stored Services hold and follow their changes from here on."""
        self._ips.clear()
        self._ports.clear()
        self._held.clear()
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
        for held in self._held.pop(key, ()):
            if isinstance(held, str) and self._ips.get(held) == key:
                del self._ips[held]
            elif isinstance(held, int) and self._ports.get(held) == key:
                del self._ports[held]
        stored = self._services.objects.get(key)
        if stored is not None:
            self._hold(stored.obj)

    def _hold(self, service: Obj) -> None:
        key = _key(service)
        for ip in _ips(service):
            self._take_ip(ip, key)
        for number in _ports(service["spec"]):
            self._take_port(number, key)

    def _take_ip(self, ip: str, key: str) -> None:
        self._ips[ip] = key
        self._held.setdefault(key, set()).add(ip)

    def _take_port(self, number: int, key: str) -> None:
        self._ports[number] = key
        self._held.setdefault(key, set()).add(number)

    def allocate(self, service: Obj, old: Obj | None, *, dry_run: bool = False) -> None:
        """Complete a Service. Raises `Invalid` when what it asks for is taken or out of range."""
        spec, key = service["spec"], _key(service)
        try:
            if spec["type"] != "ExternalName":
                self._allocate_ip(service, key, dry_run=dry_run)
            if has_node_ports(spec):
                self._allocate_ports(service, key, _ports(old["spec"]) if old is not None else ())
            if needs_health_check(spec):
                self._allocate_health_port(service, key)
        except ApiError:
            self.forget(service)
            raise

    def _allocate_ip(self, service: Obj, key: str, *, dry_run: bool) -> None:
        spec = service["spec"]
        asked = spec.get("clusterIP") or ""
        if asked == "None":
            spec["clusterIPs"] = ["None"]
            return
        ip = str(parse_ip(asked)) if asked else self._ranges.free(self._ips)
        if not ip:
            raise _internal("failed to allocate a serviceIP: range is full")
        if asked and self._ips.get(ip) != key:  # what it has it keeps, also when its range has gone
            problem = self._ranges.problem(ip, dry_run=dry_run)
            if not problem and ip in self._ips:
                problem = "provided IP is already allocated"
            if problem:
                raise _invalid(service, "spec.clusterIPs", [asked], f"failed to allocate IP {asked}: {problem}")
        self._take_ip(ip, key)
        spec["clusterIP"] = asked or ip
        spec["clusterIPs"] = [spec["clusterIP"]]

    def _allocate_ports(self, service: Obj, key: str, kept: Sequence[int]) -> None:
        """Give each port a node port, the same to those that differ in their protocol only."""
        spec = service["spec"]
        ports, given = spec.get("ports") or (), dict[int, int]()
        for index, port in enumerate(ports):
            number, same = port.get("nodePort"), given.get(port["port"])
            if not number and not spec.get("allocateLoadBalancerNodePorts", True):
                continue
            if same is None:  # a later port of this number may have named what all of them get
                number = next((p["nodePort"] for p in ports if p["port"] == port["port"] and p.get("nodePort")), None)
            number = number or same or self._free_port()
            if number not in (same, *kept):
                problem = self._port_problem(number)
                if problem:
                    raise _invalid(service, f"spec.ports[{index}].nodePort", number, problem)
            self._take_port(number, key)
            port["nodePort"] = number
            given.setdefault(port["port"], number)

    def _port_problem(self, number: int) -> str:
        if number not in NODE_PORTS:
            return ("provided port is not in the valid range. The range of valid ports is "
                    f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}")
        return "provided port is already allocated" if number in self._ports else ""

    def _allocate_health_port(self, service: Obj, key: str) -> None:
        """Reserve the port of a load balancer's health checks; where upstream answers with 500, this is the reason."""
        spec = service["spec"]
        number = spec.get("healthCheckNodePort") or self._free_port()
        problem = "" if self._ports.get(number) == key else self._port_problem(number)
        if problem:
            raise _invalid(service, "spec.healthCheckNodePort", number,
                           f"failed to allocate requested HealthCheck NodePort {number}: {problem}")
        self._take_port(number, key)
        spec["healthCheckNodePort"] = number

    def _free_port(self) -> int:
        for _ in range(64):
            number = self._random.choice(DYNAMIC)
            if number not in self._ports:
                return number
        free = next((number for number in (*DYNAMIC, *NODE_PORTS) if number not in self._ports), 0)
        if not free:
            raise _internal("failed to allocate a nodePort: range is full")
        return free


def _invalid(service: Obj, field: str, value: object, why: str) -> ApiError:
    return invalid("", "Service", service["metadata"]["name"], [invalid_value(field, value, why)])


def _internal(why: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})


def _ports(spec: Obj) -> list[int]:
    numbers = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    return [*numbers, *([spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else [])]


def _key(service: Obj) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def _ips(service: Obj) -> list[str]:
    ip = service["spec"].get("clusterIP") or ""
    return [] if ip in ("", "None") else [str(parse_ip(ip))]
