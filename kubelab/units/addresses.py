"""IP addresses and ranges as Kubernetes reads them: older ways of writing are read, and refused by name.

    "010.0.0.1"  ─► parse_ip ─► 10.0.0.1      ip_address ─► must not have leading 0s
    "10.0.0.8/24" ► parse_cidr ► 10.0.0.0/24  cidr ───────► must not have bits set beyond the prefix length

Invariant: what two parsers might read as two addresses is no address here.
Models:    k8s.io/apimachinery/pkg/util/validation/ip.go with StrictIPCIDRValidation, which 1.36 has by default;
           ValidateEndpointIP of pkg/apis/core/validation
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kubelab.machinery.errors import FieldError, invalid_value, shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Errors = Iterator[FieldError]
POD_LOOPBACK = tuple(ipaddress.ip_network(f"127.{i}.0.0/{n}") for i, n in ((64, 10), (128, 9)))
"""Where pods that are plain processes have their addresses: to them these are no more special than 10.0.0.0/8."""
LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
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


def is_ip(value: str) -> bool:
    return parse_ip(value) is not None


def _zeros(value: str) -> bool:
    """Say whether a number of an IPv4 address, or the size of a range, begins with a zero that it does not need."""
    text, _, size = value.partition("/")
    return size != _plain(size) or (":" not in text and any(part != _plain(part) for part in text.split(".")))


def _ip_fault(value: str) -> str:
    found = parse_ip(value)
    if found is None:
        return NO_ADDRESS
    if _zeros(value):
        return "must not have leading 0s"
    return "must not be an IPv4-mapped IPv6 address" if found.version == 4 and ":" in value else ""


def _cidr_fault(value: str) -> str:
    found = parse_cidr(value)
    if found is None:
        return NO_CIDR
    if _zeros(value):
        return "must not have leading 0s in IP or prefix length"
    if found[0].version == 4 and ":" in value:
        return "must not have an IPv4-mapped IPv6 address"
    return "" if found[0] == found[1].network_address else "must not have bits set beyond the prefix length"


def ip_address(field: str, value: str, *, canonical: bool = False) -> Errors:
    """What an address may look like; some fields take one way of writing it alone."""
    fault, found = _ip_fault(value), parse_ip(value)
    if canonical and not fault and str(found) != value:
        fault = f'must be in canonical form ("{found}")'
    if fault:
        yield invalid_value(field, value, fault)


def cidr(field: str, value: str, *, canonical: bool = False) -> Errors:
    """The same of a range."""
    fault, found = _cidr_fault(value), parse_cidr(value)
    if canonical and not fault and found is not None and str(found[1]) != value:
        fault = f'must be in canonical form ("{found[1]}")'
    if fault:
        yield invalid_value(field, value, fault)


def interface_address(field: str, value: str) -> Errors:
    """What the address of an interface may look like: an address with the size of its network."""
    found = parse_cidr(value)
    if found is None:
        yield invalid_value(field, value, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)")
    elif f"{found[0]}/{found[1].prefixlen}" != value:
        yield invalid_value(field, value, f'must be in canonical form ("{found[0]}/{found[1].prefixlen}")')


def special_ip(field: str, value: str) -> Errors:
    """Refuse the addresses an endpoint cannot have."""
    address = parse_ip(value)
    if address is None:
        yield invalid_value(field, value, "must be a valid IP address")
        return
    if address.is_unspecified:
        yield invalid_value(field, value, f"may not be unspecified ({value})")
    if address.is_loopback and not any(address.version == n.version and address in n for n in POD_LOOPBACK):
        yield invalid_value(field, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield invalid_value(field, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if any(address.version == n.version and address in n for n in LOCAL_MULTICAST):
        yield invalid_value(field, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


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
