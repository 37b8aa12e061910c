"""PodDisruptionBudget: how many pods of an application may be taken away on purpose at a time.

Models: pkg/registry/policy/poddisruptionbudget and pkg/apis/policy/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery.errors import FieldError
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.status_validation import condition_errors

POLICIES = ("AlwaysAllow", "IfHealthyBudget")
COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _default(budget: Obj) -> None:
    budget.setdefault("spec", {})
    _default_status(budget)


def _default_status(budget: Obj) -> None:
    """Show four counts always; a status may be shared, so a new one is made."""
    status = budget.get("status") or {}
    if any(key not in status for key in COUNTS):
        budget["status"] = {**dict.fromkeys(COUNTS, 0), **status}


def _prepare_create(budget: Obj) -> None:
    budget["status"] = dict.fromkeys(COUNTS, 0)


def _validate(budget: Obj) -> Sequence[FieldError]:
    return list(_errors(budget.get("spec") or {}))


def _errors(spec: Obj) -> rules.Errors:
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        struct = {"MinAvailable": least, "Selector": spec.get("selector"), "MaxUnavailable": most,
                  "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy")}
        yield rules.invalid_struct("spec", struct, "minAvailable and maxUnavailable cannot be both set")
    for key, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            yield from rules.int_or_percent(f"spec.{key}", value)
            yield from rules.at_most_100_percent(f"spec.{key}", value)
    yield from rules.label_selector("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in POLICIES:
        yield rules.unsupported("spec.unhealthyPodEvictionPolicy", policy, POLICIES)


def _validate_part(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    status = new.get("status") or {}
    return [*condition_errors(status.get("conditions") or (), "status.conditions"),
            *(e for key in COUNTS for e in rules.not_negative(f"status.{key}", status.get(key)))]


def _amount(budget: Obj, key: str) -> str:
    value = (budget.get("spec") or {}).get(key)
    return "N/A" if value is None else str(value)


POD_DISRUPTION_BUDGET = Kind(
    "PodDisruptionBudget", "poddisruptionbudgets", meta_looks=(0, 0), group="policy", short_names=("pdb",),
    subresources=frozenset({"status"}), generation=True, validate_name="path",
    default=_default, default_status=_default_status, prepare_create=_prepare_create, validate=_validate,
    validate_part=_validate_part,
    columns=(
        NAME,
        Column("Min Available", lambda o, now: _amount(o, "minAvailable"),
               description="The minimum number of pods that must be available."),
        Column("Max Unavailable", lambda o, now: _amount(o, "maxUnavailable"),
               description="The maximum number of pods that may be unavailable."),
        Column("Allowed Disruptions", lambda o, now: (o.get("status") or {}).get("disruptionsAllowed", 0),
               type="integer", description="Calculated number of pods that may be disrupted at this time."),
        AGE,
    ),
)
