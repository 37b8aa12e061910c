"""The decisions of a DaemonSet: on which nodes a pod belongs, which pods are too many, which give way to new ones.

    node ─► may run there? may stay there? ─► pods on it ─► make · keep · give up

Invariant: pure functions; the same nodes and pods give the same plan.
Models:    the inner half of pkg/controller/daemon
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.controllers.pods import available_in, is_active
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


def plan_daemons(daemon: Obj, nodes: Sequence[Obj], pods: Sequence[Obj], surging: bool = False) -> Plan:
    """Compare where pods are with where they belong. `surging`: an update may show two on one node for a while."""
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
            running = sorted((p for p in here if is_active(p)), key=lambda p: (
                not p["spec"].get("nodeName"), p["metadata"].get("creationTimestamp", ""), p["metadata"]["name"]))
            delete += [*over, *(running[1:] if not surging else running[2:])]
        else:
            delete += [p for p in here if not is_terminating(p)]
    for name, left in on.items():  # nodes that are no more
        delete += [p for p in left if name and not is_terminating(p) and not p["spec"].get("nodeName")]
    return Plan(tuple(create), tuple(delete), tuple(ended), belongs)


def is_available(daemon: Obj, pod: Obj, now: float) -> bool:
    return not is_terminating(pod) and available_in(pod, daemon["spec"].get("minReadySeconds", 0), now) == 0.0


def allowances(daemon: Obj, desired: int) -> tuple[int, int]:
    """Return how many nodes may be without a working pod during an update, and how many may have two."""
    rolling = daemon["spec"]["updateStrategy"].get("rollingUpdate") or {}
    surge = intstr.resolve(rolling.get("maxSurge", 0), desired, round_up=True)
    unavailable = intstr.resolve(rolling.get("maxUnavailable", 1), desired, round_up=True)
    return (unavailable or (0 if surge else 1)), surge


def plan_update(daemon: Obj, belongs: Mapping[str, bool], pods: Sequence[Obj], digest: str, now: float) -> Plan:
    """Decide which pods of an older template go now, and on which nodes a second one begins before that."""
    if daemon["spec"]["updateStrategy"]["type"] != "RollingUpdate":
        return Plan()
    on, wanted = by_node(p for p in pods if is_active(p)), [name for name, begin in belongs.items() if begin]
    unavailable, surge = allowances(daemon, len(wanted))
    broken, working, second, done, without = [], [], [], [], 0
    surging = 0
    for name in wanted:
        here = on.get(name, [])
        old = [p for p in here if not is_current(daemon, p, digest)]
        new = [p for p in here if is_current(daemon, p, digest)]
        if not any(is_available(daemon, p, now) for p in here):
            without += 1
        surging += bool(old and new)
        if old and not is_available(daemon, old[0], now):
            broken.append(old[0])
        elif old and new and is_available(daemon, new[0], now):
            done.append(old[0])
        elif old and not new:
            working.append(old[0])
            second.append(name)
    if surge:
        return Plan(create=tuple(second[:max(0, surge - surging)]), delete=(*broken, *done))
    return Plan(delete=(*broken, *working[:max(0, unavailable - without)]))


def status_of(daemon: Obj, belongs: Mapping[str, bool], pods: Sequence[Obj], digest: str, now: float) -> dict[str, Any]:
    """Count nodes, not pods."""
    on = by_node(p for p in pods if is_active(p))
    desired = [name for name, begin in belongs.items() if begin]
    have = [on[name] for name in desired if on.get(name)]
    firsts = [sorted(here, key=lambda p: not is_available(daemon, p, now))[0] for here in have]
    ready = sum(is_available({"spec": {}}, pod, now) for pod in firsts)
    available = sum(is_available(daemon, pod, now) for pod in firsts)
    status: dict[str, Any] = {
        "currentNumberScheduled": len(have),
        "numberMisscheduled": sum(not begin and bool(on.get(name)) for name, begin in belongs.items()),
        "desiredNumberScheduled": len(desired), "numberReady": ready,
        "observedGeneration": daemon["metadata"].get("generation", 0)}
    for key, count in (("updatedNumberScheduled", sum(any(is_current(daemon, p, digest) for p in here)
                                                      for here in have)),
                       ("numberAvailable", available), ("numberUnavailable", len(desired) - available)):
        if count:
            status[key] = count
    return status
