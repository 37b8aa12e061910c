"""ResourceQuota: how much a namespace may use in all.

Models: pkg/registry/core/resourcequota and pkg/apis/core/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.resource_validation import HUGE, resource_name_errors

COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
                     "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"})
COUNTED = frozenset({"pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps",
                     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"})
STANDARD = COMPUTE | COUNTED | {"requests.storage"}
ONLY_EXISTS = frozenset({"Terminating", "NotTerminating", "BestEffort", "NotBestEffort",
                         "CrossNamespacePodAffinity"})
SCOPES = frozenset({"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
                    "CrossNamespacePodAffinity", "VolumeAttributesClass"})
OF_PODS = COMPUTE | {"pods"}
CONFLICTING = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def _prepare_create(quota: Obj) -> None:
    quota["status"] = {}


def _validate(quota: Obj) -> Sequence[FieldError]:
    spec = quota.get("spec") or {}
    return [*_hard_errors(spec.get("hard") or {}, "spec.hard"), *_scope_errors(spec),
            *_selector_errors((spec.get("scopeSelector") or {}).get("matchExpressions") or ())]


def _hard_errors(hard: Obj, path: str) -> rules.Errors:
    for name in sorted(hard):
        field = f"{path}[{name}]"
        yield from resource_name_errors(name, field)
        if "/" not in name and not _is_standard(name):
            yield invalid_value(field, name, "must be a standard resource for quota")
        yield from rules.quantity_not_negative(field, hard[name])
        if name in COUNTED and quantity.parse(hard[name]).denominator != 1:
            yield invalid_value(field, str(hard[name]), "must be an integer")


def _is_standard(name: str) -> bool:
    return name in STANDARD or name.removeprefix("requests.").startswith(HUGE)


def _scope_errors(spec: Obj) -> rules.Errors:
    scopes, path = spec.get("scopes") or [], "spec.scopes"
    for scope in scopes:
        if scope not in SCOPES:
            yield invalid_value(path, scopes, "unsupported scope")
        for name in sorted(spec.get("hard") or ()):
            if _is_standard(name) and not _counts(scope, name):
                yield invalid_value(path, scopes, "unsupported scope applied to resource")
    for pair in CONFLICTING:
        if pair <= set(scopes):
            yield invalid_value(path, scopes, "conflicting scopes")


def _counts(scope: str, name: str) -> bool:
    if scope == "BestEffort":
        return name == "pods"
    return name in OF_PODS if scope in SCOPES - {"VolumeAttributesClass"} else True


def _selector_errors(expressions: Sequence[Obj]) -> rules.Errors:
    path = "spec.scopeSelector.matchExpressions"
    for rule in expressions:
        scope, operator = rule.get("scopeName", ""), rule.get("operator", "")
        if scope not in SCOPES:
            yield invalid_value(f"{path}.scopeName", scope, "unsupported scope")
        elif scope in ONLY_EXISTS and operator != "Exists":
            yield invalid_value(f"{path}.operator", operator, "must be 'Exist' when scope is any of ResourceQuotaScope"
                                "Terminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                                "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity")
        if operator in ("In", "NotIn"):
            if not rule.get("values"):
                yield FieldError(f"{path}.values", "FieldValueRequired", "Required value: must be at least one value "
                                 "when `operator` is 'In' or 'NotIn' for scope selector")
        elif operator in ("Exists", "DoesNotExist"):
            if rule.get("values"):
                yield invalid_value(f"{path}.values", rule["values"], "must be no value when `operator` is 'Exists' or "
                                                                      "'DoesNotExist' for scope selector")
        else:
            yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = ((o.get("spec") or {}).get("scopes") or [] for o in (new, old))
    return [] if set(after) == set(before) else [invalid_value("spec.scopes", after, "field is immutable")]


def _use(quota: Obj, *, limits: bool) -> str:
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)
                     if name.startswith("limits.") == limits)


RESOURCE_QUOTA = Kind(
    "ResourceQuota", "resourcequotas", short_names=("quota",), subresources=frozenset({"status"}),
    default=lambda o: o.update(spec=o.get("spec") or {}), prepare_create=_prepare_create,
    validate=_validate, validate_update=_validate_update,
    columns=(
        NAME,
        Column("Request", lambda o, now: _use(o, limits=False), description="Request represents a minimum amount of "
               "cpu/memory that a container may consume."),
        Column("Limit", lambda o, now: _use(o, limits=True), description="Limits control the maximum amount of "
               "cpu/memory that a container may use independent of contention on the node."),
        AGE,
    ),
)
