"""Claims, classes and slices of devices: what is filled in, what is refused, what of a claim stays."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.request import Obj

from .test_cluster_kinds import DRA, claim, obj
from .test_validation import complete, errors, updated

UID = "0aa4f1e2-7b1e-4a53-9d3a-0f3c7a1d9b10"
LABEL = "a lowercase RFC 1123 label must consist of"


def claims(*requests: Obj, **devices: Any) -> Obj:
    return obj(DRA, "ResourceClaim", spec={"devices": {"requests": list(requests), **devices}})


def asked(name: str = "gpu", **fields: Any) -> Obj:
    return {"name": name, "exactly": {"deviceClassName": "gpus", **fields}}


def cel(expression: str) -> list[Obj]:
    return [{"cel": {"expression": expression}}]


def a_slice(*devices: Obj, **spec: Any) -> Obj:
    return obj(DRA, "ResourceSlice", spec={
        "driver": "d.example.com", "nodeName": "n", "devices": list(devices),
        "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1}, **spec})


REQUEST, DEVICE = "spec.devices.requests[0]", "spec.devices[0]"
CHOICE = {"name": "small", "deviceClassName": "gpus"}
REFUSED = [
    (claims({"name": "gpu"}), [f"{REQUEST}: Required value: exactly one of `exactly` or `firstAvailable` is required"]),
    (claims(asked() | {"firstAvailable": [CHOICE]}), [
        f"{REQUEST}: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple "
        "fields are set"]),
    (claims(asked(), asked()), ['spec.devices.requests[1]: Duplicate value: "gpu"']),
    (claims({"name": "", "firstAvailable": [CHOICE] * 9}), [
        f'{REQUEST}.name: Invalid value: "": {LABEL}', f"{REQUEST}.firstAvailable: Too many: 9: must have at most 8"]),
    (claims(asked(allocationMode="X")), [
        f'{REQUEST}.exactly.allocationMode: Unsupported value: "X": supported values: "All", "ExactCount"']),
    (claims(asked(selectors=cel("device.driver =="))), [
        f'{REQUEST}.exactly.selectors[0].cel.expression: Invalid value: "device.driver ==": compilation failed: ']),
    (claims(asked(selectors=cel("1"))), [
        f'{REQUEST}.exactly.selectors[0].cel.expression: Invalid value: "1": must evaluate to bool']),
    (claims(asked(selectors=cel("device.attributes['a'].v.isGreaterThan(semver('1.0.0'))"))), []),
    (claims(asked(tolerations=[{"operator": "Exists", "value": "v", "effect": "X"}])), [
        f'{REQUEST}.exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
        f'{REQUEST}.exactly.tolerations[0].effect: Unsupported value: "X": supported values: "NoExecute", '
        '"NoSchedule", "None"']),
    (claims({"name": "gpu", "firstAvailable": [CHOICE]}, constraints=[
        {"requests": ["gpu/small", "gpu"], "matchAttribute": "d.example.com/model"}, {"requests": ["a/b/c"]}]), [
        'spec.devices.constraints[1].requests[0]: Invalid value: "a/b/c": must be the name of a request in the claim',
        'spec.devices.constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute"']),
    (claims(asked(), constraints=[{"matchAttribute": "model"}]), [
        'spec.devices.constraints[0].matchAttribute: Invalid value: "model": a fully qualified name must be a domain']),
    (claims(asked(), config=[{}, {"opaque": {"driver": "d", "parameters": []}}]), [
        "spec.devices.config[0].opaque: Required value",
        'spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object']),
    (obj(DRA, "DeviceClass", spec={"extendedResourceName": "cpu", "selectors": [{}]}), [
        "spec.selectors[0].cel: Required value",
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name']),
    (obj(DRA, "ResourceClaimTemplate", spec={"metadata": {"name": "x"}, "spec": {}}), [
        "spec.metadata.name: Forbidden: cannot be set"]),
    (a_slice(nodeName=None), ["spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`"]),
    (a_slice(allNodes=True), ['spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of']),
    (a_slice(driver="", pool={"name": "a/", "generation": -1}), [
        "spec.driver: Required value", 'spec.pool.name: Invalid value: "": a lowercase RFC 1123 subdomain must',
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero"]),
    (a_slice({"name": "a"}, {"name": "a"}), ['spec.devices[1]: Duplicate value: "a"']),
    (a_slice({"name": "a", "attributes": {"0": {}, "x/": {"version": "1"}}}), [
        f'{DEVICE}.attributes: Invalid value: "0": a valid C identifier must start with',
        f'{DEVICE}.attributes[0]: Invalid value: "": exactly one value must be specified',
        f'{DEVICE}.attributes: Invalid value: "": the name must not be empty',
        f'{DEVICE}.attributes[x/].version: Invalid value: "1": must be a string compatible with semver.org']),
    (a_slice({"name": "a", "nodeName": "n", "taints": [{"key": "k"}]}), [
        f"{DEVICE}.taints[0].effect: Required value", f"{DEVICE}: Invalid value: null: `nodeName`, `nodeSelector`"]),
    (a_slice({"name": "a"}, nodeName=None, perDeviceNodeSelection=True), [
        f"{DEVICE}: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when"]),
    (a_slice({"name": "a", "bindingConditions": ["c"]}), [
        f"{DEVICE}.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use"]),
    (a_slice({"name": "a", "consumesCounters": [{"counterSet": "s"}], "capacity": {"m": {
        "value": "1", "requestPolicy": {"default": "1"}}}}), [
        f"{DEVICE}.capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true",
        f"{DEVICE}.consumesCounters[0].counters: Required value"]),
]


@pytest.mark.parametrize(("sent", "told"), REFUSED)
def test_what_is_wrong_is_told_whole_and_in_order(sent: Obj, told: list[str]) -> None:
    """Every cause, each at its field; of a long one the beginning is compared."""
    found = errors(sent)
    assert [text[:len(want)] for text, want in zip(found, told, strict=True)] == told


def test_what_is_not_said_is_filled_in() -> None:
    """One device, exactly; a toleration of a value; what is alpha is left out."""
    exactly = complete(claim(tolerations=[{"key": "a"}], count=0))["spec"]["devices"]["requests"][0]["exactly"]
    assert (exactly["allocationMode"], exactly["count"], exactly["tolerations"][0]["operator"]) == (
        "ExactCount", 1, "Equal")
    listed = a_slice({"name": "a", "attributes": {"x": {"ints": [1], "int": 1}}, "taints": [{"key": "k"}]})
    device = complete(listed)["spec"]["devices"][0]
    assert device["attributes"] == {"x": {"int": 1}} and "timeAdded" in device["taints"][0]


def test_a_claim_is_asked_once() -> None:
    """Its spec stays, and is shown as Go would print it."""
    assert updated(claim(count=2), claim(count=2)) == []
    (error,) = updated(claim(count=2), claim(count=1))
    assert error.message == (
        'Invalid value: {"Devices":{"Requests":[{"Name":"gpu","Exactly":{"DeviceClassName":"gpus","Selectors":null,'
        '"AllocationMode":"ExactCount","Count":2,"AdminAccess":null,"Tolerations":null,"Capacity":null},'
        '"FirstAvailable":null}],"Constraints":null,"Config":null}}: field is immutable')


RESULT = {"request": "gpu", "driver": "d.example.com", "pool": "n", "device": "a"}
GIVEN = {"allocation": {"devices": {"results": [RESULT]}}}
USER = {"resource": "pods", "name": "p", "uid": "u"}


def reported(status: Obj, before: Obj | None = None, **meta: Any) -> list[str]:
    kind = units.by_kind(DRA, "ResourceClaim")
    assert kind is not None
    new, old = claim() | {"status": status}, claim() | {"status": before or {}}
    new["metadata"] |= meta
    kind.prepare_status(new, old, "")
    return [str(e) for e in kind.validate_part(new, old, "status")]


@pytest.mark.parametrize(("status", "before", "told"), [
    (GIVEN | {"reservedFor": [USER]}, {}, []),
    ({"reservedFor": [{}]}, {}, [
        "status.reservedFor[0].resource: Required value", "status.reservedFor[0].name: Required value",
        "status.reservedFor[0].uid: Required value",
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]),
    ({"allocation": {"devices": {"results": [RESULT | {"request": "x", "shareID": "y"}]}}}, {}, [
        'status.allocation.devices.results[0].request: Invalid value: "x": must be the name of a request in the claim',
        'status.allocation.devices.results[0].shareID: Invalid value: "y": uid must be in RFC 4122 normalized form']),
    (GIVEN | {"devices": [RESULT | {"device": "b", "networkData": {"ips": ["10.1.2.3"]}}]}, {}, [
        'status.devices[0]: Invalid value: "d.example.com/n/b": must be an allocated device in the claim',
        'status.devices[0].networkData.ips[0]: Invalid value: "10.1.2.3": must be a valid address in CIDR form']),
    ({"devices": [RESULT]}, GIVEN | {"devices": [RESULT]}, []),
    (GIVEN | {"devices": [RESULT | {"networkData": {"ips": ["10.1.2.3/24"]}, "data": {"a": 1}}]}, GIVEN, []),
])
def test_what_is_reported_of_a_claim(status: Obj, before: Obj, told: list[str]) -> None:
    """Results name its requests; what drivers report goes with the device."""
    found = reported(status, before)
    assert [text[:len(want)] for text, want in zip(found, told, strict=True)] == told


def test_an_allocation_is_given_once() -> None:
    """It may be taken back whole; a claim that goes takes no further users."""
    other = {"allocation": {"devices": {"results": [RESULT | {"device": "b"}]}}}
    assert [text.partition(":")[0] for text in reported(other, GIVEN)] == ["status.allocation"]
    assert reported({}, GIVEN) == []
    assert "new entries may not be added" in reported(GIVEN | {"reservedFor": [USER]}, GIVEN, deletionTimestamp="x")[0]


def test_a_driver_is_written_in_lower_case() -> None:
    """Another way of writing is taken, and warned of."""
    kind = units.by_kind(DRA, "ResourceSlice")
    assert kind is not None
    assert list(kind.warnings(a_slice(driver="D.example.com"), None)) == [
        'spec.driver: driver names should be lowercase; "D.example.com" contains uppercase characters']
    assert errors(a_slice(driver="D.example.com")) == []
