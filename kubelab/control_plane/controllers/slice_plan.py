"""The decisions of the EndpointSlice controller: what each pod's endpoint says, and how endpoints fill slices.

    pods ─► endpoints by address type and ports ─► keep the slices that are right, change as few others as possible

Invariant: no slice holds more than 100 endpoints; an endpoint that is already in a slice stays in it.
Models:    k8s.io/endpointslice (reconciler.go, utils.go)
Left out:  IPv6 and dual stack, topology hints
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.controllers.pods import is_ready
from kubelab.control_plane.controllers.service_pods import (
    address_of,
    hostname_of,
    is_headless,
    may_serve,
    target_port,
    target_ref,
)
from kubelab.machinery.meta import is_terminating
from kubelab.machinery.request import Obj

FULL = 100
Ports = tuple[tuple[tuple[str, Any], ...], ...]


@dataclass(slots=True)
class SlicePlan:
    create: list[tuple[Ports, list[Obj]]] = field(default_factory=list)
    update: list[tuple[Obj, list[Obj]]] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def endpoint_of(service: Obj, pod: Obj, zones: Mapping[str, str]) -> Obj:
    """Word one pod as an endpoint. `zones` maps node names to their zone."""
    serving, terminating = is_ready(pod), is_terminating(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Obj = {
        "addresses": [address_of(pod)],
        "conditions": {"ready": publish or (serving and not terminating), "serving": serving,
                       "terminating": terminating},
        "targetRef": target_ref(pod),
    }
    hostname, node = hostname_of(pod, service), pod["spec"].get("nodeName", "")
    for name, value in (("hostname", hostname), ("nodeName", node), ("zone", zones.get(node, ""))):
        if value:
            endpoint[name] = value
    return endpoint


def ports_of(service: Obj, pod: Obj) -> Ports:
    found = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            entry: list[tuple[str, Any]] = [("name", port.get("name", "")), ("protocol", port.get("protocol", "TCP")),
                                            ("port", number)]
            if port.get("appProtocol"):
                entry.append(("appProtocol", port["appProtocol"]))
            found.append(tuple(entry))
    return tuple(found)


def wanted_endpoints(service: Obj, pods: Iterable[Obj], zones: Mapping[str, str]) -> dict[Ports, dict[str, Obj]]:
    """Return endpoints by ports and pod uid."""
    wanted: dict[Ports, dict[str, Obj]] = {}
    headless = is_headless(service)
    for pod in pods:
        if not may_serve(pod, terminating_too=True):
            continue
        ports = ports_of(service, pod)
        if ports or (headless and not service["spec"].get("ports")):
            wanted.setdefault(ports, {})[pod["metadata"]["uid"]] = endpoint_of(service, pod, zones)
    return wanted


def plan_slices(wanted: Mapping[Ports, Mapping[str, Obj]], slices: Sequence[Obj]) -> SlicePlan:
    """Fit the wanted endpoints into the existing slices; a Service without any keeps one empty slice."""
    plan = SlicePlan()
    by_ports: dict[Ports, list[Obj]] = {}
    for existing in slices:
        by_ports.setdefault(_ports_in(existing), []).append(existing)
    for ports, endpoints in wanted.items():
        _fill(plan, ports, endpoints, by_ports.pop(ports, []))
    leftover = [existing for group in by_ports.values() for existing in group]
    if not wanted:
        placeholder = next((s for s in leftover if not s.get("endpoints")), None)
        if placeholder is None:
            plan.create.append(((), []))
        leftover = [s for s in leftover if s is not placeholder]
    plan.delete += leftover
    return plan


def _fill(plan: SlicePlan, ports: Ports, endpoints: Mapping[str, Obj], slices: Sequence[Obj]) -> None:
    missing = dict(endpoints)
    kept: list[tuple[Obj, list[Obj], bool]] = []
    for existing in slices:
        staying, changed = [], False
        for old in existing.get("endpoints") or ():
            new = missing.pop((old.get("targetRef") or {}).get("uid", ""), None)
            changed = changed or new != old
            if new is not None:
                staying.append(new)
        kept.append((existing, staying, changed))
    # those that have to be written anyway take the new endpoints first, then the fullest of the others
    kept.sort(key=lambda k: (not k[2], -len(k[1])))
    for existing, staying, changed in kept:
        room = FULL - len(staying)
        if missing and room > 0 and (changed or len(missing) <= room):
            for uid in list(missing)[:room]:
                staying.append(missing.pop(uid))
            changed = True
        if not staying:
            plan.delete.append(existing)
        elif changed:
            plan.update.append((existing, staying))
    rest = list(missing.values())
    plan.create += [(ports, rest[i:i + FULL]) for i in range(0, len(rest), FULL)]


def _ports_in(existing: Obj) -> Ports:
    return tuple(tuple((name, port[name]) for name in ("name", "protocol", "port", "appProtocol") if name in port)
                 for port in existing.get("ports") or ())
