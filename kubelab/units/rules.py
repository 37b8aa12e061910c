"""The small rules that validation is put together from: each takes a field path and a value and yields what is wrong.

Invariant: a rule reads; it yields every error, in the order and wording of Kubernetes, and never stops at the first.
Models:    k8s.io/apimachinery validation, k8s.io/kubernetes/pkg/apis/core/validation (its leaf functions)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from kubelab.machinery import names, quantity
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required, shown
from kubelab.units.addresses import cidr as cidr
from kubelab.units.addresses import ip_address as ip_address
from kubelab.units.addresses import is_ip as is_ip
from kubelab.units.addresses import special_ip as special_ip

Errors = Iterator[FieldError]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
PORT_RANGE = "must be between 1 and 65535, inclusive"
MAX_INT32 = 2**31 - 1
NO_VALUES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
PROTOCOLS = ("SCTP", "TCP", "UDP")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_URL_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_PERCENT = re.compile(r"[0-9]+%")


def unsupported(field: str, value: object, choices: Sequence[str]) -> FieldError:
    """Say which values are supported, in the order upstream lists them (its lists are not always sorted)."""
    names = ", ".join(f'"{c}"' for c in choices)
    return FieldError(field, "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {names}")


def invalid_struct(field: str, struct: Any, detail: str) -> FieldError:
    """Like `invalid_value`, for a value that upstream prints as its Go struct: all fields, in their order."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {shown_in_order(struct)}: {detail}")


def invalid_somehow(field: str, detail: str) -> FieldError:
    """Like `invalid_value`, where upstream does not show the value."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {detail}")


def duplicate_struct(field: str, struct: Any) -> FieldError:
    """Like `duplicate`, for a value that upstream prints as its Go struct."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {shown_in_order(struct)}")


def not_found(field: str, value: object) -> FieldError:
    return FieldError(field, "FieldValueNotFound", f"Not found: {shown(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> FieldError:
    return FieldError(field, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} "
                      + ("item" if limit == 1 else "items"))


def immutable(field: str, new: object, old: object) -> Errors:
    if new != old:
        yield invalid_value(field, new, IMMUTABLE)


def one_of(field: str, value: object, choices: Sequence[str]) -> Errors:
    """A value that must be set and be one of `choices`."""
    if not value:
        yield required(field)
    elif value not in choices:
        yield unsupported(field, value, choices)


def known(field: str, value: object, choices: Sequence[str]) -> Errors:
    """A value that may be left out, or is one of `choices`."""
    if value is not None and value not in choices:
        yield unsupported(field, value, choices)


def not_negative(field: str, value: int | None) -> Errors:
    if value is not None and value < 0:
        yield invalid_value(field, value, NOT_NEGATIVE)


def in_range(field: str, value: int | None, low: int, high: int) -> Errors:
    if value is not None and not low <= value <= high:
        yield invalid_value(field, value, f"must be between {low} and {high}, inclusive")


def port_number(field: str, value: int) -> Errors:
    if not 1 <= value <= 65535:
        yield invalid_value(field, value, PORT_RANGE)


def port_name_messages(name: str) -> list[str]:
    """Return what is wrong with an IANA service name such as a container port's name."""
    found = []
    if len(name) > 15:
        found.append("must be no more than 15 characters")
    if not re.fullmatch(r"[a-z0-9-]+", name):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", name):
        found.append("must contain at least one letter (a-z)")
    if "--" in name:
        found.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def port_name(field: str, name: str) -> Errors:
    yield from (invalid_value(field, name, message) for message in port_name_messages(name))


def port_or_name(field: str, value: int | str) -> Errors:
    if isinstance(value, int):
        yield from port_number(field, value)
    else:
        yield from port_name(field, value)


def messages(field: str, value: str, check: Callable[[str], Iterable[str]]) -> Errors:
    """Turn the messages of a name check of `machinery.names` into field errors."""
    yield from (invalid_value(field, value, message) for message in check(value))


def label_name(field: str, value: str) -> Errors:
    yield from messages(field, value, names.dns1123_label_errors)


def subdomain_name(field: str, value: str) -> Errors:
    yield from messages(field, value, names.dns1123_subdomain_errors)


