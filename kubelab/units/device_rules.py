"""The rules that claims, classes and slices of devices share: names of drivers and attributes, selectors, taints.

    gpu.example.com/memory ─► domain: a driver's name ─┐
                              name: a C identifier ────┴─► qualified_name, full_name

Invariant: like those of `rules`, each yields every error in upstream's order.
Models:    pkg/apis/resource/validation of kube-apiserver, its leaf functions
Left out:  what an expression may cost; semantic versions in it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from kubelab.machinery import names
from kubelab.machinery.cel import MISSING, CelError, compiled
from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

TAINT_EFFECTS = ("NoExecute", "NoSchedule", "None")
OPERATORS = ("Equal", "Exists")
MAX_SELECTORS, MAX_CONFIGS, MAX_BINDING_CONDITIONS = 32, 32, 4
MAX_EXPRESSION_BYTES = MAX_PARAMETER_BYTES = 10 * 1024
MAX_DRIVER, MAX_POOL, MAX_IDENTIFIER = 63, 253, 32
CONDITIONS = ("bindingConditions", "bindingFailureConditions")
_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_IDENTIFIER = names.regex_message(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_'", _IDENTIFIER.pattern, "my_name", "MY_NAME", "MyName")
_HIDDEN = "<value omitted>"


def each(path: str, items: Sequence[Any], limit: int, check: Callable[[str, Any], rules.Errors],
         key: Callable[[Any], Any] | None = None) -> rules.Errors:
    """Check a list: not more than `limit`, each item on its own, and no `key` twice; too many are not looked at."""
    if len(items) > limit:
        yield rules.too_many(path, len(items), limit)
        return
    for i, item in enumerate(items):
        yield from check(f"{path}[{i}]", item)
    if key is not None:
        yield from rules.unique((f"{path}[{i}]", key(item)) for i, item in enumerate(items))


def driver_name(path: str, name: str) -> rules.Errors:
    if not name:
        yield required(path)
        return
    if len(name) > MAX_DRIVER:
        yield rules.too_long(path, MAX_DRIVER)
    yield from (invalid_value(path, name, fault) for fault in names.dns1123_subdomain_errors(name.lower()))


def pool_name(path: str, name: str) -> rules.Errors:
    if not name:
        yield required(path)
        return
    if len(name) > MAX_POOL:
        yield rules.too_long(path, MAX_POOL)
    for part in name.split("/"):
        yield from rules.subdomain_name(path, part)


def identifier(path: str, name: str) -> rules.Errors:
    if len(name) > MAX_IDENTIFIER:
        yield rules.too_long(path, MAX_IDENTIFIER)
    if not _IDENTIFIER.fullmatch(name):
        yield invalid_value(path, name, _NOT_IDENTIFIER)


def qualified_name(path: str, name: str) -> rules.Errors:
    """A name of an attribute or a capacity, with or without the domain that says whose it is."""
    domain, slash, rest = name.partition("/")
    if not slash:
        yield from identifier(path, name)
        return
    yield from driver_name(path, domain) if domain else [invalid_value(path, "", "the domain must not be empty")]
    yield from identifier(path, rest) if rest else [invalid_value(path, "", "the name must not be empty")]


def full_name(path: str, name: str) -> rules.Errors:
    yield from qualified_name(path, name)
    if "/" not in name:
        yield invalid_value(path, name, "a fully qualified name must be a domain and a name separated by a slash")


def share_id(path: str, uid: str) -> rules.Errors:
    if not _UUID.fullmatch(uid):
        yield invalid_value(path, uid, "uid must be in RFC 4122 normalized form, "
                            "`xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters")


def selectors(path: str, items: Sequence[Obj]) -> rules.Errors:
    yield from each(path, items, MAX_SELECTORS, _selector)


def _selector(path: str, selector: Obj) -> rules.Errors:
    if selector.get("cel") is None:
        yield required(f"{path}.cel")
        return
    path, expression = f"{path}.cel.expression", selector["cel"].get("expression", "")
    if len(expression.encode()) > MAX_EXPRESSION_BYTES:
        yield rules.too_long(path, MAX_EXPRESSION_BYTES)
        return
    try:
        returns = compiled(expression, ("device",)).returns
    except CelError as error:
        if "semver" not in expression and str(error) != MISSING:
            yield invalid_value(path, expression, f"compilation failed: {error}")
        return
    if returns not in ("bool", "dyn"):
        yield invalid_value(path, expression, "must evaluate to bool")


def configuration(path: str, config: Obj) -> rules.Errors:
    """What a driver is told, in its own words: an object that nobody else reads."""
    if config.get("opaque") is None:
        yield required(f"{path}.opaque")
        return
    yield from driver_name(f"{path}.opaque.driver", config["opaque"].get("driver", ""))
    yield from raw_object(f"{path}.opaque.parameters", config["opaque"].get("parameters"), MAX_PARAMETER_BYTES)


def raw_object(path: str, value: Any, limit: int) -> rules.Errors:
    if value is None:
        yield required(path)
    elif len(orjson.dumps(value)) > limit:
        yield rules.too_long(path, limit)
    elif not isinstance(value, dict):
        yield invalid_value(path, _HIDDEN, "must be a valid JSON object")


def taint(path: str, found: Obj) -> rules.Errors:
    yield from rules.qualified_name(f"{path}.key", found.get("key", ""))
    yield from rules.messages(f"{path}.value", found.get("value", ""), names.label_value_errors)
    yield from rules.one_of(f"{path}.effect", found.get("effect"), TAINT_EFFECTS)


def toleration(path: str, found: Obj) -> rules.Errors:
    operator, value = found.get("operator", ""), found.get("value", "")
    if found.get("key"):
        yield from rules.qualified_name(f"{path}.key", found["key"])
    if operator == "Exists" and value:
        yield invalid_value(f"{path}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from rules.messages(f"{path}.value", value, names.label_value_errors)
    elif operator != "Exists":
        yield from rules.one_of(f"{path}.operator", operator, OPERATORS)
    yield from rules.known(f"{path}.effect", found.get("effect") or None, TAINT_EFFECTS)


def binding_conditions(path: str, holder: Obj) -> rules.Errors:
    """Conditions that a pod waits for before it is bound, and those that let it go elsewhere: both or neither."""
    waited, failed = (holder.get(key) or [] for key in CONDITIONS)
    for key, found in zip(CONDITIONS, (waited, failed), strict=True):
        yield from each(f"{path}.{key}", found, MAX_BINDING_CONDITIONS, rules.qualified_name)
    yield from rules.unique((f"{path}.{CONDITIONS[0]}[{i}]", name) for i, name in enumerate(waited))
    for i, name in enumerate(failed):
        field = f"{path}.{CONDITIONS[1]}[{i}]"
        if name in failed[:i]:
            yield duplicate(field, name)
        if name in waited:
            yield invalid_value(field, name, "bindingFailureConditions must not overlap with bindingConditions")
    for mine, other, found, others in ((*CONDITIONS, waited, failed), (*CONDITIONS[::-1], failed, waited)):
        if others and not found:
            yield invalid_value(f"{path}.{mine}", holder.get(mine), f"{mine} are required to use {other}")


def named(path: str, items: Mapping[str, Any] | None, check_name: Callable[[str, str], rules.Errors],
          check: Callable[[str, Any], Iterable[Any]]) -> rules.Errors:
    """Check a map: its keys at the map itself, its values at their keys."""
    for key, value in sorted((items or {}).items()):
        yield from check_name(path, key)
        yield from check(f"{path}[{key}]", value)
