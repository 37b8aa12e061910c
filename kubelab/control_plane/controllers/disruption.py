"""Disruption controller: work out how many pods of an application may be taken away on purpose just now.

    Pod event ─► the keys of the budgets that select it ─┐
    PDB event ─► its own key ────────────────────────────┴─► reconcile ─► status.disruptionsAllowed

The API server spends the allowance (pods/eviction) and notes each pod in status.disruptedPods until it is gone. A pod
that was to be disrupted and is still there two minutes later is a target no more.

Invariant: what cannot be worked out allows nothing.
Models:    kube-controller-manager, disruption-controller
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.pod_owner import write_status
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_finished, is_ready
from kubelab.machinery import intstr
from kubelab.machinery.clock import Clock, parse_timestamp, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import controller_of, get_condition, is_terminating, key_of
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import Selector, from_label_selector
from kubelab.units.columns import selector_text

SCALED = {"ReplicaSet": "replicasets.apps", "StatefulSet": "statefulsets.apps",
          "ReplicationController": "replicationcontrollers", "Deployment": "deployments.apps"}
GONE_IN_S = 120.0  # so long a pod that was let go counts as going
STALE = "stale:"  # keys of pods that were to be disrupted
TARGET, BY_KUBELET = "DisruptionTarget", "TerminationByKubelet"
UNMANAGED = ("Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the "
             "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for "
             'these pods please set ".spec.minAvailable" field of the PDB to an integer value.')


@dataclass(frozen=True, slots=True)
class Health:
    """What a budget reports: how many pods there should be, how many must and how many do work."""

    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        return max(0, self.healthy - self.desired) if self.expected > 0 else 0


def health_of(budget: Obj, pods: Sequence[Obj], scales: Sequence[int], going: Mapping[str, str]) -> Health:
    """Count. `scales`: the sizes that the pods' controllers want; `going`: names of pods that were let go."""
    spec = budget.get("spec") or {}
    healthy = sum(is_ready(pod) and not is_terminating(pod) and pod["metadata"]["name"] not in going for pod in pods)
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if most is not None:
        expected = sum(scales)
        return Health(expected, max(0, expected - intstr.resolve(most, expected, round_up=True)), healthy)
    if isinstance(least, str):
        expected = sum(scales)
        return Health(expected, intstr.resolve(least, expected, round_up=True), healthy)
    return Health(len(pods), least or 0, healthy)


def still_going(budget: Obj, pods: Sequence[Obj], now: float) -> tuple[dict[str, str], list[Obj]]:
    """Return which of the pods that were let go are still expected to go, and which should have gone by now."""
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    going: dict[str, str] = {}
    late: list[Obj] = []
    for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        pod = by_name.get(name)
        if pod is None or is_terminating(pod):
            continue
        if parse_timestamp(since) + GONE_IN_S > now:
            going[name] = since
        else:
            late.append(pod)
    return going, late


def status_of(budget: Obj, health: Health, going: Mapping[str, str], now: float, failure: str = "") -> dict[str, Any]:
    """Build the status; `failure` says why nothing could be worked out."""
    old, generation = budget.get("status") or {}, budget["metadata"].get("generation", 0)
    allowed = 0 if failure else health.allowed
    status: dict[str, Any] = {
        "observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": health.healthy,
        "desiredHealthy": health.desired, "expectedPods": health.expected}
    if failure:
        generation = old.get("observedGeneration", 0)  # the newest spec has not been worked out
        status = {**old, "disruptionsAllowed": 0}
    elif going:
        status["disruptedPods"] = dict(going)
    reason = "SyncFailed" if failure else "SufficientPods" if allowed else "InsufficientPods"
    condition = {"type": "DisruptionAllowed", "status": "True" if allowed else "False",
                 "observedGeneration": generation, "lastTransitionTime": timestamp(now), "reason": reason,
                 "message": failure}
    before = next((c for c in old.get("conditions") or () if c["type"] == "DisruptionAllowed"), None)
    if before is not None and before["status"] == condition["status"]:
        condition["lastTransitionTime"] = before["lastTransitionTime"]
    others = [c for c in old.get("conditions") or () if c["type"] != "DisruptionAllowed"]
    return {**status, "conditions": [*others, condition]}


def stale_in_s(pod: Obj, now: float) -> float | None:
    """Return in how many seconds a pod that was to be disrupted, and stays, is a target no more; None when it is none.

    What the kubelet ends may take any time, and what has ended is left as it is.
    """
    condition = get_condition(pod, TARGET)
    if condition is None or condition["status"] != "True" or condition.get("reason") == BY_KUBELET \
            or is_terminating(pod) or is_finished(pod):
        return None
    return max(parse_timestamp(condition["lastTransitionTime"]) + GONE_IN_S - now, 0.0)


def selector_of(budget: Obj) -> Selector | None:
    """Return a budget's selector; none selects no pod, an empty one all of the namespace."""
    selector = (budget.get("spec") or {}).get("selector")
    return None if selector is None else from_label_selector(selector)


