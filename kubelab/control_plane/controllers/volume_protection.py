"""Storage protection: claims and volumes stay as long as somebody uses them.

    claim being deleted ─► does a pod still mount it? ─► no ─► finalizer kubernetes.io/pvc-protection off
    volume being deleted ─► is it still bound? ────────► no ─► finalizer kubernetes.io/pv-protection off

Invariant: the API server puts the finalizers on; only these two controllers take them off.
Models:    kube-controller-manager, pvc-protection-controller and pv-protection-controller
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_finished
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, key_of
from kubelab.machinery.request import Obj
from kubelab.units.persistentvolume import PROTECTION as OF_VOLUME
from kubelab.units.persistentvolumeclaim import PROTECTION as OF_CLAIM


def claims_of(pod: Obj) -> list[str]:
    """Return the names of the claims a pod mounts, its own ephemeral ones among them."""
    name, found = pod["metadata"]["name"], []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            found.append(f"{name}-{volume['name']}")
    return found


def in_use(claim: str, pods: Iterable[Obj]) -> bool:
    """Say whether a pod that has a node and has not ended mounts the claim."""
    return any(claim in claims_of(pod) for pod in pods if pod["spec"].get("nodeName") and not is_finished(pod))


class ClaimProtectionController(Controller):
    resource, finalizer = "persistentvolumeclaims", OF_CLAIM

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client, self.kept = client, informers.of(self.resource)
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.kept, self.pods))
        self.kept.on_event(self._on_kept)
        self.pods.on_event(self._on_pod)

    def _on_kept(self, type_: str, obj: Obj, old: Obj | None) -> None:
        if type_ != "DELETED" and is_terminating(obj) and self.finalizer in (obj["metadata"].get("finalizers") or ()):
            self.queue.add(key_of(obj))

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        if type_ == "DELETED" or is_finished(pod):
            for claim in claims_of(pod):
                self.queue.add(f"{pod['metadata']['namespace']}/{claim}")

    def used(self, obj: Obj) -> bool:
        return in_use(obj["metadata"]["name"], self.pods.by_index("namespace", obj["metadata"]["namespace"]))

    async def reconcile(self, key: str) -> None:
        obj = self.kept.get(key)
        if obj is None or not is_terminating(obj) or self.used(obj):
            return
        meta = obj["metadata"]
        patch = {"metadata": {"uid": meta["uid"], "$deleteFromPrimitiveList/finalizers": [self.finalizer]}}
        try:
            await self.client.patch(self.resource, meta["name"], patch, meta.get("namespace"), type="strategic")
        except ApiError as error:
            if error.code not in (404, 409, 422):  # gone, or another one of the same name
                raise


class VolumeProtectionController(ClaimProtectionController):
    resource, finalizer = "persistentvolumes", OF_VOLUME

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        """Pods use claims, not volumes."""

    def used(self, obj: Obj) -> bool:
        return (obj.get("status") or {}).get("phase") == "Bound"
