"""What Kubernetes adds to CEL: functions of lists, regular expressions, URLs, addresses, quantities, authorizers.

Each is one row: name, what it takes, what it gives, how. A receiver stands first among what a member function takes.
`o` is a value of no CEL type, kept as a map whose first key says what it is: {"quantity": "1500m"}.

Invariant: a function is pure, but for the authorizer's `check`, which asks whoever evaluates.
Models:    k8s.io/apiserver/pkg/cel/library, and of cel-go the lists of ext, version 3
Left out:  string() of addresses
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from contextvars import ContextVar
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubelab.machinery import cel_formats
from kubelab.machinery import quantity as q
from kubelab.machinery.cel_names import OURS

Opaque = dict[str, Any]
Row = tuple[str, str, str, Callable[..., Any]]

MAX_RANGE = 1_000_000
asked: ContextVar[Callable[[Opaque, str], bool]] = ContextVar("asked")
"""Answers an authorizer's check: (what was asked for, verb) -> allowed."""


def _quantity(text: str) -> Opaque:
    return _amount(q.parse(text))


def _amount(number: Any) -> Opaque:
    return {"quantity": f"{number.numerator}/{number.denominator}"}  # one spelling of each amount, so that == holds


def _number(value: Opaque) -> Any:
    from fractions import Fraction

    return Fraction(value["quantity"])


def _other(value: Opaque | int) -> Any:
    return value if isinstance(value, int) else _number(value)


def _sign(number: Any) -> int:
    return int((number > 0) - (number < 0))


def _is(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return holds


def _url(text: str) -> Opaque:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return {"url": text}


def _url_part(pick: Callable[[Any], Any]) -> Callable[[Opaque], Any]:
    return lambda value: pick(urlsplit(value["url"]))


def _ip(text: str) -> Opaque:
    return {"ip": str(ipaddress.ip_address(text))}


def _cidr(text: str) -> Opaque:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text}")
    return {"cidr": str(ipaddress.ip_interface(text))}


def _address(value: Opaque | str) -> Any:
    return ipaddress.ip_address(value if isinstance(value, str) else value["ip"])


def _network(value: Opaque | str) -> Any:
    return ipaddress.ip_network(value if isinstance(value, str) else value["cidr"], strict=False)


def _within(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.subnet_of(outer))


_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def _semver(text: str, normalize: bool = False) -> Opaque:
    """Read a version (semver.org); `normalize` takes a "v" off, leading zeros too, and fills in what is missing."""
    if normalize and (match := re.fullmatch(r"v?([0-9.]+)(.*)", text)):
        numbers = [number.lstrip("0") or "0" for number in match[1].split(".")]
        text = ".".join(numbers + ["0"] * (3 - len(numbers))) + match[2]
    if not _SEMVER.fullmatch(text):
        raise ValueError(f"semver parse error: {text!r} is no version")
    return {"semver": text.partition("+")[0]}


def _version(value: Opaque) -> Any:
    """Return what versions are ordered by: numbers, then releases after their candidates, candidates part by part."""
    match = _SEMVER.fullmatch(value["semver"])
    assert match is not None
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in (match[4] or "").split(".") if part]
    return int(match[1]), int(match[2]), int(match[3]), not parts, parts


def _compared(a: Opaque, b: Opaque) -> int:
    left, right = (_version(a), _version(b)) if "semver" in a else (_number(a), _number(b))
    return int(left > right) - int(left < right)


def _sum(items: list[Any]) -> Any:
    if not all(isinstance(item, (int, float)) for item in items):
        raise ValueError("no such overload: sum(list)")
    return sum(items)


def _range(size: int) -> list[int]:
    if size < 0:
        raise ValueError(f"lists.range: size must be non-negative, got {size}")
    if size > MAX_RANGE:
        raise ValueError(f"lists.range: size {size} exceeds maximum allowed ({MAX_RANGE})")
    return list(range(size))


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    why = "negative indexes not supported" if start < 0 or end < 0 else \
        "start index must be less than or equal to end index" if start > end else \
        f"list is length {len(items)}" if end > len(items) else ""
    if why:
        raise ValueError(f"cannot slice({start}, {end}), {why}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise ValueError("level must be non-negative")
    nested = [_flatten(item, depth - 1) if depth and isinstance(item, list) else [item] for item in items]
    return [item for some in nested for item in some]


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)  # true is no 1


