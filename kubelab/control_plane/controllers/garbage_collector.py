"""Garbage collector: what nobody owns any more goes; what is deleted in the foreground goes last.

    owner deleted ─► its dependents ─► judge ─► another owner left?  take the dead reference off
                                             └► none left?           delete (Background)
    owner has finalizer foregroundDeletion ─► delete dependents; when the last blocking one is gone, release the owner
    owner has finalizer orphan ─► take its reference off all dependents, release the owner

Invariant: an owner counts as absent only when its deletion was seen, or when the API server itself says so.
Models:    kube-controller-manager, garbage-collector-controller
Left out:  kinds that another API server serves: a reference to one keeps its object
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.custom_kinds import CustomKinds
from kubelab.control_plane.controllers.ownership import FOREGROUND, ORPHAN, Graph, Node, judge
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj
from kubelab.units import CATALOGUE, by_kind
from kubelab.units.catalogue import Kind

IGNORED = ("events",)  # many, short-lived, and never owned
Identity = tuple[str, str, str, str]  # uid, kind, namespace, name
_REMEMBERED_ABSENT = 500


class GarbageCollector(Controller):
    """Its keys are uids."""

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder = client, recorder
        self.graph = Graph()
        self._absent: dict[Identity, None] = {}  # what was found missing, in the order it was
        followed = {kind: informers.of(kind) for kind in CATALOGUE
                    if kind.plural not in IGNORED and {"list", "watch", "delete"} <= set(kind.verbs)}
        super().__init__(name, clock=clock, journal=journal, informers=list(followed.values()), workers=20)
        self._custom = CustomKinds(informers, self._on_object)
        for kind, informer in followed.items():
            informer.on_event(partial(self._on_object, kind))

    # the graph
    def _on_object(self, kind: Kind, type_: str, obj: Obj, before: Obj | None) -> None:
        uid: str = obj["metadata"]["uid"]
        if type_ == "DELETED":
            self._on_deleted(uid)
            return
        node = Node.of(kind, obj)
        old = self.graph.put(node)
        if node.waits_for_dependents or node.orphans_dependents:
            self.queue.add(uid)
        if (old is None or old.owners != node.owners) and any(self._doubtful(o, node) for o in node.owners):
            self.queue.add(uid)
        if old is not None and old.owners != node.owners:  # an owner that waited for it may have been let go
            for owner in old.owners:
                self._look_at_waiting(owner["uid"])

    def _doubtful(self, owner: dict[str, Any], dependent: Node) -> bool:
        """Tell whether an owner is not simply there."""
        known = self.graph.nodes.get(owner["uid"])
        return known is None or known.waits_for_dependents or not _fits(owner, dependent, known)

    def _on_deleted(self, uid: str) -> None:
        gone = self.graph.remove(uid)
        if gone is not None:
            self._remember_absent((uid, gone.kind.kind, gone.namespace, gone.name))
        for dependent in self.graph.dependents(uid):
            self.queue.add(dependent.uid)
        for owner in gone.owners if gone else ():
            self._look_at_waiting(owner["uid"])

    def _look_at_waiting(self, uid: str) -> None:
        owner = self.graph.nodes.get(uid)
        if owner is not None and owner.waits_for_dependents:
            self.queue.add(uid)

    def _remember_absent(self, identity: Identity) -> None:
        self._absent[identity] = None
        if len(self._absent) > _REMEMBERED_ABSENT:
            del self._absent[next(iter(self._absent))]

    # the verb
    async def reconcile(self, key: str) -> None:
        node = self.graph.nodes.get(key)
        if node is None:
            return
        if node.orphans_dependents:
            await self._orphan(node)
        elif node.waits_for_dependents:
            await self._finish_foreground(node)
        elif not node.terminating:
            await self._collect(node)

    async def _collect(self, node: Node) -> None:
        absent = [o["uid"] for o in node.owners if await self._is_absent(o, node)]
        verdict = judge(node, absent, self.graph)
        if verdict.action == "drop":
            await self._drop_owners(node, verdict.drop)
        elif verdict.action == "delete":
            if verdict.unblock:
                await self._unblock_owners(node)
            await self._delete(node, verdict.policy)

    async def _is_absent(self, owner: dict[str, Any], dependent: Node) -> bool:
        """Tell whether an owner does not exist: not of that uid, name and kind, where it would have to be."""
        uid = owner["uid"]
        known = self.graph.nodes.get(uid)
        if known is not None:
            return not _fits(owner, dependent, known)
        kind = by_kind(owner["apiVersion"], owner["kind"]) or self._custom.find(owner["apiVersion"], owner["kind"])
        if kind is None:
            return False  # of a kind that nobody here can look up
        if kind.namespaced and not dependent.namespace:
            self._complain(owner, dependent)
            return False
        identity = (uid, kind.kind, dependent.namespace if kind.namespaced else "", owner["name"])
        if identity in self._absent:
            return True
        try:
            found = await self.client.get(kind, owner["name"], dependent.namespace or None)
        except ApiError as error:
            if error.code != 404:
                raise
            found = {"metadata": {"uid": ""}}
        absent = bool(found["metadata"]["uid"] != uid)
        if absent:
            self._remember_absent(identity)
        return absent

    def _complain(self, owner: dict[str, Any], node: Node) -> None:
        message = (f'ownerRef [{owner["apiVersion"]}/{owner["kind"]}, namespace: {node.namespace}, name: '
                   f'{owner["name"]}, uid: {owner["uid"]}] does not exist in namespace "{node.namespace}"')
        self.recorder.event(_as_object(node), "Warning", "OwnerRefInvalidNamespace", message)

    # acts
    async def _finish_foreground(self, node: Node) -> None:
        """Delete what the object owns; when nothing that blocks is left, let the object itself go."""
        dependents = self.graph.dependents(node.uid)
        if not any(dependent.blocks(node.uid) for dependent in dependents):
            await self._take_finalizer(node, FOREGROUND)
            return
        for dependent in dependents:
            if not dependent.terminating:
                self.queue.add(dependent.uid)

    async def _orphan(self, node: Node) -> None:
        await asyncio.gather(*(self._drop_owners(dependent, frozenset((node.uid,)))
                               for dependent in self.graph.dependents(node.uid)))
        await self._take_finalizer(node, ORPHAN)

    async def _drop_owners(self, node: Node, uids: frozenset[str]) -> None:
        if _is_custom(node):
            await self._rewrite(node, "ownerReferences", lambda owners: [o for o in owners if o["uid"] not in uids])
            return
        await self._patch(node, {"ownerReferences": [{"$patch": "delete", "uid": uid} for uid in sorted(uids)]})

    async def _unblock_owners(self, node: Node) -> None:
        """Break a circle of owners that wait for each other: nobody has to wait for this one."""
        if _is_custom(node):
            await self._rewrite(node, "ownerReferences",
                                lambda owners: [o | {"blockOwnerDeletion": False} for o in owners])
            return
        await self._patch(node, {"ownerReferences": [{"uid": o["uid"], "blockOwnerDeletion": False}
                                                     for o in node.owners if o.get("blockOwnerDeletion")]})

    async def _take_finalizer(self, node: Node, finalizer: str) -> None:
        if _is_custom(node):
            await self._rewrite(node, "finalizers", lambda names: [name for name in names if name != finalizer])
            return
        await self._patch(node, {"$deleteFromPrimitiveList/finalizers": [finalizer]})

    async def _rewrite(self, node: Node, field: str, change: Callable[[list[Any]], list[Any]]) -> None:
        """Change a list of an object that knows no strategic merge. Raises `Conflict`: look again."""
        try:
            now = (await self.client.get(node.kind, node.name, node.namespace or None))["metadata"]
            after = change(now.get(field) or [])
            patch = {"metadata": {"uid": node.uid, "resourceVersion": now["resourceVersion"], field: after}}
            await self.client.patch(node.kind, node.name, patch, node.namespace or None, type="merge")
        except ApiError as error:
            if error.code not in (404, 422):
                raise

    async def _patch(self, node: Node, meta: Obj) -> None:
        patch = {"metadata": {"uid": node.uid, **meta}}
        try:
            await self.client.patch(node.kind, node.name, patch, node.namespace or None, type="strategic")
        except ApiError as error:
            if error.code not in (404, 409, 422):  # gone, or another one under the same name
                raise

    async def _delete(self, node: Node, policy: str) -> None:
        try:
            await self.client.delete(node.kind, node.name, node.namespace or None, propagation=policy, uid=node.uid)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _is_custom(node: Node) -> bool:
    return by_kind(node.kind.api_version, node.kind.kind) is None


def _fits(owner: dict[str, Any], dependent: Node, found: Node) -> bool:
    """Tell whether a reference means the object that has its uid: same name and kind, and a namespace it can reach."""
    return (owner["name"] == found.name and owner["kind"] == found.kind.kind
            and found.namespace in ("", dependent.namespace))


def _as_object(node: Node) -> Obj:
    return {"kind": node.kind.kind, "apiVersion": node.kind.api_version,
            "metadata": {"name": node.name, "namespace": node.namespace, "uid": node.uid}}
