"""LimitRange: how much one pod or container of a namespace may ask for, and what it gets when it asks for nothing.

Models: pkg/registry/core/limitrange and pkg/apis/core/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import uuid4

from kubelab.machinery import names, quantity
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Kind
from kubelab.units.columns import CREATED_AT, NAME
from kubelab.units.resource_validation import container_resource_errors, overcommits, resource_name_errors

TYPES = frozenset({"Container", "PersistentVolumeClaim", "Pod"})
BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
# (the greater, the lesser, which is refused, whose value is shown, what is said of their values)
ORDER = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest",
     "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest",
     "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest",
     "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)


def _default(limits: Obj) -> None:
    """What a container may at most have is what it gets; what it gets is what it asks for."""
    for item in (limits.setdefault("spec", {}).get("limits")) or ():
        if item.get("type") != "Container":
            continue
        given = {**(item.get("max") or {}), **(item.get("default") or {})}
        asked = {**(item.get("min") or {}), **given, **(item.get("defaultRequest") or {})}
        if given:
            item["default"] = given
        if asked:
            item["defaultRequest"] = asked


def _prepare_create(limits: Obj) -> None:
    """Name what has no name: who limits a namespace need not think of one."""
    if not limits["metadata"].get("name"):
        limits["metadata"] = {"name": str(uuid4()), **limits["metadata"]}


def _validate(limits: Obj) -> Sequence[FieldError]:
    return list(_errors(limits["spec"].get("limits") or ()))


def _errors(items: Sequence[Obj]) -> rules.Errors:
    seen = set()
    for i, item in enumerate(items):
        path, type_ = f"spec.limits[{i}]", item.get("type", "")
        yield from rules.qualified_name(f"{path}.type", type_)
        if "/" not in type_ and type_ not in TYPES and not names.qualified_name_errors(type_):
            yield invalid_value(f"{path}.type", type_, "must be a standard limit type or fully qualified")
        if type_ in seen:
            yield duplicate(f"{path}.type", type_)
        seen.add(type_)
        for key in BOUNDS:
            if type_ == "Pod" and key in ("default", "defaultRequest"):
                if item.get(key):
                    yield rules.forbidden(f"{path}.{key}", "may not be specified when `type` is 'Pod'")
                continue
            if key == "maxLimitRequestRatio" and type_ == "PersistentVolumeClaim":
                yield from _storage_errors(item, path)
            for name in sorted(item.get(key) or ()):
                check = container_resource_errors if type_ in ("Container", "Pod") else resource_name_errors
                yield from check(name, f"{path}.{key}[{name}]")
        kept = [key for key in BOUNDS if type_ != "Pod" or key not in ("default", "defaultRequest")]
        for name in sorted({name for key in kept for name in item.get(key) or ()}):
            yield from _order_errors(path, name, {key: (item.get(key) or {}).get(name) if key in kept else None
                                                  for key in BOUNDS})


def _storage_errors(item: Obj, path: str) -> Iterator[FieldError]:
    if not any("storage" in (item.get(key) or {}) for key in ("min", "max")):
        yield required(f"{path}.limits", "either minimum or maximum storage value is required, but neither was "
                                         "provided")


def _order_errors(path: str, name: str, bounds: Obj) -> Iterator[FieldError]:
    for greater, lesser, refused, shown, said in ORDER:
        high, low = bounds[greater], bounds[lesser]
        if high is not None and low is not None and quantity.parse(high) > quantity.parse(low):
            yield invalid_value(f"{path}.{refused}[{name}]", str(bounds[shown]), said.format(high, low))
    if bounds["maxLimitRequestRatio"] is not None:
        yield from _ratio_errors(f"{path}.maxLimitRequestRatio[{name}]", bounds)
    given, asked = bounds["default"], bounds["defaultRequest"]
    if None not in (given, asked) and not overcommits(name) and quantity.parse(given) != quantity.parse(asked):
        yield invalid_value(f"{path}.defaultRequest[{name}]", str(asked),
                            f"default value {given} must equal to defaultRequest value {asked} in {name}")


def _ratio_errors(field: str, bounds: Obj) -> Iterator[FieldError]:
    ratio = bounds["maxLimitRequestRatio"]
    if quantity.parse(ratio) < 1:
        yield invalid_value(field, str(ratio), f"ratio {ratio} is less than 1")
    if bounds["min"] is not None and bounds["max"] is not None and quantity.parse(bounds["min"]) > 0:
        most = quantity.parse(bounds["max"]) / quantity.parse(bounds["min"])
        if quantity.parse(ratio) > most:
            yield invalid_value(field, str(ratio), f"ratio {ratio} is greater than max/min = {float(most):f}")


LIMIT_RANGE = Kind("LimitRange", "limitranges", meta_looks=(0, 1), short_names=("limits",), default=_default,
                   prepare_create=_prepare_create, validate=_validate,
                   columns=(NAME, CREATED_AT))