def _place(items: list[Any], item: Any) -> int:
    return next((i for i, one in enumerate(items) if _same(one, item)), -1)


def _last_place(items: list[Any], item: Any) -> int:
    return next((i for i in reversed(range(len(items))) if _same(items[i], item)), -1)


def _distinct(items: list[Any]) -> list[Any]:
    return [item for i, item in enumerate(items) if _place(items, item) == i]


def _sort(items: list[Any]) -> list[Any]:
    if items and isinstance(items[0], (list, dict, type(None))):
        raise ValueError("list elements must be comparable")
    if any(type(item) is not type(items[0]) for item in items):
        raise ValueError("list elements must have the same type")
    return sorted(items)


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise ValueError(f"invalid substring range. start: {start}, end: {end}")
    for number in (start, len(text) if end is None else end):
        if not 0 <= number <= len(text):
            raise ValueError(f"index out of range: {number}")
    return text[start:end]


def _index(text: str, part: str, start: int = 0) -> int:
    if start < 0:
        raise ValueError(f"index out of range: {start}")
    return text.find(part, min(start, len(text)))


def _last_index(text: str, part: str, start: int | None = None) -> int:
    if start is not None and start < 0:
        raise ValueError(f"index out of range: {start}")
    if start is not None and part and start >= len(text):
        return -1
    return text.rfind(part) if start is None else text.rfind(part, 0, start + len(part))


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _checked(asks: Opaque, verb: str) -> Opaque:
    return {"decision": asked.get()(asks, verb)}


