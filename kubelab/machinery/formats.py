"""The formats of strings that OpenAPI schemas of Kubernetes check: date-time, ipv4, uuid, ...

Models:    k8s.io/kube-openapi/pkg/validation/strfmt
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from email.utils import parseaddr
from urllib.parse import urlsplit

from kubelab.machinery import go_regex, names

_HEX = "[0-9a-fA-F]"
_PATTERNS = {
    "mac": rf"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5}}|{_HEX}{{4}}(\.{_HEX}{{4}}){{2}}",
    "hexcolor": rf"#?({_HEX}{{3}}|{_HEX}{{6}})", "bsonobjectid": rf"{_HEX}{{24}}",
    "uuid": rf"{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}}",
    "uuid3": rf"{_HEX}{{8}}-?{_HEX}{{4}}-?3{_HEX}{{3}}-?{_HEX}{{4}}-?{_HEX}{{12}}",
    "uuid4": rf"{_HEX}{{8}}-?{_HEX}{{4}}-?4{_HEX}{{3}}-?[89abAB]{_HEX}{{3}}-?{_HEX}{{12}}",
    "uuid5": rf"{_HEX}{{8}}-?{_HEX}{{4}}-?5{_HEX}{{3}}-?[89abAB]{_HEX}{{3}}-?{_HEX}{{12}}",
    "rgbcolor": r"rgb\(\s*({0})\s*,\s*({0})\s*,\s*({0})\s*\)".format(r"0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5]"),
    "ssn": r"\d{3}[- ]\d{2}[- ]\d{4}",
    "byte": r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"}
_HOSTNAME = (r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|"
             r"([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}"
             r"([a-zA-Z\p{L}]){2,63})$")
_GO_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_WORDY_DURATION = re.compile(r"\d+\s*([A-Za-zµ]+)")
_UNITS = re.compile(r"ns|nano.*|us|µs|micro.*|ms|milli.*|s|sec.*|m|min.*|h|hr|hour.*|d|day.*|w|wk|week.*",
                    re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_CARD = re.compile(r"(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|(222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|"
                   r"6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2131|1800|35\d{3})\d{11}|6[27]\d{14})")
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
    plain = name.replace("-", "")
    if plain in _PATTERNS:
        return re.fullmatch(_PATTERNS[plain], value, re.ASCII) is not None
    test = _TESTS.get(plain)
    try:
        return test is None or test(value)
    except ValueError:
        return False


def _date_time(value: str) -> bool:
    day, clock = value[:10], value[11:].upper()
    if len(value) < 20 or value[10] not in "Tt" or not _DAY.fullmatch(day):
        return False
    datetime.fromisoformat(f"{day}T{clock}")
    return re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)", clock) is not None


def _date(value: str) -> bool:
    return _DAY.fullmatch(value) is not None and date.fromisoformat(value) is not None


def _duration(value: str) -> bool:
    return _GO_DURATION.fullmatch(value) is not None or any(
        _UNITS.fullmatch(unit) for unit in _WORDY_DURATION.findall(value))


def _uri(value: str) -> bool:
    parts = urlsplit(value)
    return bool(value) and " " not in value.partition("?")[0] and (value.startswith("/") or bool(parts.scheme))


def _email(value: str) -> bool:
    address = parseaddr(value)[1]
    name, at, host = address.rpartition("@")
    return bool(name and at and host) and " " not in address


def _hostname(value: str) -> bool:
    return go_regex.compiled(_HOSTNAME).search(value) is not None and len(value.encode()) <= 255 and all(
        len(part.encode()) <= 63 for part in value.split("."))


def _ipv4(value: str) -> bool:
    """Leading zeros are let through, as they ever were."""
    if ":" in value:
        return "." in value and ipaddress.IPv6Address(value) is not None
    return ipaddress.IPv4Address(_bare(value)) is not None


def _bare(address: str) -> str:
    return ".".join(part.lstrip("0") or "0"[:len(part)] for part in address.split("."))


def _cidr(value: str) -> bool:
    address, slash, bits = value.partition("/")
    return bool(slash) and bits.isdigit() and ipaddress.ip_interface(
        f"{address if ':' in address else _bare(address)}/{bits}") is not None


def _ipv6(value: str) -> bool:
    return "%" not in value and ipaddress.IPv6Address(value) is not None


def _card(value: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", value)
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return _CARD.fullmatch(digits) is not None and sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def _isbn(length: int) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        digits = re.sub(r"[\s-]+", "", value)
        if length == 10:
            return re.fullmatch(r"\d{9}[\dX]", digits) is not None and sum(
                (i + 1) * (10 if d == "X" else int(d)) for i, d in enumerate(digits)) % 11 == 0
        return re.fullmatch(r"\d{13}", digits) is not None and sum(
            int(d) * (1 + 2 * (i % 2)) for i, d in enumerate(digits)) % 10 == 0
    return holds


_TESTS: dict[str, Callable[[str], bool]] = {
    "date": _date, "datetime": _date_time, "ipv4": _ipv4, "ipv6": _ipv6, "cidr": _cidr, "uri": _uri, "email": _email,
    "hostname": _hostname, "duration": _duration, "creditcard": _card, "isbn10": _isbn(10), "isbn13": _isbn(13),
    "isbn": lambda value: _isbn(10)(value) or _isbn(13)(value),
    "k8sshortname": lambda value: not names.dns1123_label_errors(value),
    "k8slongname": lambda value: not names.dns1123_subdomain_errors(value)}
