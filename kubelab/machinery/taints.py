"""Taints and tolerations: which toleration speaks to which taint.

Invariant: pure functions over the wire dicts, shared by the scheduler, taint eviction and whoever else reads taints.
Models:    k8s.io/component-helpers/scheduling/corev1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Taint = dict[str, Any]
Toleration = dict[str, Any]


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
    return _compares(operator, toleration.get("value") or "", taint.get("value") or "")


def _compares(operator: str, wanted: str, found: str) -> bool:
    try:
        return int(found) > int(wanted) if operator == "Gt" else operator == "Lt" and int(found) < int(wanted)
    except ValueError:
        return False


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration], effects: Sequence[str]) -> Taint | None:
    """Return the first taint with one of `effects` that no toleration speaks to."""
    for taint in taints:
        if taint.get("effect") in effects and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None
