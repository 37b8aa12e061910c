"""Which nodes a pod's spec allows: nodeSelector and required node affinity.

    required terms are ORed, the expressions of one term ANDed; nodeSelector is one more AND

Invariant: pure functions over a pod's spec, a node's name and its labels.
Models:    k8s.io/component-helpers/scheduling/corev1/nodeaffinity
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def expression_matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    found = labels.get(expression["key"])
    operator, values = expression["operator"], expression.get("values") or []
    if operator == "In":
        return found is not None and found in values
    if operator == "NotIn":
        return found is None or found not in values
    if operator == "Exists":
        return found is not None
    if operator == "DoesNotExist":
        return found is None
    try:
        number, bound = int(found or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator == "Gt" else operator == "Lt" and number < bound


def term_matches(term: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Tell whether all of a term holds for the node; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return (all(expression_matches(e, labels) for e in expressions)
            and all(expression_matches(f, {"metadata.name": name}) for f in fields))


def required_matches(spec: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Tell whether the node is one the pod spec allows by nodeSelector and required affinity."""
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(key) != wanted for key, wanted in selector.items()):
        return False
    required = required_affinity(spec)
    if required is None:
        return True
    return any(term_matches(term, name, labels) for term in required.get("nodeSelectorTerms") or ())


def required_affinity(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    found: dict[str, Any] | None = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return found