def domain_path(field: str, value: str) -> Errors:
    """Check a name like acme.io/foo, whose domain says whose it is."""
    domain, slash, rest = value.partition("/")
    if not value:
        yield required(field)
    elif not domain or not slash or not rest:
        yield invalid_value(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from subdomain_name(field, domain)
        if not _URL_PATH.fullmatch(rest):
            yield invalid_value(field, rest, f"Invalid path (regex used for validation is '{_URL_PATH.pattern}')")


def qualified_name(field: str, value: str) -> Errors:
    yield from messages(field, value, names.qualified_name_errors)


def label_map(field: str, labels: Mapping[str, str] | None) -> Errors:
    """A map whose keys are qualified names and whose values are label values."""
    for key, value in sorted((labels or {}).items()):
        yield from qualified_name(field, key)
        yield from messages(field, value, names.label_value_errors)


def config_key_messages(key: str) -> list[str]:
    found = []
    if len(key) > 253:
        found.append("must be no more than 253 bytes")
    if not _CONFIG_KEY.fullmatch(key):
        found.append(names.regex_message("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                                         _CONFIG_KEY.pattern, "key.name", "KEY_NAME", "key-name"))
    if key == ".":
        found.append("must not be '.'")
    elif key == "..":
        found.append("must not be '..'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return found


def int_or_percent(field: str, value: int | str) -> Errors:
    if isinstance(value, int):
        yield from not_negative(field, value)
    elif not _PERCENT.fullmatch(value):
        yield invalid_value(field, value, "a valid percent string must be a numeric string followed by an ending '%' "
                                          "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")


def at_most_100_percent(field: str, value: int | str) -> Errors:
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        yield invalid_value(field, value, "must not be greater than 100%")


def int_of(value: int | str | None) -> int:
    """Read a count or a percentage as upstream's `getIntOrPercentValue` does."""
    if isinstance(value, str):
        digits = value.removesuffix("%")
        return int(digits) if digits.isdecimal() else 0
    return value or 0


def quantity_not_negative(field: str, value: Any) -> Errors:
    if quantity.parse(value) < 0:
        yield invalid_value(field, str(value), NOT_NEGATIVE)


def unique(values: Iterable[tuple[str, Any]]) -> Errors:
    """Yield a Duplicate for every (field, value) whose value was seen before."""
    seen: set[Any] = set()
    for field, value in values:
        if value in seen:
            yield duplicate(field, value)
        seen.add(value)


def label_selector(field: str, selector: Mapping[str, Any] | None) -> Errors:
    """What `metav1.LabelSelector` may look like."""
    if selector is None:
        return
    yield from label_map(f"{field}.matchLabels", selector.get("matchLabels"))
    for i, rule in enumerate(selector.get("matchExpressions") or ()):
        path, operator = f"{field}.matchExpressions[{i}]", rule.get("operator", "")
        if operator in ("In", "NotIn"):
            if not rule.get("values"):
                yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if rule.get("values"):
                yield forbidden(f"{path}.values", NO_VALUES)
        else:
            yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
        yield from qualified_name(f"{path}.key", rule.get("key", ""))
        for j, value in enumerate(rule.get("values") or ()):
            yield from messages(f"{path}.values[{j}]", value, names.label_value_errors)


def invalid_selector(field: str, selector: Mapping[str, Any], detail: str) -> FieldError:
    """Like `invalid_struct` for a label selector: its labels stand before its expressions."""
    shown: dict[str, Any] = {}
    if selector.get("matchLabels"):
        shown["matchLabels"] = dict(sorted(selector["matchLabels"].items()))
    if selector.get("matchExpressions"):
        shown["matchExpressions"] = [{"key": rule.get("key", ""), "operator": rule.get("operator", ""),
                                      **({"values": rule["values"]} if rule.get("values") else {})}
                                     for rule in selector["matchExpressions"]]
    return FieldError(field, "FieldValueInvalid",
                      f"Invalid value: {shown_in_order(shown)}" + (f": {detail}" if detail else ""))


def same_selector(field: str, new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> Errors:
    """A label selector that may not change."""
    if new != old:
        yield invalid_selector(field, new, IMMUTABLE) if new is not None else invalid_value(field, None, IMMUTABLE)


def shown_in_order(value: Any) -> str:
    """Write a Go struct's fields in the order they are given, as compact JSON."""
    return orjson.dumps(value).decode()
