"""ResourceQuota: how much a namespace may use in all.

Models: pkg/registry/core/resourcequota and pkg/apis/core/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.resource_validation import COUNTED, HUGE, amount_errors, resource_name_errors

COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
                     "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"})
STANDARD = COMPUTE | COUNTED | {"requests.storage"}
ONLY_EXISTS = frozenset({"Terminating", "NotTerminating", "BestEffort", "NotBestEffort",
                         "CrossNamespacePodAffinity"})
SCOPES = frozenset({"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
                    "CrossNamespacePodAffinity", "VolumeAttributesClass"})
OF_PODS = {"pods", *(name for name in COMPUTE if "storage" not in name)}
OF_CLAIMS = frozenset({"persistentvolumeclaims", "requests.storage"})
CONFLICTING = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def _prepare_create(quota: Obj) -> None:
    quota["status"] = {}


def _validate(quota: Obj) -> Sequence[FieldError]:
    spec = quota.get("spec") or {}
    return [*_hard_errors(spec.get("hard") or {}, "spec.hard"), *_scope_errors(spec), *_selector_errors(spec)]


def _validate_status(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    status = new.get("status") or {}
    return [e for key in ("hard", "used") for e in _hard_errors(status.get(key) or {}, f"status.{key}")]


def _hard_errors(hard: Obj, path: str) -> rules.Errors:
    for name in sorted(hard):
        field = f"{path}[{name}]"
        yield from resource_name_errors(name, field)
        if "/" not in name and not _is_standard(name):
            yield invalid_value(field, name, "must be a standard resource for quota")
        yield from amount_errors(name, hard[name], field)


def _is_standard(name: str) -> bool:
    return name in STANDARD or name.removeprefix("requests.").startswith(HUGE)


def _scope_errors(spec: Obj) -> rules.Errors:
    scopes, path = spec.get("scopes") or [], "spec.scopes"
    for scope in scopes:
        if scope not in SCOPES:
            yield invalid_value(path, scopes, "unsupported scope")
        for _ in _uncounted(spec, scope):
            yield invalid_value(path, scopes, "unsupported scope applied to resource")
    yield from _conflicts(scopes, scopes)


def _conflicts(chosen: Sequence[str], shown: Sequence[str] | None) -> rules.Errors:
    for pair in CONFLICTING:
        if pair <= set(chosen):
            yield invalid_value("spec.scopes", shown, "conflicting scopes")


def _uncounted(spec: Obj, scope: str) -> list[str]:
    """Return what a quota counts that is not about objects with this scope."""
    return [name for name in sorted(spec.get("hard") or ()) if _is_standard(name) and not _counts(scope, name)]


def _counts(scope: str, name: str) -> bool:
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in OF_CLAIMS
    return name in OF_PODS if scope in SCOPES else True


def _selector_errors(spec: Obj) -> rules.Errors:
    path, expressions = "spec.scopeSelector.matchExpressions", (spec.get("scopeSelector") or {}).get("matchExpressions")
    for rule in expressions or ():
        scope, operator = rule.get("scopeName", ""), rule.get("operator", "")
        if scope not in SCOPES:
            yield invalid_value(f"{path}.scopeName", scope, "unsupported scope")
        for _ in _uncounted(spec, scope):
            yield rules.invalid_struct(path, _struct(expressions or ()), "unsupported scope applied to resource")
        if scope in ONLY_EXISTS and operator != "Exists":
            yield invalid_value(f"{path}.operator", operator, "must be 'Exists' when scope is any of ResourceQuotaScope"
                                "Terminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                                "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity")
        yield from _operator_errors(rule, path)
    yield from _conflicts([rule.get("scopeName", "") for rule in expressions or ()], spec.get("scopes"))


def _struct(expressions: Sequence[Obj]) -> Obj:
    return {"MatchExpressions": [{"ScopeName": rule.get("scopeName", ""), "Operator": rule.get("operator", ""),
                                  "Values": rule.get("values")} for rule in expressions]}


def _operator_errors(rule: Obj, path: str) -> rules.Errors:
    operator, values = rule.get("operator", ""), rule.get("values")
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope "
                                             "selector")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield invalid_value(f"{path}.values", values, "must be no value when `operator` is 'Exist' or "
                                                          "'DoesNotExist' for scope selector")
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = ((o.get("spec") or {}).get("scopes") for o in (new, old))
    return [] if set(after or ()) == set(before or ()) else [invalid_value("spec.scopes", after, "field is immutable")]


def _use(quota: Obj, *, limits: bool) -> str:
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)
                     if name.startswith("limits.") == limits)


RESOURCE_QUOTA = Kind(
    "ResourceQuota", "resourcequotas", meta_looks=(1, 0), short_names=("quota",), subresources=frozenset({"status"}),
    default=lambda o: o.update(spec=o.get("spec") or {}), prepare_create=_prepare_create,
    validate=_validate, validate_update=_validate_update, validate_part=_validate_status,
    columns=(
        NAME,
        Column("Request", lambda o, now: _use(o, limits=False), description="Request represents a minimum amount of "
               "cpu/memory that a container may consume."),
        Column("Limit", lambda o, now: _use(o, limits=True), description="Limits control the maximum amount of "
               "cpu/memory that a container may use independent of contention on the node."),
        AGE,
    ),
)
