"""IP addresses and ranges as Kubernetes reads them: older ways of writing are taken, and their writer is warned.

    "010.0.0.1"  ─► parse_ip ─► 10.0.0.1    ip_warnings ─► non-standard IP address "010.0.0.1" will be ...
    "10.0.0.8/24" ► parse_cidr ► 10.0.0.0/24  cidr_warnings ─► CIDR value "10.0.0.8/24" is ambiguous ...

Invariant: what is taken here is refused nowhere else for the way it is written.
Models:    k8s.io/apimachinery/pkg/util/validation/ip.go, the legacy fields
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kubelab.machinery.errors import shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LATER = "will be considered invalid in a future Kubernetes release"


def parse_ip(value: str) -> Address | None:
    """Read an address, with leading zeros or as IPv4 within IPv6 too; None when it is none."""
    try:
        if ":" not in value:
            return ipaddress.IPv4Address(".".join(_plain(part) for part in value.split(".")))
        found = ipaddress.IPv6Address("%" if "%" in value else value)
    except ValueError:
        return None
    return found.ipv4_mapped or found


def _plain(part: str) -> str:
    return part.lstrip("0") or "0" if part.isascii() and part.isdigit() else part


def parse_cidr(value: str) -> tuple[Address, Network] | None:
    """Read an address and the range around it; None when the value is no such thing."""
    text, slash, size = value.partition("/")
    address = parse_ip(text)
    if address is None or not slash or not (size.isascii() and size.isdigit()):
        return None
    bits = int(size) - (96 if address.version == 4 and ":" in text else 0)
    try:
        return address, ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        return None


def ip_warnings(field: str, value: str) -> Iterator[str]:
    """Say how an address should have been written."""
    found = parse_ip(value)
    if found is None:
        return
    if found.version == 4 and str(found) != value:
        yield f"{field}: non-standard IP address {shown(value)} {LATER}: use {shown(str(found))}"
    elif str(found) != value:
        yield f"{field}: IPv6 address {shown(value)} should be in RFC 5952 canonical format ({shown(str(found))})"


def cidr_warnings(field: str, value: str) -> Iterator[str]:
    """Say how a range should have been written."""
    found = parse_cidr(value)
    if found is None:
        return
    address, network = found
    text, _, size = value.partition("/")
    if address != network.network_address:
        yield (f"{field}: CIDR value {shown(value)} is ambiguous in this context (should be {shown(str(network))} or "
               f"{shown(f'{address}/{address.max_prefixlen}')}?)")
    if size != _plain(size) or (address.version == 4 and str(address) != text):
        yield f"{field}: non-standard CIDR value {shown(value)} {LATER}: use {shown(str(network))}"
    elif address == network.network_address and f"{address}/{size}" != value:
        yield f"{field}: IPv6 CIDR value {shown(value)} should be in RFC 5952 canonical format ({shown(str(network))})"
