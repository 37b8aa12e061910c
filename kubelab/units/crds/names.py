"""Who may call a custom resource what: in a group, each name belongs to the CRD that had it first.

    names wanted ─► taken by another CRD of the group? ─► acceptedNames, NamesAccepted, Established

Models:    apiextensions-apiserver/pkg/controller/status, naming_controller.go, and apiapproval
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.machinery.meta import set_condition
from kubelab.machinery.request import Obj
from kubelab.units.crd import PROTECTED
from kubelab.units.crds.status import approval, condition, is_established

_NAMES = (("plural", "PluralConflict"), ("singular", "SingularConflict"), ("shortNames", "ShortNamesConflict"),
          ("kind", "KindConflict"), ("listKind", "ListKindConflict"))


def granted(crd: Obj, everyone: Iterable[Obj], now: float) -> tuple[Obj, list[Obj]]:
    """Return the names that are a CRD's to use, and its conditions."""
    others = [other for other in everyone if other["spec"]["group"] == crd["spec"]["group"]
              and other["metadata"]["name"] != crd["metadata"]["name"]]
    spec, status = crd["spec"], crd.get("status") or {}
    own, before = spec["names"], status.get("acceptedNames") or {}
    names, problem = {}, ("NoConflicts", "no conflicts found")
    for field, reason in _NAMES:
        wanted = own.get(field)
        taken = _taken(others, field)
        clash = next((n for n in _several(wanted) if n in taken), None)
        if clash is not None:
            problem = (reason, f'"{clash}" is already in use')
            wanted = before.get(field)
        if wanted or field in ("plural", "kind"):
            names[field] = wanted or ""
    if own.get("categories"):
        names["categories"] = own["categories"]
    free = problem[0] == "NoConflicts"
    conditions = [dict(c) for c in status.get("conditions") or ()]
    set_condition(conditions, condition("NamesAccepted", free, *problem), now)
    if not is_established(crd):
        set_condition(conditions, condition("Established", True, "InitialNamesAccepted",
                      "the initial names have been accepted") if free else
                      condition("Established", False, "NotAccepted", "not all names are accepted"), now)
    if f".{spec['group']}".endswith(PROTECTED):
        state, why = approval(crd)
        told = condition("KubernetesAPIApprovalPolicyConformant", state == "approved",
                         f"{state.capitalize()}Annotation", why)
        if set_condition(conditions, told, now) and conditions[-1]["type"] == told["type"]:
            conditions.insert(0, conditions.pop())  # it is looked at first
    return names, conditions


def _taken(others: list[Obj], field: str) -> set[str]:
    """Return the names that other CRDs of the group have."""
    fields = ("plural", "singular", "shortNames") if field in ("plural", "singular", "shortNames") \
        else ("kind", "listKind")
    return {name for other in others for one in fields
            for name in _several(((other.get("status") or {}).get("acceptedNames") or {}).get(one))}


def _several(names: Iterable[str] | str | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())
