"""ServiceAccount controller: every namespace has a ServiceAccount `default`, so that pods can be made in it.

    Namespace event ─┐
    its SA deleted ──┴─► reconcile(namespace) ─► create `default` when it is missing

Models:    kube-controller-manager, serviceaccount-controller
"""

from __future__ import annotations

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating
from kubelab.machinery.request import Obj

DEFAULT = "default"


class NamespaceFurnisher(Controller):
    """Base: see to it that one object of a fixed name stands in every active namespace."""

    resource = ""
    object_name = ""

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client = client
        self.namespaces, self.objects = informers.of("namespaces"), informers.of(self.resource)
        super().__init__(name, clock=clock, journal=journal, informers=(self.namespaces, self.objects))
        self.namespaces.on_event(lambda type_, obj, old: self.queue.add(obj["metadata"]["name"]))
        self.objects.on_event(self._on_object)

    def _on_object(self, type_: str, obj: Obj, old: Obj | None) -> None:
        if obj["metadata"]["name"] == self.object_name:
            self.queue.add(obj["metadata"]["namespace"])

    def wanted(self, namespace: str) -> Obj:
        raise AssertionError("a subclass says what should be there")

    def right(self, current: Obj, wanted: Obj) -> bool:
        """Tell whether what is there is as it should be."""
        return True

    async def reconcile(self, key: str) -> None:
        namespace = self.namespaces.get(key)
        if namespace is None or is_terminating(namespace):
            return
        wanted, current = self.wanted(key), self.objects.get(f"{key}/{self.object_name}")
        try:
            if current is None:
                await self.client.create(self.resource, wanted, key)
            elif not self.right(current, wanted):
                await self.client.update(self.resource, {**current, **wanted, "metadata": {
                    **current["metadata"], **wanted["metadata"]}})
        except ApiError as error:
            if error.reason != "AlreadyExists" and "being terminated" not in error.message:
                raise


class ServiceAccountController(NamespaceFurnisher):
    resource, object_name = "serviceaccounts", DEFAULT

    def wanted(self, namespace: str) -> Obj:
        return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT, "namespace": namespace}}
