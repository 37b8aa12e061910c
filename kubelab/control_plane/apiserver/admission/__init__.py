"""Admission: the plugins that look at every write, may complete it, and may refuse it.

    object ─► admit: NamespaceLifecycle ─► LimitRanger ─► ServiceAccount ─► ... ─► policies ─► webhooks
           ─► validation of its kind
           ─► validate: LimitRanger ─► PodSecurity ─► ... ─► policies ─► webhooks ─► ResourceQuota ─► store

Invariant: `admit` alone changes the new object; what a plugin refuses has left no trace.
Models:    the admission plugins that kube-apiserver enables by default, in its order
Left out:  nothing a user can see; the finalizers that protect volumes stand with their kinds
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.apiserver.admission.certificates import Certificates
from kubelab.control_plane.apiserver.admission.chain import Chain
from kubelab.control_plane.apiserver.admission.claim_resize import PersistentVolumeClaimResize
from kubelab.control_plane.apiserver.admission.default_class import DefaultIngressClass, DefaultStorageClass
from kubelab.control_plane.apiserver.admission.devices import DeviceAdminAccess
from kubelab.control_plane.apiserver.admission.dynamic import Dynamic, Outside
from kubelab.control_plane.apiserver.admission.limit_ranger import LimitRanger
from kubelab.control_plane.apiserver.admission.mutating_policy import MutatingAdmissionPolicy
from kubelab.control_plane.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from kubelab.control_plane.apiserver.admission.nodes import NodeRestriction, TaintNodesByCondition
from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.control_plane.apiserver.admission.pod_security import PodSecurity
from kubelab.control_plane.apiserver.admission.pods import (
    DefaultTolerationSeconds,
    PodTopologyLabels,
    Priority,
    RuntimeClass,
    ServiceAccount,
)
from kubelab.control_plane.apiserver.admission.resource_quota import ResourceQuota
from kubelab.control_plane.apiserver.admission.validating_policy import ValidatingAdmissionPolicy
from kubelab.control_plane.apiserver.admission.webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from kubelab.control_plane.apiserver.allocator import ServiceAllocator
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery.request import Obj
from kubelab.units.answers import kind_of

FLAGS = frozenset({"stdin", "stdout", "stderr", "tty"})
ORDER: tuple[type[Plugin], ...] = (
    NamespaceLifecycle, LimitRanger, ServiceAccount, NodeRestriction, TaintNodesByCondition, PodSecurity, Priority,
    DefaultTolerationSeconds, DefaultStorageClass, PersistentVolumeClaimResize, RuntimeClass, DefaultIngressClass,
    PodTopologyLabels, DeviceAdminAccess)
DYNAMIC: tuple[type[Dynamic], ...] = (
    MutatingAdmissionPolicy, MutatingAdmissionWebhook, ValidatingAdmissionPolicy, ValidatingAdmissionWebhook)


class Plugins:
    """The chain of plugins, in order."""

    def __init__(self, storage: Storage, allocator: ServiceAllocator, outside: Outside,
                 more: Sequence[Plugin] = ()) -> None:
        self._allocator = allocator
        self.plugins = [*(plugin(storage) for plugin in ORDER), *(plugin(storage, outside) for plugin in DYNAMIC),
                        ResourceQuota(storage), Certificates(storage, outside), *more]
        self._wanting: dict[tuple[str, str, str], tuple[Chain, Chain]] = {}

    async def admit(self, call: Call, obj: Obj, old: Obj | None) -> None:
        """Let every plugin complete or refuse the write. Raises `Forbidden`, `NotFound`, or what a webhook says."""
        a = Attributes(call, "CREATE" if old is None else "UPDATE", obj, old or NO_OBJ)
        await self._of(a)[0].run(a)

    async def validate(self, call: Call, obj: Obj, old: Obj | None) -> None:
        """Let every plugin refuse the write, now that the object is complete and valid."""
        a = Attributes(call, "CREATE" if old is None else "UPDATE", obj, old or NO_OBJ)
        await self._of(a)[1].run(a)

    async def remove(self, call: Call, old: Obj, options: Obj) -> None:
        """Let webhooks and policies refuse that an object goes."""
        await self._look(Attributes(call, "DELETE", {}, old, options))

    async def connect(self, call: Call) -> None:
        """Let webhooks and policies refuse a connection to a pod, a service or a node."""
        _, version, kind = kind_of(call.kind, call.subresource)
        options = {key: value.lower() not in ("0", "false") if key in FLAGS else value
                   for key, value in call.query.items() if key not in ("command", "ports")}
        await self._look(Attributes(call, "CONNECT", {"kind": kind, "apiVersion": version, **options}, {}))

    async def create_part(self, call: Call, sent: Obj) -> None:
        """Let webhooks and policies refuse a Binding or an Eviction."""
        await self._look(Attributes(call, "CREATE", sent, {}))

    async def _look(self, a: Attributes) -> None:
        for chain in self._of(a):
            await chain.run(a)

    def _of(self, a: Attributes) -> tuple[Chain, Chain]:
        """Return who wants to admit and who to validate a write like this one."""
        key = (a.operation, a.call.kind.builtin, a.call.info.subresource)
        found = self._wanting.get(key)
        if found is None:
            wanting = [plugin for plugin in self.plugins if plugin.wants(a.operation, a.resource)]
            found = self._wanting[key] = (Chain("admit", a.operation, wanting), Chain("validate", a.operation, wanting))
        return found

    def allocate(self, call: Call, obj: Obj, old: Obj | None) -> None:
        """Give a Service its addresses and ports, after it was found valid. Raises `Invalid`."""
        if call.kind.builtin == "services" and not call.subresource:
            self._allocator.allocate(obj, old, dry_run=call.dry_run)

    def release(self, call: Call, obj: Obj) -> None:
        """Take back what `allocate` gave, since the write did not happen."""
        if call.kind.builtin == "services" and not call.subresource:
            self._allocator.forget(obj)
