"""Custom resources come and go: follows the CustomResourceDefinitions and serves what they define.

    CRD stored ─► names free? ─► status: NamesAccepted, Established ─► served: registry, discovery, OpenAPI
    CRD marked ─► its objects deleted ─► the last one gone ─► finalizer off ─► no longer served

Invariant: what is served is what the last established spec says; open watches end when that changes.
Models:    apiextensions-apiserver: status (naming), establish, finalizer and openapi controllers, crdHandler
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.crd_conversion import WebhookConverter
from kubelab.control_plane.apiserver.crd_storage import Hub
from kubelab.control_plane.apiserver.deleting import DeleteOptions
from kubelab.control_plane.apiserver.registry import Registry
from kubelab.control_plane.apiserver.storage import ROOT, Changed, Storage
from kubelab.control_plane.apiserver.watch import Watcher
from kubelab.control_plane.apiserver.webhook_client import WebhookClient
from kubelab.machinery import apply
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, Request, User, WatchEvent
from kubelab.machinery.routes import RequestInfo
from kubelab.units import object_parts
from kubelab.units.catalogue import Kind
from kubelab.units.crd import CUSTOM_RESOURCE_DEFINITION as CRD
from kubelab.units.crds.names import granted
from kubelab.units.crds.status import FINALIZER, is_established, terminating
from kubelab.units.custom import kinds_of

SELF = User("system:apiserver", ("system:masters",))
SETTLES_S = 2.0
log = logging.getLogger("kubelab")


class CustomResources:
    """Keeps `registry` and `storage` in step with the CRDs; `publish` is given all custom kinds when they change."""

    def __init__(self, registry: Registry, storage: Storage, clock: Clock, webhooks: WebhookClient,
                 publish: Callable[[list[Kind]], None]) -> None:
        self._registry, self._storage, self._clock = registry, storage, clock
        self._webhooks, self._publish = webhooks, publish
        self._crds = storage.of(CRD.group, CRD.plural)
        self._served: dict[str, tuple[Obj, Hub, list[Kind]]] = {}  # by name: the spec, its storage, its kinds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watcher: Watcher

    def start(self) -> None:
        """Serve what is there, then follow."""
        self._watcher = self._crds.follow(self._on_event, known=True)

    def stop(self) -> None:
        self._watcher.close()
        for task in self._tasks.values():
            task.cancel()
        for _, hub, _ in self._served.values():
            hub.close()

    async def settled(self) -> None:
        """Wait, a moment at most, until what was written to CRDs is served."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=SETTLES_S)

    def kinds(self) -> list[Kind]:
        return [kind for _, _, kinds in self._served.values() for kind in kinds]

    def _on_event(self, event: WatchEvent) -> None:
        try:
            self._follow(event.type, event.obj)
        except Exception:  # one definition that cannot be served must not keep the server from hearing of others
            log.exception("CRD %s cannot be served", event.obj["metadata"]["name"])

    def _follow(self, type_: str, crd: Obj) -> None:
        name = crd["metadata"]["name"]
        if type_ == "DELETED":
            self._end(name)
            return
        if is_established(crd):
            self._serve(name, crd)
        if "deletionTimestamp" in crd["metadata"]:
            self._go(name, self._clean)
        elif self._told(crd) != self._granted(crd):
            self._go(name, self._accept)

    def _go(self, name: str, work: Callable[[str], Awaitable[None]]) -> None:
        """Do one thing after the other for each CRD."""
        before = self._tasks.get(name)

        async def then() -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                await work(name)
            except (ApiError, Changed) as error:
                log.debug("CRD %s: %s", name, error)

        task = self._tasks[name] = asyncio.get_running_loop().create_task(then())
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    # ── names ────────────────────────────────────────────────────────────────────────────────────────────────

    def _granted(self, crd: Obj) -> tuple[Obj | None, list[Obj]]:
        return granted(crd, [body.obj for body in self._crds.objects.values()], self._clock.now())

    def _told(self, crd: Obj) -> tuple[Obj | None, list[Obj]]:
        status = crd.get("status") or {}
        return status.get("acceptedNames"), list(status.get("conditions") or ())

    async def _accept(self, name: str) -> None:
        def accepted(crd: Obj) -> Obj:
            names, conditions = self._granted(crd)
            return {**crd["status"], "conditions": conditions, "acceptedNames": names}

        await self._write_status(name, accepted)

    async def _write_status(self, name: str, make: Callable[[Obj], Obj], finalizers: list[str] | None = None) -> None:
        """Write a CRD's status as kube-apiserver itself, and take finalizers off when `finalizers` says what stays."""
        def told(old: Obj) -> Obj | None:
            new = {**old, "metadata": {**old["metadata"]}, "status": make(old)}
            if finalizers is not None:
                new["metadata"]["finalizers"] = finalizers
            if new == old:
                return None
            new["metadata"] = object_parts.ordered(new["metadata"])
            apply.track_update(old, new, "kube-apiserver", "Update", "status", timestamp(self._clock.now()))
            return new

        await self._storage.change(self._crds, name, told)

    # ── serving ──────────────────────────────────────────────────────────────────────────────────────────────

    def _serve(self, name: str, crd: Obj) -> None:
        spec, served = crd["spec"], self._served.get(name)
        if served is None or served[0] != spec:
            if served is not None:
                self._withdraw(name)
            kinds = kinds_of(crd)
            convert = WebhookConverter(crd, self._webhooks) if spec["conversion"]["strategy"] == "Webhook" else None
            hub = Hub(f"{ROOT}{spec['group']}/{spec['names']['plural']}/", kinds, convert)
            self._storage.adopt(hub)
            offered = {version["name"] for version in spec["versions"] if version["served"]}
            kinds = [kind for kind in kinds if kind.version in offered]
            self._served[name] = spec, hub, kinds
            for kind in kinds:
                self._registry.serve_custom(kind, hub.versions[kind.version])
            hub.stored.follow(lambda event: self._on_object(name, event))
            self._publish(self.kinds())
        if "deletionTimestamp" in crd["metadata"]:
            for collection in self._served[name][1].versions.values():
                collection.kind.own.terminating = True

    def _withdraw(self, name: str) -> None:
        _, hub, kinds = self._served.pop(name)
        self._storage.abandon(hub)
        hub.close()
        for kind in kinds:
            self._registry.withdraw(kind)

    def _end(self, name: str) -> None:
        if name in self._served:
            self._withdraw(name)
            self._publish(self.kinds())
        for body in list(self._crds.objects.values()):  # a name that another waited for may be free now
            self._follow("MODIFIED", body.obj)

    # ── the end of a CRD ─────────────────────────────────────────────────────────────────────────────────────

    def _on_object(self, name: str, event: WatchEvent) -> None:
        crd = self._crds.objects.get(name)
        if event.type == "DELETED" and crd is not None and "deletionTimestamp" in crd.obj["metadata"]:
            self._go(name, self._clean)

    async def _clean(self, name: str) -> None:
        """Delete what is left of a CRD that is to go; with the last object, let the CRD itself go."""
        body, served = self._crds.objects.get(name), self._served.get(name)
        if body is None or FINALIZER not in (body.obj["metadata"].get("finalizers") or ()):
            return
        if served is not None and served[1].stored.objects:
            now = self._clock.now()
            await self._write_status(name, lambda crd: terminating(
                crd, True, "InstanceDeletionInProgress", "CustomResource deletion is in progress", now))
            stored = served[1].stored
            kind = stored.kind
            info = RequestInfo("deletecollection", kind.path(), kind.group, kind.version, "", kind.plural)
            call = Call(Request("DELETE", kind.path(), user=SELF), info, SELF, kind, stored)
            await self._registry.deleter.delete_collection(call, DeleteOptions())
            if stored.objects:
                return  # finalizers hold some; the last one's end comes back here
        left = [f for f in body.obj["metadata"]["finalizers"] if f != FINALIZER]
        now = self._clock.now()
        await self._write_status(name, lambda crd: terminating(crd, False, "InstanceDeletionCompleted",
                                                               "removed all instances", now), left)
