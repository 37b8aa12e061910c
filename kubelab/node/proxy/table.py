"""From Services and EndpointSlices to what has to be listened on. Pure functions.

    Service "web" 80 ─► Frontend 127.A.128.7:80/TCP, node:30080/TCP ─┐
    EndpointSlices of "web" ─► Endpoint 127.A.16.2:80, ... ──────────┴─► ServicePort

Invariant: endpoints that are not ready get traffic only while they still serve and no other is ready.
Models:    k8s.io/kubernetes/pkg/proxy, servicechangetracker and CategorizeEndpoints
Left out:  externalTrafficPolicy and internalTrafficPolicy Local (all nodes are one machine), external IPs,
           traffic distribution by zone
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kubelab.machinery.request import Obj

SERVICE_NAME = "kubernetes.io/service-name"


class Frontend(NamedTuple):
    """Where clients connect to."""

    ip: str
    port: int
    protocol: str  # "TCP" | "UDP"
    optional: bool = False  # a NodePort on 127.0.0.1, which somebody else may hold


class Endpoint(NamedTuple):
    ip: str
    port: int
    pod: str = ""  # "namespace/name" when a pod stands behind it

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service: where it listens, and who answers."""

    service: str  # "namespace/name"
    name: str
    port: int
    frontends: tuple[Frontend, ...]
    endpoints: tuple[Endpoint, ...]
    affinity_s: int = 0  # 0: none


def service_ports(service: Obj, slices: Iterable[Obj], node_ips: Sequence[str]) -> list[ServicePort]:
    """Return the ports of a Service with the endpoints that may get traffic now."""
    spec, meta = service["spec"], service["metadata"]
    ip = spec.get("clusterIP") or ""
    if ip in ("", "None") or spec.get("type") == "ExternalName":
        return []
    slices = list(slices)
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        affinity = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds") or 10800
    found = []
    for port in spec.get("ports") or ():
        protocol = port.get("protocol", "TCP")
        if protocol not in ("TCP", "UDP"):
            continue  # SCTP: no sockets for it on most systems
        frontends = [Frontend(ip, port["port"], protocol)]
        if port.get("nodePort"):
            frontends += [Frontend(node, port["nodePort"], protocol) for node in node_ips]
            if "127.0.0.1" not in node_ips:
                frontends.append(Frontend("127.0.0.1", port["nodePort"], protocol, optional=True))
        name = port.get("name") or ""
        found.append(ServicePort(f"{meta['namespace']}/{meta['name']}", name, port["port"], tuple(frontends),
                                 endpoints_of(slices, name, protocol), affinity))
    return found


def endpoints_of(slices: Iterable[Obj], name: str, protocol: str) -> tuple[Endpoint, ...]:
    """Return the endpoints behind the port `name`: the ready ones, else those that end but still serve."""
    ready: dict[Endpoint, None] = {}
    serving: dict[Endpoint, None] = {}
    for piece in slices:
        number = next((p.get("port") for p in piece.get("ports") or ()
                       if (p.get("name") or "") == name and p.get("protocol", "TCP") == protocol), None)
        if number is None or piece.get("addressType", "IPv4") != "IPv4":
            continue
        for entry in piece.get("endpoints") or ():
            conditions = entry.get("conditions") or {}
            target = entry.get("targetRef") or {}
            pod = f"{target.get('namespace')}/{target['name']}" if target.get("kind") == "Pod" else ""
            for ip in entry.get("addresses") or ():
                if conditions.get("ready") is not False:
                    ready[Endpoint(ip, number, pod)] = None
                elif conditions.get("serving") and conditions.get("terminating"):
                    serving[Endpoint(ip, number, pod)] = None
    return tuple(ready or serving)