# name, takes, gives: l list, s string, i int, b bool, d double, o opaque, * anything, S list of strings
MEMBERS: tuple[Row, ...] = (
    ("isSorted", "l", "b", lambda items: all(a <= b for a, b in pairwise(items))),
    ("sum", "l", "*", _sum), ("min", "l", "*", min), ("max", "l", "*", max),
    ("slice", "lii", "l", _slice), ("flatten", "l", "l", _flatten), ("flatten", "li", "l", _flatten),
    ("distinct", "l", "l", _distinct), ("sort", "l", "l", _sort), ("reverse", "l", "l", lambda items: items[::-1]),
    ("substring", "si", "s", _substring), ("substring", "sii", "s", _substring),
    ("indexOf", "ss", "i", _index), ("indexOf", "ssi", "i", _index),
    ("lastIndexOf", "ss", "i", _last_index), ("lastIndexOf", "ssi", "i", _last_index),
    *((name, f"l{letter}", "i", how) for letter in "sibdol"
      for name, how in (("indexOf", _place), ("lastIndexOf", _last_place))),
    ("find", "ss", "s", _find), ("findAll", "ss", "S", _find_all), ("findAll", "ssi", "S", _find_all),
    ("getScheme", "o", "s", _url_part(lambda u: u.scheme)), ("getHost", "o", "s", _url_part(lambda u: u.netloc)),
    ("getHostname", "o", "s", _url_part(lambda u: u.hostname or "")),
    ("getPort", "o", "s", _url_part(lambda u: str(u.port or ""))),
    ("getEscapedPath", "o", "s", _url_part(lambda u: u.path)),
    ("getQuery", "o", "o", _url_part(lambda u: parse_qs(u.query, keep_blank_values=True))),
    ("family", "o", "i", lambda v: _address(v).version),
    ("isUnspecified", "o", "b", lambda v: _address(v).is_unspecified),
    ("isLoopback", "o", "b", lambda v: _address(v).is_loopback),
    ("isLinkLocalMulticast", "o", "b", lambda v: _address(v).is_multicast and str(_address(v)).startswith(("224.0.0.",
                                                                                                        "ff02:"))),
    ("isLinkLocalUnicast", "o", "b", lambda v: _address(v).is_link_local),
    ("isGlobalUnicast", "o", "b", lambda v: not (_address(v).is_multicast or _address(v).is_loopback
                                                 or _address(v).is_link_local or _address(v).is_unspecified)),
    ("containsIP", "oo", "b", lambda net, ip: _address(ip) in _network(net)),
    ("containsIP", "os", "b", lambda net, ip: _address(ip) in _network(net)),
    ("containsCIDR", "oo", "b", lambda net, inner: _within(_network(inner), _network(net))),
    ("containsCIDR", "os", "b", lambda net, inner: _within(_network(inner), _network(net))),
    ("masked", "o", "o", lambda net: {"cidr": str(_network(net))}),
    ("prefixLength", "o", "i", lambda net: _network(net).prefixlen),
    ("ip", "o", "o", lambda net: {"ip": net["cidr"].partition("/")[0]}),
    ("sign", "o", "i", lambda v: _sign(_number(v))),
    ("isInteger", "o", "b", lambda v: _number(v).denominator == 1),
    ("asInteger", "o", "i", lambda v: int(_number(v))),
    ("asApproximateFloat", "o", "d", lambda v: float(_number(v))),
    ("add", "oo", "o", lambda a, b: _amount(_number(a) + _other(b))),
    ("add", "oi", "o", lambda a, b: _amount(_number(a) + _other(b))),
    ("sub", "oo", "o", lambda a, b: _amount(_number(a) - _other(b))),
    ("sub", "oi", "o", lambda a, b: _amount(_number(a) - _other(b))),
    ("isLessThan", "oo", "b", lambda a, b: _compared(a, b) < 0),
    ("isGreaterThan", "oo", "b", lambda a, b: _compared(a, b) > 0), ("compareTo", "oo", "i", _compared),
    *((part, "o", "i", lambda value, place=place: _version(value)[place])
      for place, part in enumerate(("major", "minor", "patch"))),
    *((name, "os", "o", lambda asks, value, name=name: {**asks, name: value})
      for name in ("group", "resource", "subresource", "namespace", "name", "path")),
    ("serviceAccount", "oss", "o", lambda asks, ns, name: {**asks, "serviceAccount": f"{ns}:{name}"}),
    ("check", "os", "o", _checked),
    ("allowed", "o", "b", lambda decision: decision["decision"]),
    ("errored", "o", "b", lambda decision: False), ("reason", "o", "s", lambda decision: ""),
)
GLOBALS: tuple[Row, ...] = (
    ("lists.range", "i", "l", _range),
    ("ip.isCanonical", "s", "b", lambda text: str(ipaddress.ip_address(text)) == text),
    ("quantity", "s", "o", _quantity), ("isQuantity", "s", "b", q.is_quantity),
    ("url", "s", "o", _url), ("isURL", "s", "b", _is(_url)),
    ("ip", "s", "o", _ip), ("isIP", "s", "b", _is(_ip)),
    ("jsonpatch.escapeKey", "s", "s", lambda key: key.replace("~", "~0").replace("/", "~1")),
    ("sets.contains", "ll", "b", lambda a, b: all(x in a for x in b)),
    ("sets.intersects", "ll", "b", lambda a, b: any(x in a for x in b)),
    ("sets.equivalent", "ll", "b", lambda a, b: all(x in a for x in b) and all(x in b for x in a)),
    ("cidr", "s", "o", _cidr), ("isCIDR", "s", "b", _is(_cidr)),
    ("semver", "s", "o", _semver), ("semver", "sb", "o", _semver), ("isSemver", "s", "b", _is(_semver)),
)


def functions(cel: Any) -> list[Any]:
    """Return the declarations for an environment of `cel`, the module."""
    type_ = cel.Type
    types = {"l": type_.List(type_.DYN), "s": type_.STRING, "i": type_.INT, "b": type_.BOOL, "d": type_.DOUBLE,
             "o": type_.Map(type_.STRING, type_.DYN), "*": type_.DYN, "S": type_.List(type_.STRING),
             "M": type_.List(type_.Map(type_.STRING, type_.DYN))}
    overloads: dict[str, list[Any]] = {}
    for rows, member in ((MEMBERS + cel_formats.MEMBERS, True), (GLOBALS + cel_formats.GLOBALS, False)):
        for name, takes, gives, how in rows:
            overloads.setdefault(name, []).append(cel.Overload(
                f"{name}_{'of' if member else ''}_{takes.replace('*', 'any')}", return_type=types[gives],
                parameters=[types[letter] for letter in takes], is_member=member, impl=how))
    return [cel.FunctionDecl(OURS.get(name, name), several) for name, several in overloads.items()]
