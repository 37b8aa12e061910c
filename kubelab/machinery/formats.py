"""The formats of strings that OpenAPI schemas of Kubernetes check: date-time, ipv4, uuid, ...

Models:    k8s.io/kube-openapi/pkg/validation/strfmt
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

_DURATION = re.compile(r"(\d+(\.\d+)?\s*(ns|us|µs|μs|ms|s|m|h|d|w))+")
_PATTERNS = {"mac": r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", "hexcolor": r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})",
             "uuid": r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
             "email": r"[^@\s]+@[^@\s]+", "hostname": r"[a-zA-Z0-9_]([-a-zA-Z0-9_.]*[a-zA-Z0-9_])?",
             "duration": _DURATION.pattern}


_KNOWN = {"string": frozenset((
    "bsonobjectid", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "uuid3", "uuid4", "uuid5",
    "isbn", "isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor", "byte", "password", "date", "duration",
    "datetime", "k8sshortname", "k8slongname")), "integer": frozenset(("int32", "int64")),
    "number": frozenset(("float", "double"))}


def is_known(name: str, type_: str) -> bool:
    """Return whether a format means something for values of a type."""
    kind = type_ or "string"
    return (name.replace("-", "") if kind == "string" else name) in _KNOWN.get(kind, ())


def has_format(name: str, value: str) -> bool:
    """Return whether a string is of a format; of one that nobody knows, every string is."""
    if name in _PATTERNS:
        return re.fullmatch(_PATTERNS[name], value) is not None
    reader = _READERS.get(name)
    if reader is None:
        return True
    try:
        reader(value)
    except (ValueError, binascii.Error):
        return False
    return True


def _date_time(value: str) -> None:
    if len(value) < 20 or value[10] not in "Tt ":
        raise ValueError(value)
    datetime.fromisoformat(value)


def _uri(value: str) -> None:
    if not (urlsplit(value).scheme or value.startswith("/")):
        raise ValueError(value)


_READERS: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat, "date-time": _date_time, "datetime": _date_time, "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address, "cidr": lambda v: ipaddress.ip_interface(v if "/" in v else "-"), "uri": _uri,
    "byte": lambda v: base64.b64decode(v, validate=True)}
