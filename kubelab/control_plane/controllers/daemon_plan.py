"""The decisions of a DaemonSet: on which nodes a pod belongs, which pods are too many, which give way to new ones.

    node ─► may run there? may stay there? ─► pods on it ─► make · keep · give up

Invariant: pure functions; the same nodes and pods give the same plan.
Models:    the inner half of pkg/controller/daemon
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.controllers.pods import available_in, is_active, is_finished, is_ready
from kubelab.machinery import intstr
from kubelab.machinery.meta import is_terminating
from kubelab.machinery.node_selection import required_matches
from kubelab.machinery.request import Obj
from kubelab.machinery.taints import untolerated
from kubelab.units.daemonset import GENERATION

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
NODE = "node.kubernetes.io/"
# A daemon belongs on a node even while it is not well.
TOLERATED = (("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"),
             ("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"))
ON_HOST_NETWORK = ("network-unavailable", "NoSchedule")
_NAME_FIELD = "metadata.name"


def tolerations(spec: Obj) -> list[Obj]:
    """Return a daemon pod's tolerations: its own, and those of every daemon."""
    extra = (*TOLERATED, ON_HOST_NETWORK) if spec.get("hostNetwork") else TOLERATED
    own = list(spec.get("tolerations") or ())
    return own + [t for name, effect in extra
                  if (t := {"key": NODE + name, "operator": "Exists", "effect": effect}) not in own]


def fit(daemon: Obj, node: Obj) -> tuple[bool, bool]:
    """Say whether a daemon's pod may begin on a node, and whether one that is there may stay."""
    spec, meta = daemon["spec"]["template"]["spec"], node["metadata"]
    if spec.get("nodeName") and spec["nodeName"] != meta["name"]:
        return False, False
    if not required_matches(spec, meta["name"], meta.get("labels") or {}):
        return False, False
    taints, allowed = (node.get("spec") or {}).get("taints") or (), tolerations(spec)
    if untolerated(taints, allowed, ("NoSchedule", "NoExecute")) is None:
        return True, True
    return False, untolerated(taints, allowed, ("NoExecute",)) is None