class DisruptionController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder = client, recorder
        self.budgets = informers.of("poddisruptionbudgets.policy",
                                    indexers={"namespace": POD_INDEXERS["namespace"]})
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        self.scaled = {kind: informers.of(resource) for kind, resource in SCALED.items()}
        self.definitions = informers.of("customresourcedefinitions")
        super().__init__(name, clock=clock, journal=journal,
                         informers=(self.budgets, self.pods, self.definitions, *self.scaled.values()))
        self.budgets.on_event(lambda type_, budget, old: self.queue.add(key_of(budget)))
        self.pods.on_event(self._on_pod)

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        wait_s = stale_in_s(pod, self.clock.now()) if type_ != "DELETED" else None
        if wait_s is not None:
            self.queue.add_after(STALE + key_of(pod), wait_s)
        budgets = self.budgets.by_index("namespace", pod["metadata"]["namespace"])
        if not budgets or (type_ == "MODIFIED" and old is not None and _counted(pod) == _counted(old)):
            return
        labels = [o["metadata"].get("labels") or {} for o in (pod, old) if o is not None]
        for budget in budgets:
            selector = selector_of(budget)
            if selector is not None and any(selector.matches(one) for one in labels):
                self.queue.add(key_of(budget))

    async def reconcile(self, key: str) -> None:
        if key.startswith(STALE):
            await self._spare(key.removeprefix(STALE))
            return
        budget = self.budgets.get(key)
        if budget is None or is_terminating(budget):
            return
        now, selector = self.clock.now(), selector_of(budget)
        pods = [] if selector is None else [
            pod for pod in self.pods.by_index("namespace", budget["metadata"]["namespace"])
            if selector.matches(pod["metadata"].get("labels") or {})]
        if not pods:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        going, late = still_going(budget, pods, now)
        for pod in late:
            self.recorder.event(pod, "Warning", "NotDeleted",
                                f"Pod was expected by PDB {key} to be deleted but it wasn't")
        if going:
            self.queue.add_after(key, min(parse_timestamp(at) for at in going.values()) + GONE_IN_S - now)
        failure, scales = "", []
        try:
            scales = await self._scales(budget, pods)
        except LookupError as error:
            failure = str(error)
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed",
                                f"Failed to calculate the number of expected pods: {failure}")
        status = status_of(budget, health_of(budget, pods, scales, going), going, now, failure)
        if status != budget.get("status"):
            await write_status(self.client, "poddisruptionbudgets.policy", budget, status)

    async def _spare(self, key: str) -> None:
        """Say of a pod that it is no target any more, when its time has passed."""
        pod, now = self.pods.get(key), self.clock.now()
        wait_s = stale_in_s(pod, now) if pod is not None else None
        if pod is None or wait_s is None:
            return
        if wait_s > 0:
            self.queue.add_after(STALE + key, wait_s)
            return
        spared = {"type": TARGET, "status": "False", "lastTransitionTime": timestamp(now)}
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": [spared]}}
        try:
            await self.client.patch("pods", meta["name"], patch, meta["namespace"], type="strategic",
                                    subresource="status")
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or another one of the same name
                raise

    async def _scales(self, budget: Obj, pods: Sequence[Obj]) -> list[int]:
        """Return what size each controller of these pods wants. Raises `LookupError` for one that has no size."""
        spec = budget.get("spec") or {}
        if spec.get("maxUnavailable") is None and not isinstance(spec.get("minAvailable"), str):
            return []
        owners = {owner["uid"]: owner for pod in pods if (owner := controller_of(pod)) is not None}
        if any(controller_of(pod) is None for pod in pods):
            self.recorder.event(budget, "Warning", "UnmanagedPods",
                                UNMANAGED.format(selector_text(budget["spec"]["selector"])))
        found: dict[str, int] = {}
        for owner in owners.values():
            scaled = await self._scaled(budget["metadata"]["namespace"], owner)
            if scaled is not None:
                found[scaled["metadata"]["uid"]] = scaled["spec"].get("replicas", 0)
        return list(found.values())

    async def _scaled(self, namespace: str, owner: Obj) -> Obj | None:
        """Return the object that people scale, or its Scale: a ReplicaSet's Deployment; None when it has gone."""
        informer = self.scaled.get(owner["kind"]) if owner["apiVersion"] in ("v1", "apps/v1") else None
        if informer is None:
            return await self._custom_scale(namespace, owner)
        found = informer.get(f"{namespace}/{owner['name']}")
        if found is None or found["metadata"]["uid"] != owner["uid"]:
            return None
        above = controller_of(found)
        return await self._scaled(namespace, above) if above is not None and above["kind"] == "Deployment" else found

    async def _custom_scale(self, namespace: str, owner: Obj) -> Obj | None:
        """Ask for the Scale of a custom resource."""
        group, _, version = owner["apiVersion"].rpartition("/")
        definition = next((crd["spec"] for crd in self.definitions.list()
                           if (crd["spec"]["group"], crd["spec"]["names"]["kind"]) == (group, owner["kind"])), None)
        plural = definition["names"]["plural"] if definition else f"{owner['kind'].lower()}s"
        if definition is None or not any((served.get("subresources") or {}).get("scale")
                                         for served in definition["versions"] if served["name"] == version):
            raise LookupError(f"{plural}.{group} does not implement the scale subresource")
        path = f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{owner['name']}/scale"
        try:
            scale: Obj = await self.client.raw("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return scale if scale["metadata"]["uid"] == owner["uid"] else None


def _counted(pod: Obj) -> tuple[Any, ...]:
    return is_ready(pod), is_terminating(pod), pod["metadata"].get("labels"), controller_of(pod)
