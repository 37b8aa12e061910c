"""PodTopologySpread: spread the pods that a selector finds evenly over hosts, zones, or any node label.

    count per domain = pods matched on the nodes that share a label value
    filter (DoNotSchedule):  count + 1 - lowest count <= maxSkew
    score (ScheduleAnyway):  sum of count * log(domains + 2) + maxSkew - 1; the lowest is the best

A pod without constraints of its own is spread softly by the cluster's default constraints, with the selector of its
Service or controller. Pods are counted by their label sets, not one by one.

Models:    pkg/scheduler/framework/plugins/podtopologyspread
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import MAX_SCORE, SKIP, ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.control_plane.scheduler.plugins.taint_toleration import HARD
from kubelab.machinery.node_selection import required_matches
from kubelab.machinery.selectors import Selector, from_label_selector
from kubelab.machinery.taints import untolerated

MISMATCH = "node(s) didn't match pod topology spread constraints"
SKEWED = Rejection((MISMATCH,))
NO_LABEL = Rejection((f"{MISMATCH} (missing required label)",), helpless=True)
HOSTNAME = "kubernetes.io/hostname"
DEFAULT_CONSTRAINTS = (("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5))


@dataclass(frozen=True, slots=True)
class Constraint:
    key: str
    max_skew: int
    selector: Selector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(slots=True)
class SpreadState:
    """For each constraint: pods matched per domain, the lowest count, and the cost of a further pod."""

    constraints: list[Constraint]
    counts: list[dict[str, int]]
    lowest: list[int]
    require_all: bool = True


def label_selector(term: Mapping[str, Any], labels: Mapping[str, str]) -> Selector:
    """Build a term's selector, with `matchLabelKeys` filled in from the pod's own labels."""
    base = dict(term.get("labelSelector") or {})
    extra = [{"key": key, "operator": operator, "values": [labels[key]]}
             for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
             for key in term.get(field) or () if key in labels]
    if extra:
        base["matchExpressions"] = [*(base.get("matchExpressions") or ()), *extra]
    return from_label_selector(base)


def constraints_of(pod: PodInfo, action: str) -> list[Constraint]:
    """Read the pod's own constraints whose whenUnsatisfiable is `action`."""
    return [Constraint(c["topologyKey"], c["maxSkew"], label_selector(c, pod.labels), c.get("minDomains") or 1,
                       c.get("nodeAffinityPolicy") != "Ignore", c.get("nodeTaintsPolicy") == "Honor")
            for c in pod.spec.get("topologySpreadConstraints") or ()
            if c.get("whenUnsatisfiable", "DoNotSchedule") == action]


def matches_per_node(cache: Cache, namespace: str, selector: Selector) -> dict[str, int]:
    """Count the live pods of a namespace that the selector matches, by node."""
    total: dict[str, int] = {}
    for (group_namespace, labels, terminating), nodes in cache.groups.items():
        if group_namespace == namespace and not terminating and selector.matches(dict(labels)):
            for name, count in nodes.items():
                total[name] = total.get(name, 0) + count
    return total


def _counts(constraint: Constraint, pod: PodInfo, nodes: Sequence[NodeInfo], cache: Cache,
            keys: Sequence[str]) -> dict[str, int]:
    """Count matches by domain, over the nodes that the constraint's policies include and that carry all `keys`."""
    per_node = matches_per_node(cache, pod.namespace, constraint.selector)
    check = constraint.honor_affinity and ("nodeAffinity" in pod.affinity or pod.spec.get("nodeSelector"))
    domains: dict[str, int] = {}
    for node in nodes:
        value = node.labels.get(constraint.key)
        if value is None or any(key not in node.labels for key in keys):
            continue
        if check and not required_matches(pod.spec, node.name, node.labels):
            continue
        if constraint.honor_taints and untolerated(node.taints, pod.spec.get("tolerations") or (), HARD):
            continue
        domains[value] = domains.get(value, 0) + per_node.get(node.name, 0)
    return domains


class PodTopologySpread(Plugin):
    """`default_selector` finds the selector of the pod's Services and controller; None when there is none."""

    name = "PodTopologySpread"
    weight = 2

    def __init__(self, default_selector: Callable[[PodInfo], Selector | None] = lambda pod: None) -> None:
        self._default_selector = default_selector

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        constraints = constraints_of(pod, "DoNotSchedule")
        if not constraints:
            return SKIP
        keys = [c.key for c in constraints]
        counts = [_counts(c, pod, cache.node_list, cache, keys) for c in constraints]
        lowest = [0 if len(found) < c.min_domains else min(found.values(), default=0)
                  for c, found in zip(constraints, counts, strict=True)]
        return SpreadState(constraints, counts, lowest)

    def filter(self, state: SpreadState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        for constraint, counts, lowest in zip(state.constraints, state.counts, state.lowest, strict=True):
            value = node.labels.get(constraint.key)
            if value is None:
                return NO_LABEL
            itself = int(constraint.selector.matches(pod.labels))
            if counts.get(value, 0) + itself - lowest > constraint.max_skew:
                return SKEWED
        return None

    def pre_score(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> Any:
        require_all = bool(pod.spec.get("topologySpreadConstraints"))
        constraints = constraints_of(pod, "ScheduleAnyway") if require_all else self._defaults(pod)
        if not constraints or len(nodes) < 2:
            return SKIP
        keys = [c.key for c in constraints] if require_all else []
        counts = [matches_per_node(cache, pod.namespace, c.selector) if c.key == HOSTNAME
                  else _counts(c, pod, cache.node_list, cache, keys) for c in constraints]
        return SpreadState(constraints, counts, [], require_all)

    def _defaults(self, pod: PodInfo) -> list[Constraint]:
        selector = self._default_selector(pod)
        return [] if selector is None else [Constraint(key, skew, selector) for key, skew in DEFAULT_CONSTRAINTS]

    def scores(self, state: SpreadState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        ignored = {n.name for n in nodes if state.require_all and any(c.key not in n.labels for c in state.constraints)}
        costs = [0.0] * len(nodes)
        for constraint, counts in zip(state.constraints, state.counts, strict=True):
            key, base = constraint.key, constraint.max_skew - 1
            domains = (len(nodes) - len(ignored) if key == HOSTNAME
                       else len({n.labels[key] for n in nodes if key in n.labels and n.name not in ignored}))
            weight = math.log(domains + 2)
            for i, node in enumerate(nodes):
                value = node.labels.get(key)
                if value is not None:
                    costs[i] += counts.get(node.name if key == HOSTNAME else value, 0) * weight + base
        rounded = [round(cost) for cost in costs]
        kept = [cost for cost, node in zip(rounded, nodes, strict=True) if node.name not in ignored] or [0]
        low, high = min(kept), max(kept)
        if high == 0:
            return [0 if node.name in ignored else MAX_SCORE for node in nodes]
        return [0 if node.name in ignored else MAX_SCORE * (high + low - cost) // high
                for cost, node in zip(rounded, nodes, strict=True)]

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind == "Node":
            return True
        seen = event.new or event.old
        if seen is None or seen["metadata"].get("namespace", "") != pod.namespace:
            return False
        labels = [o["metadata"].get("labels") or {} for o in (event.new, event.old) if o is not None]
        return any(c.selector.matches(found) for c in constraints_of(pod, "DoNotSchedule") for found in labels)
