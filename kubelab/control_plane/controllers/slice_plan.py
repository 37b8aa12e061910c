"""The decisions of the EndpointSlice controller: what each pod's endpoint says, and how endpoints fill slices.

    pods ─► endpoints by address type and ports ─► keep the slices that are right, change as few others as possible
                                                   what would go is written anew for what would come

Invariant: no slice holds more than 100 endpoints; an endpoint that is already in a slice stays in it.
Models:    k8s.io/endpointslice (reconciler.go, utils.go, trafficdist)
Left out:  IPv6 and dual stack, hints by the share of each zone's CPUs (service.kubernetes.io/topology-mode)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.controllers.pods import is_ready
from kubelab.control_plane.controllers.service_pods import (
    address_of,
    hostname_of,
    may_serve,
    target_port,
    target_ref,
)
from kubelab.machinery.meta import is_terminating
from kubelab.machinery.request import Obj

FULL = 100
CLOSE = ("PreferClose", "PreferSameNode", "PreferSameZone")
TOPOLOGY = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
Ports = tuple[tuple[tuple[str, Any], ...], ...]


@dataclass(slots=True)
class SlicePlan:
    create: list[tuple[Ports, list[Obj]]] = field(default_factory=list)
    update: list[tuple[Obj, Ports | None, list[Obj]]] = field(default_factory=list)  # None: with the ports that it has
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
    hints = _hints(service, endpoint) if endpoint["conditions"]["ready"] else {}
    return endpoint | {"hints": hints} if hints else endpoint


def _hints(service: Obj, endpoint: Obj) -> Obj:
    """Say whose traffic an endpoint wants, where the Service wants it kept close."""
    wish, notes = service["spec"].get("trafficDistribution"), service["metadata"].get("annotations") or {}
    mode = next((notes[key] for key in TOPOLOGY if key in notes), "")
    if wish not in CLOSE or mode in ("Auto", "auto"):
        return {}
    hints = {"forZones": [{"name": endpoint["zone"]}]} if endpoint.get("zone") else {}
    if wish == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


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
    """Return endpoints by ports and pod uid; a pod that has none of the ports stands among those without any."""
    wanted: dict[Ports, dict[str, Obj]] = {}
    for pod in pods:
        if may_serve(pod, terminating_too=True):
            wanted.setdefault(ports_of(service, pod), {})[pod["metadata"]["uid"]] = endpoint_of(service, pod, zones)
    return wanted


def plan_slices(wanted: Mapping[Ports, Mapping[str, Obj]], slices: Sequence[Obj]) -> SlicePlan:
    """Fit the wanted endpoints into the slices of their Service; one without any endpoint keeps one empty slice."""
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
    while plan.create and plan.delete:  # rather than one that goes and one that comes
        plan.update.append((plan.delete.pop(0), *plan.create.pop()))
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
            plan.update.append((existing, None, staying))
    rest = list(missing.values())
    plan.create += [(ports, rest[i:i + FULL]) for i in range(0, len(rest), FULL)]


def _ports_in(existing: Obj) -> Ports:
    return tuple(tuple((name, port[name]) for name in ("name", "protocol", "port", "appProtocol") if name in port)
                 for port in existing.get("ports") or ())
