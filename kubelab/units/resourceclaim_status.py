"""What is reported of a ResourceClaim: which devices it got, who may use it, and how the devices are.

    scheduler ─► allocation.devices.results[]: (driver, pool, device) ─┐
    drivers ───► devices[]: the same device, conditions, addresses ◄───┘ must be one of them

Invariant: an allocation is given once and taken back whole; what is reported of a device goes with it.
Models:    pkg/registry/resource/resourceclaim (its status), pkg/apis/resource/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import device_rules, rules
from kubelab.units.addresses import interface_address
from kubelab.units.placement_validation import node_selector_errors
from kubelab.units.status_validation import condition_errors

MAX_CONSUMERS, MAX_RESULTS, MAX_CONFIGS, MAX_CONDITIONS, MAX_IPS = 256, 32, 64, 8, 16
MAX_INTERFACE, MAX_HARDWARE, MAX_DATA_BYTES = 256, 128, 10 * 1024
SOURCES = ("FromClaim", "FromClass")
NamesRequest = Callable[[str, str], rules.Errors]


def device_id(device: Obj) -> str:
    """Name a device of a pool, and the share of it."""
    share = device.get("shareID")
    return "/".join(str(device.get(key, "")) for key in ("driver", "pool", "device")) + (f"/{share}" if share else "")


def _results(claim: Obj) -> Sequence[Obj]:
    return (((claim.get("status") or {}).get("allocation") or {}).get("devices") or {}).get("results") or ()


def prepare_status(new: Obj, old: Obj, now: str) -> None:
    """Forget what was reported of devices that the claim no longer has."""
    def whole(claim: Obj) -> set[str]:
        return {device_id({**one, "shareID": None}) for one in _results(claim)}

    given_back, status = whole(old) - whole(new), new.get("status") or {}
    if given_back and status.get("devices"):
        left = [one for one in status["devices"] if device_id({**one, "shareID": None}) not in given_back]
        new["status"] = {key: value for key, value in status.items() if key != "devices"} | (
            {"devices": left} if left else {})


def claim_status_errors(new: Obj, old: Obj, request: NamesRequest) -> rules.Errors:
    """What is wrong with a claim's status; `request` is the rule for what its requests may be called."""
    status, before = new.get("status") or {}, old.get("status") or {}
    reserved, allocation = status.get("reservedFor") or (), status.get("allocation")
    yield from device_rules.each("status.reservedFor", reserved, MAX_CONSUMERS, _consumer, lambda one: one.get("uid"))
    allocated, devices = {device_id(one) for one in _results(new)}, status.get("devices") or ()
    for i, device in enumerate(devices):
        yield from _reported(f"status.devices[{i}]", device, allocated)
    yield from rules.unique((f"status.devices[{i}]", device_id(device)) for i, device in enumerate(devices))
    if reserved and allocation is None:
        yield rules.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif "deletionTimestamp" in new["metadata"] and any(
            one not in (before.get("reservedFor") or ()) for one in reserved):
        yield rules.forbidden("status.reservedFor", "new entries may not be added while `deallocationRequested` or "
                                                    "`deletionTimestamp` are set")
    if allocation is not None and before.get("allocation") is not None:
        yield from rules.immutable("status.allocation", allocation, before["allocation"])
    elif allocation is not None:
        yield from _allocation("status.allocation", allocation, request)


def _consumer(path: str, consumer: Obj) -> rules.Errors:
    yield from (required(f"{path}.{key}") for key in ("resource", "name", "uid") if not consumer.get(key))


def _allocation(path: str, allocation: Obj, request: NamesRequest) -> rules.Errors:
    def result(where: str, one: Obj) -> rules.Errors:
        yield from request(f"{where}.request", one.get("request", ""))
        yield from _device(where, one)
        yield from device_rules.binding_conditions(where, one)
        for i, toleration in enumerate(one.get("tolerations") or ()):
            yield from device_rules.toleration(f"{where}.tolerations[{i}]", toleration)
        if one.get("shareID") is not None:
            yield from device_rules.share_id(f"{where}.shareID", one["shareID"])

    def config(where: str, one: Obj) -> rules.Errors:
        yield from rules.one_of(f"{where}.source", one.get("source"), SOURCES)
        yield from device_rules.each(f"{where}.requests", one.get("requests") or (), MAX_RESULTS, request, str)
        yield from device_rules.configuration(where, one)

    devices = allocation.get("devices") or {}
    yield from device_rules.each(f"{path}.devices.results", devices.get("results") or (), MAX_RESULTS, result)
    yield from device_rules.each(f"{path}.devices.config", devices.get("config") or (), MAX_CONFIGS, config)
    if allocation.get("nodeSelector") is not None:
        yield from node_selector_errors(allocation["nodeSelector"], f"{path}.nodeSelector")


def _device(path: str, one: Obj) -> rules.Errors:
    yield from device_rules.driver_name(f"{path}.driver", one.get("driver", ""))
    yield from device_rules.pool_name(f"{path}.pool", one.get("pool", ""))
    yield from rules.label_name(f"{path}.device", one.get("device", ""))


def _reported(path: str, device: Obj, allocated: set[str]) -> rules.Errors:
    yield from _device(path, device)
    if device.get("shareID") is not None:
        yield from device_rules.share_id(f"{path}.shareID", device["shareID"])
    if device_id(device) not in allocated:
        yield invalid_value(path, device_id(device), "must be an allocated device in the claim")
    conditions = device.get("conditions") or ()
    if len(conditions) > MAX_CONDITIONS:
        yield rules.too_many(f"{path}.conditions", len(conditions), MAX_CONDITIONS)
    yield from condition_errors(conditions, f"{path}.conditions")
    if device.get("data") is not None:
        yield from device_rules.raw_object(f"{path}.data", device["data"], MAX_DATA_BYTES)
    network = device.get("networkData") or {}
    for key, limit in (("interfaceName", MAX_INTERFACE), ("hardwareAddress", MAX_HARDWARE)):
        if len(network.get(key, "")) > limit:
            yield rules.too_long(f"{path}.networkData.{key}", limit)
    yield from device_rules.each(f"{path}.networkData.ips", network.get("ips") or (), MAX_IPS, interface_address, str)
