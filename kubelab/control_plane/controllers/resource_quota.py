"""ResourceQuota controller: count what a namespace uses, so that admission knows what is left.

    quota new or changed ──────────────────────────┐
    object come or gone, pod over, service changed ┴─► workqueue ─► count everything ─► status.hard, status.used

Invariant: only the count of all objects is written, and only over the status it was counted against: what admission
           charges meanwhile makes the write fail, and it is counted again.
Models:    kube-controller-manager, resourcequota-controller
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.control_plane.controllers.custom_kinds import CustomKinds
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import key_of
from kubelab.machinery.quantity import parse
from kubelab.machinery.request import Obj
from kubelab.units import CATALOGUE
from kubelab.units.catalogue import Kind
from kubelab.units.pods.resources import Amounts, add, written
from kubelab.units.quota_usage import LEGACY, count_name, counts, usage_of

RESYNC_S = 300.0
GATHER_S = 0.1  # many objects that go together are counted once
UNCOUNTED = ("events",)
OVER = ("Succeeded", "Failed")


class ResourceQuotaController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client, self.quotas = client, informers.of("resourcequotas")
        self.followed = {kind: informers.of(kind) for kind in CATALOGUE if kind.namespaced
                         and kind.plural not in UNCOUNTED and {"list", "watch", "delete"} <= set(kind.verbs)}
        super().__init__(name, clock=clock, journal=journal, informers=[self.quotas, *self.followed.values()])
        self._by_namespace: dict[str, set[str]] = {}
        self.quotas.on_event(self._on_quota)
        for kind, informer in self.followed.items():
            informer.on_event(partial(self._on_object, kind.plural))
        self._custom = CustomKinds(informers, self._on_custom)

    def _on_quota(self, type_: str, quota: Obj, old: Obj | None) -> None:
        key, namespace = key_of(quota), quota["metadata"]["namespace"]
        if type_ == "DELETED":
            self._by_namespace.get(namespace, set()).discard(key)
            return
        self._by_namespace.setdefault(namespace, set()).add(key)
        if old is None or old.get("spec") != quota.get("spec"):
            self.queue.add(key)

    def _on_custom(self, kind: Kind, type_: str, obj: Obj, old: Obj | None) -> None:
        self._on_object(kind.qualified, type_, obj, old)

    def _on_object(self, plural: str, type_: str, obj: Obj, old: Obj | None) -> None:
        keys = self._by_namespace.get(obj["metadata"].get("namespace", ""))
        if keys and (old is None or type_ == "DELETED" or _uses_less(plural, obj, old)):
            for key in keys:
                self.queue.add_after(key, GATHER_S)

    async def reconcile(self, key: str) -> None:
        quota = self.quotas.get(key)
        if quota is None:
            return
        hard: Obj = (quota.get("spec") or {}).get("hard") or {}
        total = self._usage(quota, hard)
        used = {name: written(name, total.get(name, Fraction(0))) for name in hard}
        status = quota.get("status") or {}
        if not (_same(status.get("hard"), hard) and _same(status.get("used"), used)):
            await self.client.update("resourcequotas", {**quota, "status": {"hard": hard, "used": used}},
                                     subresource="status")
        self.queue.add_after(key, RESYNC_S)

    def _usage(self, quota: Obj, hard: Obj) -> Amounts:
        """Return what all objects of the namespace that this quota counts use of what it limits."""
        namespace = quota["metadata"]["namespace"]
        total: Amounts = {}
        for kind, informer in (*self.followed.items(), *self._custom.followed()):
            if not _is_limited(kind, hard):
                continue
            for obj in informer.list():
                if obj["metadata"].get("namespace") == namespace and counts(quota, kind.plural, kind.group, obj):
                    add(total, {name: amount for name, amount in usage_of(kind.plural, kind.group, obj).items()
                                if name in hard})
        return total


def _is_limited(kind: Kind, hard: Obj) -> bool:
    if count_name(kind.plural, kind.group) in hard:
        return True
    if kind.plural in ("pods", "services", "persistentvolumeclaims") and not kind.group:
        return True
    return kind.plural in LEGACY and not kind.group and kind.plural in hard


def _uses_less(plural: str, new: Obj, old: Obj) -> bool:
    if plural == "pods":
        return new.get("status", {}).get("phase") in OVER and old.get("status", {}).get("phase") not in OVER
    return plural in ("services", "persistentvolumeclaims") and new.get("spec") != old.get("spec")


def _same(stored: Obj | None, wanted: Obj) -> bool:
    return stored is not None and stored.keys() == wanted.keys() and \
        all(parse(stored[name]) == parse(wanted[name]) for name in wanted)
