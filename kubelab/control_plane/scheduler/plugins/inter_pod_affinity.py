"""InterPodAffinity: place pods near to, or away from, other pods, in the same domain of a node label.

    incoming pod's required terms  ─┐
    existing pods' anti-affinity   ─┴─► filter: count per (topology key, value)
    preferred terms of both sides  ───► score

Invariant: the first pod of a group that wants to be near itself is let in.
Models:    pkg/scheduler/framework/plugins/interpodaffinity
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import MAX_SCORE, SKIP, ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.control_plane.scheduler.plugins.pod_topology_spread import label_selector
from kubelab.machinery.selectors import Selector, from_label_selector

NOT_NEAR = Rejection(("node(s) didn't match pod affinity rules",), helpless=True)
TOO_NEAR = Rejection(("node(s) didn't match pod anti-affinity rules",))
UNWELCOME = Rejection(("node(s) didn't satisfy existing pods anti-affinity rules",))
HARD_AFFINITY_WEIGHT = 1  # what a required affinity of an existing pod adds to the score of its domain
Domain = tuple[str, str]  # topology key and value


@dataclass(frozen=True, slots=True)
class Term:
    """One (anti-)affinity term, with everything that belongs to the pod that has it filled in."""

    key: str
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector | None
    weight: int = 1

    def matches(self, namespace: str, labels: Mapping[str, str], cache: Cache) -> bool:
        if namespace not in self.namespaces and not (
                self.namespace_selector and self.namespace_selector.matches(cache.namespace_labels.get(namespace, {}))):
            return False
        return self.selector.matches(labels)


def terms_of(pod: PodInfo, which: str, when: str) -> list[Term]:
    """Read e.g. ("podAntiAffinity", "required") of a pod."""
    found = []
    for entry in pod.terms(which, when):
        term = entry.get("podAffinityTerm", entry)
        chosen = term.get("namespaceSelector")
        named = term.get("namespaces") or ([pod.namespace] if chosen is None else [])
        selector = label_selector(term, pod.labels) if "labelSelector" in term else from_label_selector(None)
        found.append(Term(term["topologyKey"], selector, frozenset(named),
                          None if chosen is None else from_label_selector(chosen), entry.get("weight", 1)))
    return found


@dataclass(slots=True)
class AffinityState:
    near: list[Term] = field(default_factory=list)
    away: list[Term] = field(default_factory=list)
    near_counts: dict[Domain, int] = field(default_factory=dict)
    away_counts: dict[Domain, int] = field(default_factory=dict)
    unwelcome: set[Domain] = field(default_factory=set)
    first_of_its_kind: bool = False


def _add_group(counts: dict[Domain, int], term: Term, nodes: Mapping[str, int], cache: Cache, weight: int = 1) -> None:
    for name, count in nodes.items():
        info = cache.nodes.get(name)
        value = info.labels.get(term.key) if info else None
        if value is not None:
            counts[term.key, value] = counts.get((term.key, value), 0) + weight * count


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    weight = 2

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        state = AffinityState(terms_of(pod, "podAffinity", "required"), terms_of(pod, "podAntiAffinity", "required"))
        for other in cache.with_affinity.values():
            node = cache.nodes.get(other.node_name)
            for term in terms_of(other, "podAntiAffinity", "required"):
                if node and term.key in node.labels and term.matches(pod.namespace, pod.labels, cache):
                    state.unwelcome.add((term.key, node.labels[term.key]))
        if not (state.near or state.away or state.unwelcome):
            return SKIP
        if state.near or state.away:
            self._count(state, pod, cache)
        return state

    @staticmethod
    def _count(state: AffinityState, pod: PodInfo, cache: Cache) -> None:
        for (namespace, items, _), nodes in cache.groups.items():
            labels = dict(items)
            if state.near and all(term.matches(namespace, labels, cache) for term in state.near):
                for term in state.near:
                    _add_group(state.near_counts, term, nodes, cache)
            for term in state.away:
                if term.matches(namespace, labels, cache):
                    _add_group(state.away_counts, term, nodes, cache)
        state.first_of_its_kind = not state.near_counts and all(
            term.matches(pod.namespace, pod.labels, cache) for term in state.near)

    def filter(self, state: AffinityState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        labels = node.labels
        if any(term.key not in labels for term in state.near):
            return NOT_NEAR
        if not all(state.near_counts.get((t.key, labels[t.key])) for t in state.near) and not state.first_of_its_kind:
            return NOT_NEAR
        if any(state.away_counts.get((t.key, labels.get(t.key, ""))) for t in state.away):
            return TOO_NEAR
        if any(labels.get(key) == value for key, value in state.unwelcome):
            return UNWELCOME
        return None

    def pre_score(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> Any:
        signed = [(1, t) for t in terms_of(pod, "podAffinity", "preferred")]
        signed += [(-1, t) for t in terms_of(pod, "podAntiAffinity", "preferred")]
        scores: dict[Domain, int] = {}
        if signed:
            for (namespace, items, _), counts in cache.groups.items():
                labels = dict(items)
                for sign, term in signed:
                    if term.matches(namespace, labels, cache):
                        _add_group(scores, term, counts, cache, sign * term.weight)
        for other in cache.with_affinity.values():
            for term, weight in self._opinions(other):
                if term.matches(pod.namespace, pod.labels, cache):
                    _add_group(scores, term, {other.node_name: 1}, cache, weight)
        return scores or SKIP

    @staticmethod
    def _opinions(other: PodInfo) -> list[tuple[Term, int]]:
        """What an existing pod thinks of newcomers in its domain."""
        return [*((t, HARD_AFFINITY_WEIGHT) for t in terms_of(other, "podAffinity", "required")),
                *((t, t.weight) for t in terms_of(other, "podAffinity", "preferred")),
                *((t, -t.weight) for t in terms_of(other, "podAntiAffinity", "preferred"))]

    def scores(self, state: dict[Domain, int], pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        raw = [sum(score for (key, value), score in state.items() if node.labels.get(key) == value) for node in nodes]
        low, high = min(raw), max(raw)
        return [MAX_SCORE * (score - low) // (high - low) if high > low else 0 for score in raw]

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        """A node may open a domain; a pod may arrive that this one wants near, or one may leave that was in the way."""
        if event.kind == "Node":
            return event.action != "delete"
        near = bool(pod.terms("podAffinity", "required"))
        return event.action == "update" or (event.action == "add" and near) or event.action == "delete"
