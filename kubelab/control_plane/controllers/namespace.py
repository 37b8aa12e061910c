"""Namespace controller: empty a namespace that is being deleted, then let it go.

    deletionTimestamp set ─► delete all pods; while some remain, wait
                          ─► delete everything else, kind by kind
                          ─► anything left? say what in the conditions, and wait for it to go
                          ─► nothing left: take the finalizer "kubernetes" off

Invariant: the finalizer goes only after every namespaced kind, of the catalogue or custom, was listed empty.
Models:    kube-controller-manager, namespace-controller
Left out:  kinds that another API server serves
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.control_plane.controllers.custom_kinds import CustomKinds
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, set_condition
from kubelab.machinery.request import Obj
from kubelab.units import CATALOGUE
from kubelab.units.catalogue import Kind

FINALIZER = "kubernetes"
NOT_EMPTY_AGAIN_S = 5.0  # how soon a namespace with content left is looked at again, when nothing is heard of it
PODS = "pods"


@dataclass(slots=True)
class Remains:
    """What is still in a namespace after everything in it was asked to go."""

    resources: Counter[str] = field(default_factory=Counter)  # "deployments.apps" → count
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def conditions_of(remains: Remains) -> list[Obj]:
    """Word the five conditions of a namespace in deletion."""
    failed = "; ".join(remains.failures)
    left = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remains.resources.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(remains.finalizers.items()))
    words = (
        ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", False, "ParsedGroupVersions",
         "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", True, "ContentDeletionFailed",
         f"Failed to delete all resource types, {len(remains.failures)} remaining: {failed}") if failed else
        ("NamespaceDeletionContentFailure", False, "ContentDeleted",
         "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", True, "SomeResourcesRemain", f"Some resources are remaining: {left}") if left else
        ("NamespaceContentRemaining", False, "ContentRemoved", "All content successfully removed"),
        ("NamespaceFinalizersRemaining", True, "SomeFinalizersRemain",
         f"Some content in the namespace has finalizers remaining: {held}") if held else
        ("NamespaceFinalizersRemaining", False, "ContentHasNoFinalizers",
         "All content-preserving finalizers finished"),
    )
    return [{"type": type_, "status": str(status), "reason": reason, "message": message}
            for type_, status, reason, message in words]


def content_kinds() -> list[Kind]:
    """Return the kinds whose objects live in namespaces and can be deleted."""
    return [kind for kind in CATALOGUE if kind.namespaced and {"list", "delete"} <= set(kind.verbs)]


class NamespaceController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client = client
        self.namespaces = informers.of("namespaces")
        super().__init__(name, clock=clock, journal=journal, informers=(self.namespaces,), workers=10)
        self._waiting: set[str] = set()
        self.namespaces.on_event(self._on_namespace)
        self._custom = CustomKinds(informers, lambda kind, type_, obj, old: self._on_content(type_, obj, old))
        for kind in content_kinds():
            if kind.plural != "events":  # too many to follow, and nothing holds them
                informers.of(kind).on_event(self._on_content)

    def _on_namespace(self, type_: str, obj: Obj, old: Obj | None) -> None:
        name = obj["metadata"]["name"]
        if type_ == "DELETED":
            self._waiting.discard(name)
        elif is_terminating(obj):
            self.queue.add(name)

    def _on_content(self, type_: str, obj: Obj, old: Obj | None) -> None:
        """The last of what was waited for may have gone."""
        if type_ == "DELETED" and obj["metadata"].get("namespace") in self._waiting:
            self.queue.add_after(obj["metadata"]["namespace"], 0.01)

    async def reconcile(self, key: str) -> None:
        namespace = self.namespaces.get(key)
        if namespace is None or not is_terminating(namespace):
            return
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return
        self._waiting.add(key)
        remains = await self._empty(key)
        namespace = await self._report(namespace, remains)
        if remains.resources or remains.failures:
            self.queue.add_after(key, NOT_EMPTY_AGAIN_S)
            return
        left = [f for f in namespace["spec"].get("finalizers") or () if f != FINALIZER]
        body = {**namespace, "spec": {**namespace["spec"], "finalizers": left}}
        try:
            await self.client.update("namespaces", body, subresource="finalize")
        except ApiError as error:
            if error.code != 404:
                raise
        self._waiting.discard(key)

    async def _empty(self, namespace: str) -> Remains:
        remains = Remains()
        kinds = [*content_kinds(), *(kind for kind in self._custom.kinds() if kind.namespaced)]
        pods = [kind for kind in kinds if kind.plural == PODS and not kind.group]
        await self._clear(pods, namespace, remains)
        if not remains.resources and not remains.failures:  # pods first: what they use stays until they are gone
            await self._clear([kind for kind in kinds if kind not in pods], namespace, remains)
        return remains

    async def _clear(self, kinds: list[Kind], namespace: str, remains: Remains) -> None:
        for kind, left in zip(kinds, await asyncio.gather(*(self._clear_kind(kind, namespace) for kind in kinds),
                                                          return_exceptions=True), strict=True):
            if isinstance(left, ApiError):
                remains.failures.append(str(left))
            elif isinstance(left, BaseException):
                raise left
            elif left:
                remains.resources[f"{kind.plural}.{kind.group}"] += len(left)
                remains.finalizers.update(f for obj in left for f in obj["metadata"].get("finalizers") or ())

    async def _clear_kind(self, kind: Kind, namespace: str) -> list[Obj]:
        """Delete all objects of one kind; return what is still there."""
        listed: list[Obj] = (await self.client.list(kind, namespace)).get("items") or []
        if not listed:
            return []
        if any(not is_terminating(obj) for obj in listed):
            await self.client.delete_collection(kind, namespace, propagation="Background")
        found: list[Obj] = (await self.client.list(kind, namespace)).get("items") or []
        return found

    async def _report(self, namespace: Obj, remains: Remains) -> Obj:
        status = namespace.get("status") or {}
        conditions = [dict(c) for c in status.get("conditions") or ()]
        changed = [set_condition(conditions, c, self.clock.now()) for c in conditions_of(remains)]
        if not any(changed) or not (remains.resources or remains.failures):
            return namespace  # the happy end needs no telling: the namespace is about to go
        return await self.client.update("namespaces", {**namespace, "status": {**status, "conditions": conditions}},
                                        subresource="status")
