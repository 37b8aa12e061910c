"""Endpoints and EndpointSlice: the addresses of the pods behind a Service, as its controller writes them down.

Models: pkg/registry/core/endpoint and pkg/registry/discovery/endpointslice of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.addresses import ip_warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE, shortened
from kubelab.units.endpoint_subsets import repacked

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ADDRESSES, MAX_ENDPOINTS, MAX_PORTS, MAX_HINTS = 100, 1000, 20_000, 8
MANAGED, MANAGED_BY = "endpoints.kubernetes.io/managed-by", "endpointslice.kubernetes.io/managed-by"
MANAGERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


def _default_endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"


def _validate_endpoints(endpoints: Obj) -> Sequence[FieldError]:
    return [e for i, subset in enumerate(endpoints.get("subsets") or ()) for e in _subset(f"subsets[{i}]", subset)]


def _canonical(endpoints: Obj) -> None:
    if endpoints.get("subsets"):
        endpoints["subsets"] = repacked(endpoints["subsets"])


def _endpoints_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return _validate_endpoints(new) if new.get("subsets") != old.get("subsets") else ()


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
        yield from _protocol(field, port)


def _address(path: str, address: Obj) -> rules.Errors:
    ip = address.get("ip", "")
    yield from rules.ip_address(f"{path}.ip", ip)
    if address.get("hostname"):
        yield from rules.label_name(f"{path}.hostname", address["hostname"])
    if address.get("nodeName") is not None:
        yield from rules.subdomain_name(f"{path}.nodeName", address["nodeName"])
    yield from rules.special_ip(f"{path}.ip", ip)  # upstream so says twice what is no address


def _protocol(path: str, port: Obj) -> rules.Errors:
    yield from rules.one_of(f"{path}.protocol", port.get("protocol"), rules.PROTOCOLS)
    if port.get("appProtocol") is not None:
        yield from rules.qualified_name(f"{path}.appProtocol", port["appProtocol"])


def _endpoints_warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    if MANAGED in (new["metadata"].get("labels") or {}):
        return  # a controller knows better
    for i, subset in enumerate(new.get("subsets") or ()):
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
        endpoint.pop("deprecatedTopology", None)  # v1 reads it, and never writes it
    endpoint_slice["endpoints"] = endpoint_slice.get("endpoints") or None  # these two fields are always shown
    endpoint_slice["ports"] = endpoint_slice.get("ports") or None


def _validate_slice(endpoint_slice: Obj) -> Sequence[FieldError]:
    return list(_slice_errors(endpoint_slice))


def _slice_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    """Like `_validate_slice`, but endpoints that do not change are not judged again; the address type stays."""
    judged = new if (new.get("endpoints") or []) != (old.get("endpoints") or []) else {**new, "endpoints": None}
    return [*_slice_errors(judged), *rules.immutable("addressType", new.get("addressType"), old.get("addressType"))]


def _slice_errors(endpoint_slice: Obj) -> rules.Errors:
    kind, ports = endpoint_slice.get("addressType", ""), endpoint_slice.get("ports") or ()
    endpoints = endpoint_slice.get("endpoints") or ()
    yield from rules.one_of("addressType", kind, ADDRESS_TYPES)
    if len(endpoints) > MAX_ENDPOINTS:
        yield rules.too_many("endpoints", len(endpoints), MAX_ENDPOINTS)
    else:
        for i, endpoint in enumerate(endpoints):
            yield from _endpoint_errors(f"endpoints[{i}]", endpoint, kind)
    if len(ports) > MAX_PORTS:
        yield rules.too_many("ports", len(ports), MAX_PORTS)
    else:
        yield from _slice_ports(ports)


def _endpoint_errors(path: str, endpoint: Obj, kind: str) -> rules.Errors:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > MAX_ADDRESSES:
        yield rules.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES)
    for i, address in enumerate(addresses if kind in ADDRESS_TYPES else ()):
        yield from _slice_address(f"{path}.addresses[{i}]", address, kind)
    if endpoint.get("nodeName") is not None:
        yield from rules.subdomain_name(f"{path}.nodeName", endpoint["nodeName"])
    if endpoint.get("hostname") is not None:
        yield from rules.label_name(f"{path}.hostname", endpoint["hostname"])
    hints = endpoint.get("hints") or {}
    for key, check in (("forZones", names.label_value_errors), ("forNodes", names.dns1123_subdomain_errors)):
        yield from _hints(f"{path}.hints.{key}", hints.get(key) or (), check)


def _slice_address(field: str, address: str, kind: str) -> rules.Errors:
    if kind == "FQDN":
        yield from _domain_name(field, address)
        return
    faults = list(rules.ip_address(field, address))
    if not faults and (":" in address) != (kind == "IPv6"):
        yield invalid_value(field, address, f"must be an {kind} address")
    yield from faults or rules.special_ip(field, address)


def _domain_name(field: str, name: str) -> rules.Errors:
    """A domain of two parts or more; the dot of the root may end it."""
    if not name:
        yield required(field)
        return
    name = name.removesuffix(".")
    faults = names.dns1123_subdomain_errors(name)
    labels = [label for label in name.split(".") if names.dns1123_label_errors(label)]
    if faults:
        yield invalid_value(field, name, ",".join(faults))
    elif "." not in name:
        yield invalid_value(field, name, "should be a domain with at least two segments separated by dots")
    elif labels:
        yield invalid_value(field, labels[0], ",".join(names.dns1123_label_errors(labels[0])))


def _hints(path: str, hints: Sequence[Obj], check: Callable[[str], list[str]]) -> rules.Errors:
    if len(hints) > MAX_HINTS:
        yield rules.too_many(path, len(hints), MAX_HINTS)
        return
    seen: set[str] = set()
    for i, hint in enumerate(hints):
        name = hint.get("name", "")
        if name in seen:
            yield duplicate(f"{path}[{i}].name", name)
        seen.add(name)
        yield from rules.messages(f"{path}[{i}].name", name, check)


def _slice_ports(ports: Sequence[Obj]) -> rules.Errors:
    seen: set[str] = set()
    for i, port in enumerate(ports):
        path, name = f"ports[{i}]", port.get("name", "")
        if name:
            yield from rules.label_name(f"{path}.name", name)
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        yield from _protocol(path, port)


def _slice_warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    if old is None and new.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    if (new["metadata"].get("labels") or {}).get(MANAGED_BY) in MANAGERS:
        return  # they mend what they read
    for i, endpoint in enumerate(new.get("endpoints") or ()):
        for j, address in enumerate(endpoint.get("addresses") or ()):
            yield from ip_warnings(f"endpoints[{i}].addresses[{j}]", address)


ENDPOINTS = Kind(
    "Endpoints", "endpoints", singular="endpoints", short_names=("ep",),
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    default=_default_endpoints, validate=_validate_endpoints, validate_update=_endpoints_update, update_alone=True,
    warnings=_endpoints_warnings, canonical=_canonical,
    columns=(NAME, Column("Endpoints", lambda o, now: _endpoints_text(o), path="subsets"), AGE),
)

ENDPOINT_SLICE = Kind(
    "EndpointSlice", "endpointslices", group="discovery.k8s.io", generation=True,
    counted_metadata="labels", default=_default_slice, validate=_validate_slice, validate_update=_slice_update,
    update_alone=True, warnings=_slice_warnings,
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
