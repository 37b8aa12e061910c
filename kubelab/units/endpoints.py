"""Endpoints and EndpointSlice: the addresses of the pods behind a Service, as its controller writes them down.

Models: pkg/registry/core/endpoint and pkg/registry/discovery/endpointslice of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.addresses import ip_warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE, shortened

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ADDRESSES, MAX_ENDPOINTS, MAX_PORTS = 100, 1000, 20_000


def _default_endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"


def _validate_endpoints(endpoints: Obj) -> Sequence[FieldError]:
    return [e for i, subset in enumerate(endpoints.get("subsets") or ()) for e in _subset(f"subsets[{i}]", subset)]


def _subset(path: str, subset: Obj) -> rules.Errors:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        yield required(path, "must specify `addresses` or `notReadyAddresses`")
    for key in ("addresses", "notReadyAddresses"):
        for i, address in enumerate(subset.get(key) or ()):
            yield from _address(f"{path}.{key}[{i}]", address)
    ports = subset.get("ports") or ()
    for i, port in enumerate(ports):
        field, name = f"{path}.ports[{i}]", port.get("name", "")
        if name:
            yield from rules.label_name(f"{field}.name", name)
        elif len(ports) > 1:
            yield required(f"{field}.name")
        yield from rules.port_number(f"{field}.port", port.get("port", 0))
        yield from rules.one_of(f"{field}.protocol", port.get("protocol"), rules.PROTOCOLS)
        if port.get("appProtocol") is not None:
            yield from rules.qualified_name(f"{field}.appProtocol", port["appProtocol"])


def _address(path: str, address: Obj) -> rules.Errors:
    ip = address.get("ip", "")
    yield from rules.ip_address(f"{path}.ip", ip)
    if address.get("hostname"):
        yield from rules.label_name(f"{path}.hostname", address["hostname"])
    if address.get("nodeName") is not None:
        yield from rules.subdomain_name(f"{path}.nodeName", address["nodeName"])
    yield from rules.special_ip(f"{path}.ip", ip)


def _warnings(endpoints: Obj, old: Obj | None) -> Iterator[str]:
    """Warn of addresses in an older form, unless a controller wrote them, which knows better."""
    if MANAGED_BY in (endpoints["metadata"].get("labels") or {}):
        return
    for i, subset in enumerate(endpoints.get("subsets") or ()):
        for key in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(subset.get(key) or ()):
                yield from ip_warnings(f"subsets[{i}].{key}[{j}].ip", address.get("ip", ""))


def _endpoints_text(endpoints: Obj) -> str:
    def one(subset: Obj) -> Iterator[str]:
        ports = [p["port"] for p in subset.get("ports") or ()] or [None]
        for port in ports:
            for address in subset.get("addresses") or ():
                ip = f"[{address['ip']}]" if ":" in address["ip"] and port else address["ip"]
                yield f"{ip}:{port}" if port else ip

    subsets = endpoints.get("subsets") or ()
    return shortened(text for subset in subsets for text in one(subset)) if subsets else NONE


def _default_slice(endpoint_slice: Obj) -> None:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    for endpoint in endpoint_slice.get("endpoints") or ():
        endpoint.setdefault("conditions", {})
    endpoint_slice["endpoints"] = endpoint_slice.get("endpoints") or None  # these two fields are always shown
    endpoint_slice["ports"] = endpoint_slice.get("ports") or None


def _validate_slice(endpoint_slice: Obj) -> Sequence[FieldError]:
    ports = endpoint_slice.get("ports") or ()
    errors = [*rules.one_of("addressType", endpoint_slice.get("addressType"), ADDRESS_TYPES)]
    if not endpoint_slice["metadata"].get("resourceVersion"):  # stored ones are looked at where they change
        errors += _endpoints_errors(endpoint_slice)
    if len(ports) > MAX_PORTS:
        errors.append(rules.too_many("ports", len(ports), MAX_PORTS))
    return [*errors, *_slice_ports(ports)]


def _endpoints_errors(endpoint_slice: Obj) -> rules.Errors:
    kind, endpoints = endpoint_slice.get("addressType", ""), endpoint_slice.get("endpoints") or ()
    if kind not in ADDRESS_TYPES:
        return
    if len(endpoints) > MAX_ENDPOINTS:
        yield rules.too_many("endpoints", len(endpoints), MAX_ENDPOINTS)
    for i, endpoint in enumerate(endpoints):
        yield from _endpoint_errors(f"endpoints[{i}]", endpoint, kind)


def _endpoint_errors(path: str, endpoint: Obj, kind: str) -> rules.Errors:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > MAX_ADDRESSES:
        yield rules.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES)
    for i, address in enumerate(addresses):
        field = f"{path}.addresses[{i}]"
        if kind == "FQDN":
            yield from rules.subdomain_name(field, address.removesuffix("."))
        elif not rules.is_ip(address):
            yield from rules.ip_address(field, address)
        elif (":" in address) != (kind == "IPv6"):
            yield invalid_value(field, address, f"must be an {kind} address")
        else:
            yield from rules.special_ip(field, address)
    if endpoint.get("hostname") is not None:
        yield from rules.label_name(f"{path}.hostname", endpoint["hostname"])
    if endpoint.get("nodeName") is not None:
        yield from rules.subdomain_name(f"{path}.nodeName", endpoint["nodeName"])


def _slice_ports(ports: Sequence[Obj]) -> rules.Errors:
    names = set()
    for i, port in enumerate(ports):
        path, name = f"ports[{i}]", port.get("name", "")
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        if name:
            yield from rules.label_name(f"{path}.name", name)
        yield from rules.one_of(f"{path}.protocol", port.get("protocol"), rules.PROTOCOLS)
        if port.get("appProtocol") is not None:
            yield from rules.qualified_name(f"{path}.appProtocol", port["appProtocol"])


def _validate_slice_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    changed = (new.get("endpoints") or []) != (old.get("endpoints") or [])
    return [*(_endpoints_errors(new) if changed else ()),
            *rules.immutable("addressType", new.get("addressType"), old.get("addressType"))]


ENDPOINTS = Kind(
    "Endpoints", "endpoints", singular="endpoints", short_names=("ep",),
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    default=_default_endpoints, validate=_validate_endpoints, warnings=_warnings,
    columns=(NAME, Column("Endpoints", lambda o, now: _endpoints_text(o), path="subsets"), AGE),
)

ENDPOINT_SLICE = Kind(
    "EndpointSlice", "endpointslices", group="discovery.k8s.io", generation=True,
    default=_default_slice, validate=_validate_slice, validate_update=_validate_slice_update,
    columns=(
        NAME,
        Column("AddressType", lambda o, now: o.get("addressType", ""), path="addressType"),
        Column("Ports", lambda o, now: shortened(str(p.get("port", p.get("name", "*")))
                                                 for p in o.get("ports") or ()) or "<unset>", path="ports"),
        Column("Endpoints", lambda o, now: shortened(a for e in o.get("endpoints") or ()
                                                     for a in e.get("addresses") or ()) or "<unset>",
               path="endpoints"),
        AGE,
    ),
)
