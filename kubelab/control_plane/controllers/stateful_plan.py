"""The decisions of a StatefulSet: which of its pods comes next, which goes next, what it reports.

    pods by ordinal ─► missing (lowest first) · condemned (highest first) · out of date (highest first, one at a time)
                       OrderedReady: one step at a time, and only while all before are ready

Invariant: pure functions; two pods of one name are never wanted at once.
Models:    the inner half of pkg/controller/statefulset
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.control_plane.controllers.pods import available_in, is_ready
from kubelab.control_plane.controllers.stateful_claims import claim_name
from kubelab.machinery.meta import is_terminating
from kubelab.machinery.request import Obj

HASH_LABEL = "controller.kubernetes.io/hash"
REVISION_LABEL, NAME_LABEL, INDEX_LABEL = ("controller-revision-hash", "statefulset.kubernetes.io/pod-name",
                                           "apps.kubernetes.io/pod-index")


def ordinal_of(stateful: Obj, pod: Obj) -> int | None:
    """Return a pod's number, None when it does not bear the set's name."""
    parent, _, number = str(pod["metadata"]["name"]).rpartition("-")
    return int(number) if parent == stateful["metadata"]["name"] and number.isdigit() else None


def ordinals(stateful: Obj) -> range:
    start = (stateful["spec"].get("ordinals") or {}).get("start", 0)
    return range(start, start + stateful["spec"].get("replicas", 1))


def pod_of(stateful: Obj, base: Obj, ordinal: int, revision: str) -> Obj:
    """Make the pod with a number of one made from the template."""
    name = f"{stateful['metadata']['name']}-{ordinal}"
    labels = {**(base["metadata"].get("labels") or {}), NAME_LABEL: name, INDEX_LABEL: str(ordinal),
              REVISION_LABEL: revision}
    spec = {**base["spec"], "hostname": name}
    if stateful["spec"].get("serviceName"):
        spec["subdomain"] = stateful["spec"]["serviceName"]
    templates = stateful["spec"].get("volumeClaimTemplates") or ()
    if templates:
        own = {t["metadata"]["name"]: claim_name(t, stateful, ordinal) for t in templates}
        others = [v for v in spec.get("volumes") or () if v["name"] not in own]
        spec["volumes"] = [*({"name": n, "persistentVolumeClaim": {"claimName": c}} for n, c in own.items()), *others]
    return {**base, "metadata": {**base["metadata"], "name": name, "labels": labels}, "spec": spec}


def revision_of(pod: Obj) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


@dataclass(frozen=True, slots=True)
class Revisions:
    """Names of two ControllerRevisions: the one before an update, and the one it leads to; often the same."""

    current: str
    update: str


@dataclass(frozen=True, slots=True)
class Plan:
    create: tuple[tuple[int, str], ...] = ()  # (ordinal, revision)
    delete: tuple[Obj, ...] = ()


def is_running_and_ready(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running" and is_ready(pod)


def is_healthy(pod: Obj) -> bool:
    return is_running_and_ready(pod) and not is_terminating(pod)


def is_available(stateful: Obj, pod: Obj, now: float) -> bool:
    wait_s = available_in(pod, stateful["spec"].get("minReadySeconds", 0), now)
    return is_healthy(pod) and wait_s == 0.0


def is_ended(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def by_ordinal(stateful: Obj, pods: Iterable[Obj]) -> dict[int, Obj]:
    return {number: pod for pod in pods if (number := ordinal_of(stateful, pod)) is not None}


def wanted_revision(stateful: Obj, ordinal: int, revisions: Revisions) -> str:
    """Say which template a new pod is made from: below the partition it is still the earlier one."""
    strategy = stateful["spec"]["updateStrategy"]
    if strategy["type"] != "RollingUpdate":
        return revisions.update
    start = ordinals(stateful).start
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    return revisions.current if ordinal < start + partition else revisions.update


def plan_stateful(stateful: Obj, pods: Sequence[Obj], revisions: Revisions, now: float) -> Plan:
    """Say what to do next; with OrderedReady that is one thing, with Parallel as much as can be done."""
    have, want = by_ordinal(stateful, pods), ordinals(stateful)
    monotonic = stateful["spec"].get("podManagementPolicy") != "Parallel"
    create: list[tuple[int, str]] = []
    delete: list[Obj] = []
    for number in want:
        pod = have.get(number)
        if pod is None:
            create.append((number, wanted_revision(stateful, number, revisions)))
        elif is_ended(pod):
            if not is_terminating(pod):
                delete.append(pod)
        elif is_available(stateful, pod, now):
            continue
        if monotonic:
            return Plan(tuple(create), tuple(delete))
    condemned = [have[number] for number in sorted(have, reverse=True) if number not in want]
    if monotonic:
        if condemned:
            return Plan(delete=_highest(stateful, condemned, now))
    else:
        delete += [pod for pod in condemned if not is_terminating(pod)]
        if create or delete:
            return Plan(tuple(create), tuple(delete))
    return Plan(delete=_outdated(stateful, have, revisions, now))


def _highest(stateful: Obj, condemned: Sequence[Obj], now: float) -> tuple[Obj, ...]:
    """Return the first of those to give up, the highest, unless another that is not well has to be seen to before."""
    first = condemned[0]
    sick = next((pod for pod in reversed(condemned) if not is_healthy(pod)), None)
    if is_terminating(first) or (first is not sick and not is_available(stateful, first, now)):
        return ()
    return (first,)


def _outdated(stateful: Obj, have: Mapping[int, Obj], revisions: Revisions, now: float) -> tuple[Obj, ...]:
    """Return the pod that gives way to the new template now: the highest, once all above it are there and well."""
    strategy, want = stateful["spec"]["updateStrategy"], ordinals(stateful)
    if strategy["type"] != "RollingUpdate":
        return ()
    for number in reversed(want[(strategy.get("rollingUpdate") or {}).get("partition", 0):]):
        pod = have.get(number)
        if pod is not None and revision_of(pod) != revisions.update and not is_terminating(pod):
            return (pod,)
        if pod is None or not is_available(stateful, pod, now):
            return ()
    return ()


def status_of(stateful: Obj, pods: Sequence[Obj], revisions: Revisions, now: float) -> dict[str, Any]:
    """Count pods; when all of them carry the new template, it is the current one."""
    have = list(by_ordinal(stateful, pods).values())
    going = [pod for pod in have if not is_terminating(pod)]
    current = sum(revision_of(pod) == revisions.current for pod in going)
    updated = sum(revision_of(pod) == revisions.update for pod in going)
    ready = [pod for pod in have if is_running_and_ready(pod)]
    min_ready_s = stateful["spec"].get("minReadySeconds", 0)
    status: dict[str, Any] = {"observedGeneration": stateful["metadata"].get("generation", 0), "replicas": len(have),
                              "collisionCount": 0, "currentRevision": revisions.current,
                              "updateRevision": revisions.update,
                              "availableReplicas": sum(available_in(pod, min_ready_s, now) == 0.0 for pod in ready)}
    want = len(ordinals(stateful))
    rolling = stateful["spec"]["updateStrategy"]["type"] == "RollingUpdate"
    if rolling and updated == len(have) == want == len(ready) and revisions.current != revisions.update:
        status["currentRevision"], current = revisions.update, updated
    for key, count in (("readyReplicas", len(ready)), ("currentReplicas", current), ("updatedReplicas", updated)):
        if count:
            status[key] = count
    if (stateful.get("status") or {}).get("conditions"):
        status["conditions"] = stateful["status"]["conditions"]
    return status
