"""Eviction: a pod leaves when its PodDisruptionBudget can spare it.

    POST pods/x/eviction ─► the one budget that selects it ─► disruptionsAllowed - 1 (compare and swap) ─► delete
                                                └─ 0 ─► 429, cause DisruptionBudget

Invariant: of evictions at the same time no more pass than the budget allows; the controller counts afresh later.
Models:    pkg/registry/core/pod/storage/eviction.go
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.storage import Changed, Storage
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError, forbidden
from kubelab.machinery.meta import get_condition, with_condition
from kubelab.machinery.request import Encoded, Obj
from kubelab.machinery.selectors import from_label_selector

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
ALLOWED = "DisruptionAllowed"
MAX_UNCONFIRMED = 2000
RETRY_S = 10


class Budgets:
    """The disruption budgets of the cluster, as evictions use them up."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage, self._clock = storage, clock

    async def spare(self, pod: Obj, *, dry_run: bool) -> None:
        """Charge the pod's budget with its eviction. Raises `TooManyRequests` when that cannot spare it."""
        if "deletionTimestamp" in pod["metadata"] or _phase(pod) in ("Succeeded", "Failed", "Pending"):
            return  # that disruption has happened already
        found = self._selecting(pod)
        if len(found) > 1:
            raise ApiError(500, "", SEVERAL)
        if not found or _may_go_unready(pod, found[0].obj):
            return
        collection = self._storage.of("policy", "poddisruptionbudgets")
        metadata = found[0].obj["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"

        def charged(budget: Obj) -> Obj | None:
            new = self._charged(budget, pod["metadata"]["name"])
            return None if dry_run else new

        try:
            await self._storage.change(collection, key, charged)  # one of the allowed disruptions is taken
        except Changed:
            why = f"Timeout: couldn't update PodDisruptionBudget \"{metadata['name']}\" due to conflicts"
            raise ApiError(504, "Timeout", why, {"retryAfterSeconds": RETRY_S}) from None

    def _selecting(self, pod: Obj) -> list[Encoded]:
        collection = self._storage.collections.get(("policy", "poddisruptionbudgets"))
        labels = pod["metadata"].get("labels") or {}
        if collection is None:
            return []
        bodies = (collection.objects[key] for key in collection.range(pod["metadata"]["namespace"]))
        return [body for body in bodies if (body.obj.get("spec") or {}).get("selector") is not None
                and from_label_selector(body.obj["spec"]["selector"]).matches(labels)]

    def _charged(self, budget: Obj, pod_name: str) -> Obj:
        """Return the budget with one disruption less. Raises `TooManyRequests`, `Forbidden`."""
        status, metadata = budget.get("status") or {}, budget["metadata"]
        name, left = metadata["name"], status.get("disruptionsAllowed", 0)
        if status.get("observedGeneration", 0) < metadata.get("generation", 0):
            raise _too_many(f"The disruption budget {name} is still being processed by the server.", RETRY_S)
        if left < 0:
            raise forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
        disrupted = status.get("disruptedPods") or {}
        if len(disrupted) > MAX_UNCONFIRMED:
            raise forbidden("policy", "poddisruptionbudget", name,
                            "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
        if left == 0:
            condition = get_condition(budget, ALLOWED) or {}
            if condition.get("reason") == "SyncFailed" and condition.get("message"):
                raise _too_many(condition["message"])
            raise _too_many(f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and "
                            f"has {status.get('currentHealthy', 0)} currently")
        stamp = timestamp(self._clock.now())
        status = {**status, "disruptionsAllowed": left - 1, "disruptedPods": {**disrupted, pod_name: stamp}}
        if left == 1:
            status = with_condition({"status": status}, {
                "type": ALLOWED, "status": "False", "observedGeneration": status.get("observedGeneration", 0),
                "lastTransitionTime": stamp, "reason": "InsufficientPods", "message": ""})
        return {**budget, "metadata": {**metadata}, "status": status}


def _phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _may_go_unready(pod: Obj, budget: Obj) -> bool:
    """A pod that is not ready is no loss, where the budget says so or is kept without it."""
    if (get_condition(pod, "Ready") or {}).get("status") == "True":
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    wanted = status.get("desiredHealthy", 0)
    return bool(wanted > 0 and status.get("currentHealthy", 0) >= wanted)


def _too_many(why: str, retry_s: int = 0) -> ApiError:
    details: Obj = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_s:
        details["retryAfterSeconds"] = retry_s
    return ApiError(429, "TooManyRequests", REFUSED, details)
