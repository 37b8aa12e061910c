"""ResourceClaim, its template, ResourceSlice and DeviceClass: devices that pods ask for by what they can do.

Models:    pkg/registry/resource, pkg/apis/resource of kube-apiserver
Left out:  the rules for shared counters, taints and partitionable devices; whether selectors compile
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

GROUP = "resource.k8s.io"
MODES = ("All", "ExactCount")
MAX_REQUESTS, MAX_DEVICES, MAX_SELECTORS = 32, 128, 32
WAYS = ("spec.nodeName", "spec.nodeSelector", "spec.allNodes", "spec.perDeviceNodeSelection")


def _requests(spec: Obj) -> list[Obj]:
    return ((spec.get("devices") or {}).get("requests")) or []


def _default_claim_spec(spec: Obj) -> None:
    spec.setdefault("devices", {})
    for request in _requests(spec):
        for asked in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if asked is None:
                continue
            asked.setdefault("allocationMode", "ExactCount")
            if asked["allocationMode"] == "ExactCount":
                asked.setdefault("count", 1)
            for toleration in asked.get("tolerations") or ():
                toleration.setdefault("operator", "Equal")


def _default_claim(claim: Obj) -> None:
    _default_claim_spec(claim.setdefault("spec", {}))


def _default_template(template: Obj) -> None:
    _default_claim_spec(template.setdefault("spec", {}).setdefault("spec", {}))


def _prepare_claim(claim: Obj) -> None:
    claim["status"] = {}


def _claim_errors(path: str, spec: Obj) -> rules.Errors:
    requests = _requests(spec)
    path = f"{path}.devices.requests"
    if len(requests) > MAX_REQUESTS:
        yield rules.too_many(path, len(requests), MAX_REQUESTS)
    seen: set[str] = set()
    for i, request in enumerate(requests):
        where, name = f"{path}[{i}]", request.get("name", "")
        if not name:
            yield required(f"{where}.name")
        else:
            yield from rules.label_name(f"{where}.name", name)
        if name in seen:
            yield duplicate(where, name)
        seen.add(name)
        exact, first = request.get("exactly"), request.get("firstAvailable")
        if (exact is None) == (not first):
            yield required(where, "exactly one of `exactly` or `firstAvailable` is required") if exact is None else \
                invalid_value(where, None, "exactly one of `exactly` or `firstAvailable` is required, but multiple "
                                           "fields are set")
        if exact is not None:
            yield from _asked_errors(f"{where}.exactly", exact)
        for j, asked in enumerate(first or ()):
            yield from rules.label_name(f"{where}.firstAvailable[{j}].name", asked.get("name", ""))
            yield from _asked_errors(f"{where}.firstAvailable[{j}]", asked)


def _asked_errors(path: str, asked: Obj) -> rules.Errors:
    class_name, mode, count = asked.get("deviceClassName", ""), asked.get("allocationMode"), asked.get("count")
    if not class_name:
        yield required(f"{path}.deviceClassName")
    else:
        yield from rules.subdomain_name(f"{path}.deviceClassName", class_name)
    yield from _selector_errors(f"{path}.selectors", asked.get("selectors") or ())
    yield from rules.known(f"{path}.allocationMode", mode, MODES)
    if mode == "ExactCount" and count is not None and count <= 0:
        yield invalid_value(f"{path}.count", count, "must be greater than zero")
    elif mode == "All" and count:
        yield invalid_value(f"{path}.count", count, "must not be specified when allocationMode is 'All'")


def _selector_errors(path: str, selectors: Sequence[Obj]) -> rules.Errors:
    if len(selectors) > MAX_SELECTORS:
        yield rules.too_many(path, len(selectors), MAX_SELECTORS)
    for i, selector in enumerate(selectors):
        if selector.get("cel") is None:
            yield required(f"{path}[{i}].cel")
        elif not selector["cel"].get("expression"):
            yield required(f"{path}[{i}].cel.expression")


def _validate_claim(claim: Obj) -> Sequence[FieldError]:
    return list(_claim_errors("spec", claim.get("spec") or {}))


def _validate_template(template: Obj) -> Sequence[FieldError]:
    return list(_claim_errors("spec.spec", (template.get("spec") or {}).get("spec") or {}))


def _same_spec(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(rules.immutable("spec", new.get("spec"), old.get("spec")))


def _claim_status_errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    return list(_reservation_errors(new.get("status") or {}, (old.get("status") or {}).get("allocation")))


def _reservation_errors(status: Obj, before: Any) -> rules.Errors:
    allocation, reserved = status.get("allocation"), status.get("reservedFor") or ()
    if reserved and allocation is None:
        yield rules.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    for i, consumer in enumerate(reserved):
        for key in ("resource", "name", "uid"):
            if not consumer.get(key):
                yield required(f"status.reservedFor[{i}].{key}")
    yield from rules.unique((f"status.reservedFor[{i}].uid", c.get("uid")) for i, c in enumerate(reserved))
    if before is not None and allocation is not None:
        yield from rules.immutable("status.allocation", allocation, before)


def _state(claim: Obj) -> str:
    status, going = claim.get("status") or {}, "deletionTimestamp" in claim["metadata"]
    words = ["deleted"] if going else []
    if status.get("allocation") is None:
        words += [] if going else ["pending"]
    else:
        words += ["allocated", *(["reserved"] if status.get("reservedFor") else [])]
    return ",".join(words)


RESOURCE_CLAIM = Kind(
    "ResourceClaim", "resourceclaims", group=GROUP, subresources=frozenset({"status"}), default=_default_claim,
    prepare_create=_prepare_claim, validate=_validate_claim, validate_update=_same_spec,
    validate_part=_claim_status_errors,
    columns=(NAME, Column("State", lambda o, now: _state(o), description=
                          "A summary of the current state (allocated, pending, reserved, etc.)."), AGE),
)
RESOURCE_CLAIM_TEMPLATE = Kind(
    "ResourceClaimTemplate", "resourceclaimtemplates", group=GROUP, default=_default_template,
    validate=_validate_template, validate_update=_same_spec, columns=(NAME, AGE),
)


def _validate_class(device_class: Obj) -> Sequence[FieldError]:
    return list(_selector_errors("spec.selectors", (device_class.get("spec") or {}).get("selectors") or ()))


def _default_class(device_class: Obj) -> None:
    device_class.setdefault("spec", {})


DEVICE_CLASS = Kind("DeviceClass", "deviceclasses", group=GROUP, namespaced=False, generation=True,
                    default=_default_class, validate=_validate_class, columns=(NAME, AGE))


def _slice_errors(spec: Obj) -> rules.Errors:
    pool, driver, devices = spec.get("pool") or {}, spec.get("driver", ""), spec.get("devices") or ()
    if not driver:
        yield required("spec.driver")
    else:
        yield from rules.subdomain_name("spec.driver", driver)
    if not pool.get("name"):
        yield required("spec.pool.name")
    if pool.get("resourceSliceCount", 0) <= 0:
        yield invalid_value("spec.pool.resourceSliceCount", pool.get("resourceSliceCount", 0),
                            "must be greater than zero")
    if pool.get("generation", 0) < 0:
        yield invalid_value("spec.pool.generation", pool["generation"], "must be greater than or equal to zero")
    ways = [way for way in WAYS if spec.get(way.partition(".")[2])]
    if not ways:
        yield required("spec", "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
                               "required")
    elif len(ways) > 1:
        yield invalid_value("spec", "{" + ", ".join(f"`{way.partition('.')[2]}`" for way in ways) + "}",
                            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
                            "required, but multiple fields are set")
    if len(devices) > MAX_DEVICES:
        yield rules.too_many("spec.devices", len(devices), MAX_DEVICES)
    for i, device in enumerate(devices):
        yield from rules.label_name(f"spec.devices[{i}].name", device.get("name", ""))
    yield from rules.unique((f"spec.devices[{i}].name", d.get("name")) for i, d in enumerate(devices))


def _validate_slice(one: Obj) -> Sequence[FieldError]:
    return list(_slice_errors(one.get("spec") or {}))


def _slice_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    found = list(rules.immutable("spec.driver", after.get("driver"), before.get("driver")))
    found += rules.immutable("spec.pool.name", (after.get("pool") or {}).get("name"),
                             (before.get("pool") or {}).get("name"))
    for key in ("nodeName", "nodeSelector", "allNodes"):
        found += rules.immutable(f"spec.{key}", after.get(key), before.get(key))
    return found


def _of_spec(key: str) -> Callable[[Obj, float], str]:
    return lambda o, now: str((o.get("spec") or {}).get(key) or "")


def _slice_fields(one: Obj) -> Mapping[str, str]:
    spec = one.get("spec") or {}
    return {"spec.driver": spec.get("driver") or "", "spec.nodeName": spec.get("nodeName") or ""}


RESOURCE_SLICE = Kind(
    "ResourceSlice", "resourceslices", group=GROUP, namespaced=False, generation=True, validate=_validate_slice,
    validate_update=_slice_update, selectable=_slice_fields, selectable_keys=("spec.driver", "spec.nodeName"),
    unselectable="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    columns=(
        NAME, Column("Node", _of_spec("nodeName"), path="spec.nodeName"),
        Column("Driver", _of_spec("driver"), path="spec.driver"),
        Column("Pool", lambda o, now: ((o.get("spec") or {}).get("pool") or {}).get("name", ""),
               path="spec.pool.name"),
        AGE,
    ),
)
