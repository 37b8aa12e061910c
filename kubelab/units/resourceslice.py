"""ResourceSlice: the devices that one driver has in one pool, as the driver publishes them.

    pool: how many slices there are, and which generation ─► nodes: one, some, all, or each device says
    devices[] ─► attributes, capacity, taints, counters that devices of one card share

Models:    pkg/registry/resource/resourceslice, pkg/apis/resource of kube-apiserver
Left out:  values of capacity that a request may have (validValues, validRange)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import device_rules, rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.placement_validation import node_selector_errors
from kubelab.units.resourceclaim import GROUP

WAYS = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
ONE_WAY = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
OWN_WAY = ("exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set "
           "to true in the ResourceSlice spec")
NO_WAY = ("`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
          "ResourceSlice spec")
MAX_DEVICES, MAX_ADVANCED, MAX_COUNTER_SETS, MAX_COUNTERS = 128, 64, 8, 32
MAX_CONSUMED, MAX_ATTRIBUTES, MAX_VALUE, MAX_TAINTS = 2, 32, 64, 16
VALUES = ("int", "bool", "string", "version")
NOT_YET = frozenset({"ints", "bools", "strings", "versions"})  # attributes that are lists: alpha, off by default
_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
                     r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
                     r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?")


def _spec(one: Obj) -> Obj:
    return one.get("spec") or {}


def _default(one: Obj) -> None:
    """Leave out what is alpha, and off by default."""
    for device in _spec(one).get("devices") or ():
        device.pop("nodeAllocatableResourceMappings", None)
        for attribute in (device.get("attributes") or {}).values():
            for key in NOT_YET & attribute.keys():
                del attribute[key]


def _prepare_create(one: Obj) -> None:
    for device in _spec(one).get("devices") or ():
        for taint in device.get("taints") or ():
            taint.setdefault("timeAdded", one["metadata"]["creationTimestamp"])


def _validate(one: Obj) -> Sequence[FieldError]:
    return list(_slice_errors(_spec(one), None))


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_slice_errors(_spec(new), _spec(old)))


def _slice_errors(spec: Obj, old: Obj | None) -> rules.Errors:
    pool = spec.get("pool") or {}
    yield from device_rules.driver_name("spec.driver", spec.get("driver", ""))
    yield from _pool_errors("spec.pool", pool)
    if old is not None:
        yield from rules.immutable("spec.pool.name", pool.get("name"), (old.get("pool") or {}).get("name"))
        for key in ("driver", "nodeName"):
            yield from rules.immutable(f"spec.{key}", spec.get(key), old.get(key))
    yield from _nodes_errors("spec", spec, WAYS, ONE_WAY, f"{ONE_WAY}, but multiple fields are set")
    devices, sets = spec.get("devices") or (), spec.get("sharedCounters")
    if sets is not None and spec.get("devices") is not None:
        yield invalid_value("spec", "", "only one of `sharedCounters` or `devices` is allowed")

    def device(path: str, one: Obj) -> rules.Errors:
        yield from _device_errors(path, one, bool(spec.get("perDeviceNodeSelection")))

    advanced = any(one.get("taints") or one.get("consumesCounters") for one in devices)
    yield from device_rules.each("spec.devices", devices, MAX_ADVANCED if advanced else MAX_DEVICES, device, _name)
    yield from device_rules.each("spec.sharedCounters", sets or (), MAX_COUNTER_SETS, _counters("name"), _name)


def _name(one: Obj) -> str:
    return str(one.get("name", ""))


def _pool_errors(path: str, pool: Obj) -> rules.Errors:
    yield from device_rules.pool_name(f"{path}.name", pool.get("name", ""))
    count = pool.get("resourceSliceCount", 0)
    if count <= 0:
        yield invalid_value(f"{path}.resourceSliceCount", count, "must be greater than zero")
    if pool.get("generation", 0) < 0:
        yield invalid_value(f"{path}.generation", pool["generation"], "must be greater than or equal to zero")


def _nodes_errors(path: str, holder: Obj, ways: Sequence[str], none: str, many: str) -> rules.Errors:
    """Which nodes see a slice, or one of its devices: said in exactly one way."""
    name, selector = holder.get("nodeName"), holder.get("nodeSelector")
    if name is not None:
        yield from rules.subdomain_name(f"{path}.nodeName", name) if name else [invalid_value(
            f"{path}.nodeName", name, "must be either unset or set to a non-empty string" if path == "spec" else
            "must not be empty")]
    if selector is not None:
        yield from node_selector_errors(selector, f"{path}.nodeSelector")
        if path == "spec" and len(selector.get("nodeSelectorTerms") or ()) != 1:
            yield invalid_value(f"{path}.nodeSelector.nodeSelectorTerms", selector.get("nodeSelectorTerms"),
                                "must have exactly one node selector term")
    for key in ways[2:]:
        if holder.get(key) is False:
            yield invalid_value(f"{path}.{key}", False, "must be either unset or set to true")
    given = [f"`{way}`" for way in ways if holder.get(way) or (way == "nodeSelector" and selector is not None)]
    if not given:
        yield required(path, none)
    elif len(given) > 1:
        yield invalid_value(path, "{" + ", ".join(given) + "}", many)


def _device_errors(path: str, device: Obj, own_nodes: bool) -> rules.Errors:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    yield from rules.label_name(f"{path}.name", _name(device))
    if len(attributes) + len(capacity) > MAX_ATTRIBUTES:
        yield invalid_value(path, len(attributes) + len(capacity),
                            f"the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}")
    yield from device_rules.named(f"{path}.attributes", attributes, device_rules.qualified_name, _attribute)
    yield from device_rules.named(f"{path}.capacity", capacity, device_rules.qualified_name,
                                  _capacity(bool(device.get("allowMultipleAllocations"))))
    yield from device_rules.each(f"{path}.taints", device.get("taints") or (), MAX_TAINTS, device_rules.taint)
    yield from device_rules.each(f"{path}.consumesCounters", device.get("consumesCounters") or (), MAX_CONSUMED,
                                 _counters("counterSet"), lambda one: one.get("counterSet", ""))
    if own_nodes:
        yield from _nodes_errors(path, device, WAYS[:3], OWN_WAY, OWN_WAY)
    elif any(device.get(way) is not None for way in WAYS[:3]):
        yield invalid_value(path, None, NO_WAY)
    yield from device_rules.binding_conditions(path, device)


def _attribute(path: str, attribute: Obj) -> rules.Errors:
    given = [key for key in VALUES if attribute.get(key) is not None]
    for key in ("string", "version"):
        value = attribute.get(key)
        if key == "version" and value is not None and not _SEMVER.fullmatch(value):
            yield invalid_value(f"{path}.{key}", value, "must be a string compatible with semver.org spec 2.0.0")
        if value is not None and len(value) > MAX_VALUE:
            yield rules.too_long(f"{path}.{key}", MAX_VALUE)
    if len(given) != 1:
        yield invalid_value(path, attribute if given else "", "exactly one value must be specified")


def _capacity(shared: bool) -> Callable[[str, Obj], Iterable[FieldError]]:
    def check(path: str, capacity: Obj) -> rules.Errors:
        policy = capacity.get("requestPolicy")
        if policy is not None and not shared:
            yield rules.forbidden(f"{path}.requestPolicy", "allowMultipleAllocations must be true")
        elif policy is not None and policy.get("validValues") and policy.get("validRange") is not None:
            yield rules.forbidden(f"{path}.requestPolicy", 'exactly one policy can be specified, cannot specify '
                                                           '"validValues" and "validRange" at the same time')
        elif policy is not None and policy.get("default") is None:
            yield from (required(f"{path}.requestPolicy.default", f"required when {key} is defined")
                        for key in ("validValues", "validRange") if policy.get(key))

    return check


def _counters(key: str) -> Callable[[str, Obj], rules.Errors]:
    """Return the rule for a set of counters, which has its name under `key`, or for what a device takes of one."""
    def check(path: str, one: Obj) -> rules.Errors:
        name, counters = one.get(key, ""), one.get("counters") or {}
        yield from rules.label_name(f"{path}.{key}", name) if name else [required(f"{path}.{key}")]
        if not counters:
            yield required(f"{path}.counters")
        elif len(counters) > MAX_COUNTERS:
            yield rules.too_many(f"{path}.counters", len(counters), MAX_COUNTERS)
        else:
            for counter in sorted(counters):
                yield from rules.label_name(f"{path}.counters", counter)

    return check


def _warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    driver = _spec(new).get("driver", "")
    if driver != driver.lower():
        yield f'spec.driver: driver names should be lowercase; "{driver}" contains uppercase characters'


def _fields(one: Obj) -> Mapping[str, str]:
    return {"spec.driver": _spec(one).get("driver") or "", "spec.nodeName": _spec(one).get("nodeName") or ""}


RESOURCE_SLICE = Kind(
    "ResourceSlice", "resourceslices", group=GROUP, namespaced=False, generation=True, default=_default,
    prepare_create=_prepare_create, validate=_validate, validate_update=_validate_update, update_alone=True,
    warnings=_warnings, selectable=_fields, selectable_keys=("spec.driver", "spec.nodeName"),
    unselectable="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    columns=(
        NAME, Column("Node", lambda o, now: str(_spec(o).get("nodeName") or ""), path="spec.nodeName"),
        Column("Driver", lambda o, now: _spec(o).get("driver", ""), path="spec.driver"),
        Column("Pool", lambda o, now: (_spec(o).get("pool") or {}).get("name", ""), path="spec.pool.name"),
        AGE,
    ),
)
