"""NodeAffinity: nodeSelector, required node affinity, and the weights of preferred node affinity.

    required terms are ORed, the expressions of one term ANDed; nodeSelector is one more AND

Models:    pkg/scheduler/framework/plugins/nodeaffinity
Left out:  addedAffinity of a scheduler profile
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent, Plugin, Rejection, normalized
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo

NO_MATCH = Rejection(("node(s) didn't match Pod's node affinity/selector",), helpless=True)


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
    required = _required(spec)
    if required is None:
        return True
    return any(term_matches(term, name, labels) for term in required.get("nodeSelectorTerms") or ())


def _required(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    found: dict[str, Any] | None = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return found


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    weight = 2

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        return None if pod.spec.get("nodeSelector") or _required(pod.spec) is not None else SKIP

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if required_matches(pod.spec, node.name, node.labels) else NO_MATCH

    def pre_score(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> Any:
        return pod.terms("nodeAffinity", "preferred") or SKIP

    def scores(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        return normalized([sum(term["weight"] for term in state
                               if term_matches(term["preference"], node.name, node.labels)) for node in nodes])

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind != "Node" or event.action == "delete" or event.new is None:
            return False
        meta = event.new["metadata"]
        return required_matches(pod.spec, meta["name"], meta.get("labels") or {})