def node_of(pod: Obj) -> str:
    """Return the node a daemon pod is on or is meant for."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    for term in (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ():
        for wanted in term.get("matchFields") or ():
            if wanted["key"] == _NAME_FIELD and wanted["operator"] == "In" and len(wanted["values"]) == 1:
                return str(wanted["values"][0])
    return ""


def meant_for(base: Obj, node: str) -> Obj:
    """Give a pod made from the template the node it is for; the scheduler still binds it."""
    wanted = {"matchFields": [{"key": _NAME_FIELD, "operator": "In", "values": [node]}]}
    spec = base["spec"]
    affinity = dict(spec.get("affinity") or {})
    old = dict(affinity.get("nodeAffinity") or {})
    terms = (old.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    old["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [
        {**term, **wanted} for term in terms] or [wanted]}
    return {**base, "spec": {**spec, "affinity": {**affinity, "nodeAffinity": old}, "tolerations": tolerations(spec)}}


def is_current(daemon: Obj, pod: Obj, digest: str) -> bool:
    """Say whether a pod was made from the current template."""
    labels = pod["metadata"].get("labels") or {}
    generation = (daemon["metadata"].get("annotations") or {}).get(GENERATION)
    return labels.get(HASH_LABEL) == digest or (generation is not None and labels.get(GENERATION_LABEL) == generation)


@dataclass(frozen=True, slots=True)
class Plan:
    create: tuple[str, ...] = ()  # the nodes
    delete: tuple[Obj, ...] = ()
    ended: tuple[Obj, ...] = ()  # those of `delete` that ended by themselves
    belongs: Mapping[str, bool] = field(default_factory=dict)  # by node: may a pod begin there


def by_node(pods: Iterable[Obj]) -> dict[str, list[Obj]]:
    found: dict[str, list[Obj]] = {}
    for pod in pods:
        found.setdefault(node_of(pod), []).append(pod)
    return found


def plan_daemons(daemon: Obj, nodes: Sequence[Obj], pods: Sequence[Obj], digest: str = "", now: float = 0.0) -> Plan:
    """Compare where pods are with where they belong; `digest` is that of the current template."""
    on, create, belongs = by_node(pods), [], {}
    delete: list[Obj] = []
    ended: list[Obj] = []
    for node in nodes:
        name = node["metadata"]["name"]
        begin, stay = fit(daemon, node)
        belongs[name] = begin
        here = on.pop(name, [])
        if begin and not here:
            create.append(name)
        elif stay:
            over = [p for p in here if (p.get("status") or {}).get("phase") in ("Failed", "Succeeded")
                    and not is_terminating(p)]
            ended += over
            delete += [*over, *_too_many(daemon, [p for p in here if is_active(p)], digest, now)]
        else:
            delete += [p for p in here if not is_terminating(p)]
    for name, left in on.items():  # nodes that are no more
        delete += [p for p in left if name and not is_terminating(p) and not p["spec"].get("nodeName")]
    return Plan(tuple(create), tuple(delete), tuple(ended), belongs)


def by_age(pods: Iterable[Obj]) -> list[Obj]:
    """Sort the pods of a node: those that were bound first, then the oldest."""
    return sorted(pods, key=lambda p: (not p["spec"].get("nodeName"), p["metadata"].get("creationTimestamp", ""),
                                       p["metadata"]["name"]))


def _too_many(daemon: Obj, running: Iterable[Obj], digest: str, now: float) -> list[Obj]:
    """Return all pods of a node but the oldest; with a surge a second one of the new template may begin beside it."""
    pods = by_age(running)
    if not allowances(daemon, 1)[1] or daemon["spec"]["updateStrategy"]["type"] != "RollingUpdate":
        return pods[1:]
    new = [p for p in pods if (p["metadata"].get("labels") or {}).get(HASH_LABEL) == digest]
    old = [p for p in pods if p not in new]
    over = [p for p in pods if p in new[1:] or p in old[1:]]
    if new and old and (not is_ready(old[0]) or is_available(daemon, new[0], now)):
        over.append(old[0])
    return over


def is_available(daemon: Obj, pod: Obj, now: float) -> bool:
    return not is_terminating(pod) and available_in(pod, daemon["spec"].get("minReadySeconds", 0), now) == 0.0


def allowances(daemon: Obj, desired: int) -> tuple[int, int]:
    """Return how many nodes may be without a working pod during an update, and how many may have two."""
    rolling = daemon["spec"]["updateStrategy"].get("rollingUpdate") or {}
    surge = intstr.resolve(rolling.get("maxSurge", 0), desired, round_up=True)
    unavailable = intstr.resolve(rolling.get("maxUnavailable", 1), desired, round_up=True)
    return (unavailable or (0 if surge else 1)), surge


def plan_update(daemon: Obj, belongs: Mapping[str, bool], pods: Sequence[Obj], digest: str, now: float) -> Plan:
    """Decide which pods of an older template go now, or on which nodes a second one begins before that."""
    if daemon["spec"]["updateStrategy"]["type"] != "RollingUpdate":
        return Plan()
    on, wanted = by_node(pods), [name for name, begin in belongs.items() if begin]
    unavailable, surge = allowances(daemon, len(wanted))
    here = {name: _old_and_new(daemon, on.get(name, ()), digest) for name in dict.fromkeys((*wanted, *on))}
    return _surge(daemon, here, surge, now) if surge else _replace(daemon, here, unavailable, now)


def _old_and_new(daemon: Obj, pods: Iterable[Obj], digest: str) -> tuple[list[Obj], list[Obj]]:
    """Return the pods of a node that stay for now, by template."""
    staying = [pod for pod in pods if not is_terminating(pod)]
    new = [pod for pod in staying if is_current(daemon, pod, digest)]
    return [pod for pod in staying if pod not in new], new


def _replace(daemon: Obj, here: Mapping[str, tuple[list[Obj], list[Obj]]], most: int, now: float) -> Plan:
    """Give up old pods: those that do not work, and of the others as many as may be missing."""
    broken: list[Obj] = []
    working: list[Obj] = []
    missing = 0
    for old, new in here.values():
        if (len(old), len(new)) == (1, 0):
            (working if is_available(daemon, old[0], now) else broken).append(old[0])
        elif (len(old), len(new)) != (0, 1) or not is_available(daemon, new[0], now):
            missing += 1  # none, or too many: that is put right elsewhere
    return Plan(delete=(*broken, *working[:max(0, most - missing)]))


def _surge(daemon: Obj, here: Mapping[str, tuple[list[Obj], list[Obj]]], most: int, now: float) -> Plan:
    """Begin new pods beside old ones, and give the old ones up when the new ones work."""
    at_once: list[str] = []
    later: list[str] = []
    done, under_way = [], 0
    for node, (old, new) in here.items():
        if len(old) > 1 or len(new) > 1:
            under_way += 1
        elif old and new:
            if is_available(daemon, new[0], now):
                done.append(old[0])
            else:
                under_way += 1
        elif old:
            (later if is_available(daemon, old[0], now) else at_once).append(node)
    return Plan(create=(*at_once, *later[:max(0, most - under_way)]), delete=tuple(done))


def status_of(daemon: Obj, belongs: Mapping[str, bool], pods: Sequence[Obj], digest: str, now: float) -> dict[str, Any]:
    """Count nodes, not pods; of several pods on a node the oldest counts."""
    on = by_node(p for p in pods if not (is_terminating(p) and is_finished(p)))
    desired = [name for name, begin in belongs.items() if begin]
    firsts = [by_age(on[name])[0] for name in desired if on.get(name)]
    ready = [pod for pod in firsts if is_ready(pod)]
    available = sum(available_in(pod, daemon["spec"].get("minReadySeconds", 0), now) == 0.0 for pod in ready)
    status: dict[str, Any] = {
        "currentNumberScheduled": len(firsts),
        "numberMisscheduled": sum(not begin and bool(on.get(name)) for name, begin in belongs.items()),
        "desiredNumberScheduled": len(desired), "numberReady": len(ready),
        "observedGeneration": daemon["metadata"].get("generation", 0)}
    for key, count in (("updatedNumberScheduled", sum(is_current(daemon, pod, digest) for pod in firsts)),
                       ("numberAvailable", available), ("numberUnavailable", len(desired) - available)):
        if count:
            status[key] = count
    return status
