"""ResourceClaim, its template and DeviceClass: devices that pods ask for by what they can do.

    devices.requests[] ─► exactly ──────────► class, selectors, how many
                      └─► firstAvailable[] ─► the same, in order of preference
           .constraints[], .config[] ───────► name requests: "gpu", "gpu/big"

Models:    pkg/registry/resource/{resourceclaim,resourceclaimtemplate,deviceclass}, pkg/apis/resource of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import device_rules, go_shapes, rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.resource_validation import is_extended
from kubelab.units.resourceclaim_status import claim_status_errors, prepare_status

GROUP = "resource.k8s.io"
MODES = ("All", "ExactCount")
MAX_REQUESTS, MAX_CHOICES, MAX_CONSTRAINTS = 32, 8, 32
ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
# How upstream prints a claim that changes.
_ASKED = {"deviceClassName": "", "selectors": [{"cel": {"expression": ""}}], "allocationMode": "", "count": 0}
_REST = {"tolerations": [go_shapes.TOLERATION], "capacity": {"requests": None}}
_CLAIM = {"devices": go_shapes.Embedded({
    "requests": [{"name": "", "exactly": {**_ASKED, "adminAccess": None, **_REST},
                  "firstAvailable": [{"name": "", **_ASKED, **_REST}]}],
    "constraints": [{"requests": None, "matchAttribute": None, "distinctAttribute": None}],
    "config": [{"requests": None, "opaque": {"driver": "", "parameters": None}}]})}
NO_REQUEST = ("must be the name of a request in the claim or the name of a request and a subrequest separated by '/'")


def _requests(spec: Obj) -> list[Obj]:
    return ((spec.get("devices") or {}).get("requests")) or []


def _default_claim_spec(spec: Obj) -> None:
    spec.setdefault("devices", {})
    for request in _requests(spec):
        for asked in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if asked is None:
                continue
            asked["allocationMode"] = asked.get("allocationMode") or "ExactCount"
            if asked["allocationMode"] == "ExactCount":
                asked["count"] = asked.get("count") or 1
            for toleration in asked.get("tolerations") or ():
                toleration["operator"] = toleration.get("operator") or "Equal"


def _default_claim(claim: Obj) -> None:
    _default_claim_spec(claim.setdefault("spec", {}))


def _default_template(template: Obj) -> None:
    _default_claim_spec(template.setdefault("spec", {}).setdefault("spec", {}))


def _prepare_claim(claim: Obj) -> None:
    claim["status"] = {}


def request_names(spec: Obj) -> frozenset[str]:
    """Return what constraints, configurations and results may call the requests of a claim."""
    found = set()
    for request in _requests(spec):
        found.add(request.get("name", ""))
        found |= {f"{request.get('name', '')}/{one.get('name', '')}" for one in request.get("firstAvailable") or ()}
    return frozenset(found)


def request_name(known: frozenset[str]) -> Callable[[str, str], rules.Errors]:
    """Return the rule for a name that stands for a request."""
    def check(path: str, name: str) -> rules.Errors:
        parts = name.split("/")
        if len(parts) <= 2:
            for part in parts:
                yield from rules.label_name(path, part)
        if name not in known:
            yield invalid_value(path, name, NO_REQUEST)

    return check


def _claim_errors(path: str, spec: Obj) -> rules.Errors:
    devices, known = spec.get("devices") or {}, request_name(request_names(spec))

    def constraint(where: str, one: Obj) -> rules.Errors:
        yield from device_rules.each(f"{where}.requests", one.get("requests") or (), MAX_REQUESTS, known, str)
        given = [key for key in ("matchAttribute", "distinctAttribute") if one.get(key) is not None]
        if given:
            yield from device_rules.full_name(f"{where}.{given[0]}", one[given[0]])
        else:
            yield required(where, 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple '
                                  "fields are set")

    def config(where: str, one: Obj) -> rules.Errors:
        yield from device_rules.each(f"{where}.requests", one.get("requests") or (), MAX_REQUESTS, known, str)
        yield from device_rules.configuration(where, one)

    path = f"{path}.devices"
    yield from device_rules.each(f"{path}.requests", _requests(spec), MAX_REQUESTS, _request_errors, _name)
    yield from device_rules.each(f"{path}.constraints", devices.get("constraints") or (), MAX_CONSTRAINTS, constraint)
    yield from device_rules.each(f"{path}.config", devices.get("config") or (), device_rules.MAX_CONFIGS, config)


def _name(one: Obj) -> str:
    return str(one.get("name", ""))


def _request_errors(path: str, request: Obj) -> rules.Errors:
    exact, first = request.get("exactly"), request.get("firstAvailable") or ()
    yield from rules.label_name(f"{path}.name", _name(request))
    if exact is None and not first:
        yield required(path, ONE_OF)
    elif exact is not None and first:
        yield invalid_value(path, None, f"{ONE_OF}, but multiple fields are set")
    elif exact is not None:
        yield from _asked_errors(f"{path}.exactly", exact)
    else:
        yield from device_rules.each(f"{path}.firstAvailable", first, MAX_CHOICES, _choice_errors, _name)


def _choice_errors(path: str, asked: Obj) -> rules.Errors:
    yield from rules.label_name(f"{path}.name", _name(asked))
    yield from _asked_errors(path, asked)


def _asked_errors(path: str, asked: Obj) -> rules.Errors:
    class_name, mode, count = asked.get("deviceClassName", ""), asked.get("allocationMode"), asked.get("count") or 0
    yield from rules.subdomain_name(f"{path}.deviceClassName", class_name) if class_name else [
        required(f"{path}.deviceClassName")]
    yield from device_rules.selectors(f"{path}.selectors", asked.get("selectors") or ())
    if mode not in MODES:
        yield rules.unsupported(f"{path}.allocationMode", mode, MODES)
    elif mode == "ExactCount" and count <= 0:
        yield invalid_value(f"{path}.count", count, "must be greater than zero")
    elif mode == "All" and count:
        yield invalid_value(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    for i, one in enumerate(asked.get("tolerations") or ()):
        yield from device_rules.toleration(f"{path}.tolerations[{i}]", one)


def _validate_claim(claim: Obj) -> Sequence[FieldError]:
    return list(_claim_errors("spec", claim.get("spec") or {}))


def _validate_template(template: Obj) -> Sequence[FieldError]:
    spec = template.get("spec") or {}
    meta = spec.get("metadata") or {}
    errors = [*names.validate_annotations(meta.get("annotations"), "spec.metadata.annotations"),
              *names.validate_labels(meta.get("labels"), "spec.metadata.labels")]
    errors += [rules.forbidden(f"spec.metadata.{key}", "cannot be set") for key, value in meta.items()
               if key not in ("annotations", "labels") and value]
    return [*errors, *_claim_errors("spec.spec", spec.get("spec") or {})]


def _same_claim(new: Obj, old: Obj) -> Sequence[FieldError]:
    after = new.get("spec") or {}
    return [] if after == old.get("spec") else [
        rules.invalid_struct("spec", go_shapes.printed(_CLAIM, after), rules.IMMUTABLE)]


def _same_template(new: Obj, old: Obj) -> Sequence[FieldError]:
    after = new.get("spec") or {}
    shown = {**(after.get("metadata") or {}), "Spec": go_shapes.printed(_CLAIM, after.get("spec") or {})}
    return [] if after == old.get("spec") else [rules.invalid_struct("spec", shown, rules.IMMUTABLE)]


def _claim_status(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    return list(claim_status_errors(new, old, request_name(request_names(new.get("spec") or {}))))


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
    prepare_create=_prepare_claim, validate=_validate_claim, validate_update=_same_claim, update_alone=True,
    prepare_status=prepare_status, validate_part=_claim_status,
    columns=(NAME, Column("State", lambda o, now: _state(o), description=
                          "A summary of the current state (allocated, pending, reserved, etc.)."), AGE),
)
RESOURCE_CLAIM_TEMPLATE = Kind(
    "ResourceClaimTemplate", "resourceclaimtemplates", group=GROUP, default=_default_template,
    validate=_validate_template, validate_update=_same_template, update_alone=True, columns=(NAME, AGE),
)


def _validate_class(device_class: Obj) -> Sequence[FieldError]:
    return list(_class_errors(device_class.get("spec") or {}))


def _class_errors(spec: Obj) -> rules.Errors:
    yield from device_rules.selectors("spec.selectors", spec.get("selectors") or ())
    yield from device_rules.each("spec.config", spec.get("config") or (), device_rules.MAX_CONFIGS,
                                 device_rules.configuration)
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        yield invalid_value("spec.extendedResourceName", name, "must be a valid extended resource name")


def _default_class(device_class: Obj) -> None:
    device_class.setdefault("spec", {})


DEVICE_CLASS = Kind("DeviceClass", "deviceclasses", group=GROUP, namespaced=False, generation=True,
                    default=_default_class, validate=_validate_class, columns=(NAME, AGE))
