"""Storage protection: claims and volumes stay as long as somebody uses them.

    claim being deleted ─► does a pod still mount it? ─► no ─► finalizer kubernetes.io/pvc-protection off
    volume being deleted ─► is it still bound? ────────► no ─► finalizer kubernetes.io/pv-protection off
    class of attributes ──► does either name it? ──────► no ─► finalizer kubernetes.io/vac-protection off

Invariant: the API server puts the finalizers on; only these three controllers take them off.
Models:    kube-controller-manager, its protection controllers of persistentvolumeclaims, persistentvolumes and
           volumeattributesclasses
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informer, Informers
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_finished
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, key_of
from kubelab.machinery.request import Obj
from kubelab.units.persistentvolume import PROTECTION as OF_VOLUME
from kubelab.units.persistentvolumeclaim import PROTECTION as OF_CLAIM
from kubelab.units.storageclass import PROTECTION as OF_ATTRIBUTES


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


class ProtectionController(Controller):
    """Base: take the finalizer off what is being deleted, once nobody of `users` uses it."""

    resource, finalizer = "", ""
    users_of: tuple[str, ...] = ()

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client, self.kept = client, informers.of(self.resource)
        self.users: Sequence[Informer] = [informers.of(users, indexers=POD_INDEXERS if users == "pods" else None)
                                          for users in self.users_of]
        super().__init__(name, clock=clock, journal=journal, informers=(self.kept, *self.users))
        self.kept.on_event(self._on_kept)
        for users in self.users:
            users.on_event(self._on_user)

    def _on_kept(self, type_: str, obj: Obj, old: Obj | None) -> None:
        if type_ != "DELETED" and is_terminating(obj) and self.finalizer in (obj["metadata"].get("finalizers") or ()):
            self.queue.add(key_of(obj))

    @abstractmethod
    def _on_user(self, type_: str, user: Obj, old: Obj | None) -> None:
        """Look again at what a user may have left."""

    @abstractmethod
    def used(self, obj: Obj) -> bool:
        """Say whether somebody still uses it."""

    async def reconcile(self, key: str) -> None:
        obj = self.kept.get(key)
        if obj is None or not is_terminating(obj) or self.used(obj):
            return
        meta = obj["metadata"]
        left = [name for name in meta.get("finalizers") or () if name != self.finalizer]
        try:
            await self.client.update(self.resource, {**obj, "metadata": {**meta, "finalizers": left}})
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or changed meanwhile: its news bring us back
                raise


class ClaimProtectionController(ProtectionController):
    resource, finalizer, users_of = "persistentvolumeclaims", OF_CLAIM, ("pods",)

    def _on_user(self, type_: str, user: Obj, old: Obj | None) -> None:
        if type_ == "DELETED" or is_finished(user):
            for claim in claims_of(user):
                self.queue.add(f"{user['metadata']['namespace']}/{claim}")

    def used(self, obj: Obj) -> bool:
        return in_use(obj["metadata"]["name"], self.users[0].by_index("namespace", obj["metadata"]["namespace"]))


class VolumeProtectionController(ProtectionController):
    resource, finalizer = "persistentvolumes", OF_VOLUME

    def _on_user(self, type_: str, user: Obj, old: Obj | None) -> None:
        """A volume itself says whether it is bound."""

    def used(self, obj: Obj) -> bool:
        return (obj.get("status") or {}).get("phase") == "Bound"


class AttributesProtectionController(ProtectionController):
    resource, finalizer = "volumeattributesclasses", OF_ATTRIBUTES
    users_of = ("persistentvolumeclaims", "persistentvolumes")

    def _on_user(self, type_: str, user: Obj, old: Obj | None) -> None:
        for name in attributes_of(user) | attributes_of(old or {}):
            self.queue.add(name)

    def used(self, obj: Obj) -> bool:
        return any(obj["metadata"]["name"] in attributes_of(user) for users in self.users for user in users.list())


def attributes_of(obj: Obj) -> set[str]:
    """Return the classes of attributes that a claim or a volume has, had or is to have."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    found = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"),
             (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"))
    return {name for name in found if name}
