"""Subsets of Endpoints in the one layout that Kubernetes stores: hosts with the same ports together, all in order.

    subsets ─► port: hosts that offer it ─► hosts: ports they offer ─► sorted subsets

Invariant: `repacked` of what it returned is the same; its argument is left alone.
Models:    pkg/api/endpoints of kube-apiserver, which sorts ports and subsets by the hash of how Go prints them
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import md5
from typing import Any

from kubelab.machinery.request import Obj

Host = tuple[str, str]  # its address, and the uid of what it is
Hosts = dict[Host, bool]  # whether each is ready
_REF = (("Kind", "string", "kind"), ("Namespace", "string", "namespace"), ("Name", "string", "name"),
        ("UID", "types.UID", "uid"), ("APIVersion", "string", "apiVersion"),
        ("ResourceVersion", "string", "resourceVersion"), ("FieldPath", "string", "fieldPath"))


def repacked(subsets: Iterable[Obj]) -> list[Obj]:
    """Return the same endpoints in the layout that is stored. Who is ready here and not there, is not."""
    addresses: dict[Host, Obj] = {}
    offers: dict[Any, tuple[Obj | None, Hosts]] = {}  # each port with the hosts that offer it
    for subset in subsets:
        for port in subset.get("ports") or (None,):
            _, hosts = offers.setdefault(_same_port(port), (port, {}))
            for key, ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in subset.get(key) or ():
                    host = _host(address)
                    addresses.setdefault(host, address)
                    hosts[host] = hosts.get(host, True) and ready
    groups: dict[frozenset[tuple[Host, bool]], list[Obj]] = {}
    for port, hosts in offers.values():
        ports = groups.setdefault(frozenset(hosts.items()), [])
        if port is not None:
            ports.append(port)
    return sorted((_subset(addresses, dict(hosts), ports) for hosts, ports in groups.items()),
                  key=lambda subset: _hash(_printed_subset(subset)))


def _subset(addresses: dict[Host, Obj], hosts: Hosts, ports: list[Obj]) -> Obj:
    found: Obj = {}
    for key, ready in (("addresses", True), ("notReadyAddresses", False)):
        if some := sorted(host for host, is_ready in hosts.items() if is_ready is ready):
            found[key] = [addresses[host] for host in some]
    if ports:
        found["ports"] = sorted(ports, key=lambda port: _hash(f"(core.EndpointPort){_printed_port(port)}"))
    return found


def _host(address: Obj) -> Host:
    return address["ip"], (address.get("targetRef") or {}).get("uid", "")


def _same_port(port: Obj | None) -> Any:
    return port and (port.get("name", ""), port["port"], port.get("protocol"), port.get("appProtocol"))


def _hash(printed: str) -> bytes:
    return md5(printed.encode(), usedforsecurity=False).digest()


def _printed_subset(subset: Obj) -> str:
    lists = [("Addresses", "EndpointAddress", [_printed_address(one) for one in subset.get("addresses") or ()]),
             ("NotReadyAddresses", "EndpointAddress",
              [_printed_address(one) for one in subset.get("notReadyAddresses") or ()]),
             ("Ports", "EndpointPort", [_printed_port(one) for one in subset.get("ports") or ()])]
    return "(core.EndpointSubset){" + " ".join(
        f"{name}:([]core.{type_})" + (f"[{' '.join(items)}]" if items else "<nil>")
        for name, type_, items in lists) + "}"


def _printed_address(address: Obj) -> str:
    ref = address.get("targetRef")
    return (f"{{IP:(string){address['ip']} Hostname:(string){address.get('hostname', '')} "
            f"NodeName:{_pointer(address.get('nodeName'))} TargetRef:(*core.ObjectReference)"
            + ("<nil>" if ref is None else "{" + " ".join(f"{name}:({type_}){ref.get(key, '')}"
                                                          for name, type_, key in _REF) + "}") + "}")


def _printed_port(port: Obj) -> str:
    return (f"{{Name:(string){port.get('name', '')} Port:(int32){port['port']} "
            f"Protocol:(core.Protocol){port.get('protocol', '')} AppProtocol:{_pointer(port.get('appProtocol'))}}}")


def _pointer(text: str | None) -> str:
    return "(*string)" + ("<nil>" if text is None else text)
