"""ResourceQuota: what a write takes is written into the quota's status before the write happens.

    Pod ─► usage ─► room in every quota of the namespace? ─► status.used += usage (compare and swap) ─► store

Invariant: the sum of what was admitted never exceeds `hard`, however many writers and API servers there are.
Models:    k8s.io/apiserver/pkg/admission/plugin/resourcequota
Left out:  limitedResources of an admission configuration; what a failed write took is freed by the quota controller
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from fractions import Fraction

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.control_plane.apiserver.storage import Changed
from kubelab.machinery.quantity import canonical, parse
from kubelab.machinery.request import Obj
from kubelab.units.pods.resources import Amounts, written
from kubelab.units.quota_usage import concerns, counts, unstated, usage_of

CHANGING = frozenset({"services", "persistentvolumeclaims", "pods/resize"})  # whose usage an update may raise


class ResourceQuota(Plugin):
    name = "ResourceQuota"
    handles = ("CREATE *", "UPDATE *")

    def validate(self, a: Attributes) -> Awaitable[None] | None:
        collection = self.storage.collections.get(("", "resourcequotas"))
        if collection is None or not collection.objects or not a.call.kind.namespaced:
            return None
        if (a.operation == "UPDATE" and a.resource not in CHANGING) or (a.operation == "CREATE" and a.call.subresource):
            return None
        return self._charge(a)

    async def _charge(self, a: Attributes) -> None:
        """Take what the object needs from each quota that counts it. Raises `Forbidden` when one has no room."""
        kind = a.call.kind
        if a.operation == "CREATE" and f"{a.namespace}/{a.name}" in a.call.collection.objects:
            return  # it will be answered with AlreadyExists, and takes nothing
        quotas = [quota for quota in self.objects("", "resourcequotas", a.namespace)
                  if counts(quota, kind.plural, kind.group, a.obj)]
        for quota in quotas:
            self._see_counted(a, quota)
        asked = [(quota, self._usage(a, quota)) for quota in quotas]
        for quota, usage in asked:  # first see whether all have room, so that nothing is taken in vain
            self._room(a, quota, usage)
        if not a.call.dry_run:
            for quota, usage in asked:
                await self._take(a, quota["metadata"]["name"], usage)

    def _usage(self, a: Attributes, quota: Obj) -> Amounts:
        """Return what a write takes of a quota; an update takes what is more than before, if it was counted before."""
        kind = a.call.kind
        usage = usage_of(kind.plural, kind.group, a.obj)
        if not a.old or not counts(quota, kind.plural, kind.group, a.old):
            return usage
        before = usage_of(kind.plural, kind.group, a.old)
        return {key: amount - before.get(key, 0) for key, amount in usage.items() if amount > before.get(key, 0)}

    def _see_counted(self, a: Attributes, quota: Obj) -> None:
        """Refuse what does not say how much it takes, and all while it is not known how much is taken."""
        kind, name, status = a.call.kind, quota["metadata"]["name"], quota.get("status") or NO_OBJ
        named = [key for key in sorted(status.get("hard") or ()) if concerns(kind.plural, kind.group, key)]
        if kind.plural == "pods" and not kind.group and a.operation == "CREATE":
            missing = unstated(a.obj, named)
            if missing:
                raise a.forbidden(f"failed quota: {name}: must specify {missing}")
        if any(key not in (status.get("used") or NO_OBJ) for key in named):
            raise a.forbidden(f"status unknown for quota: {name}, resources: {','.join(named)}")

    def _room(self, a: Attributes, quota: Obj, usage: Amounts) -> Obj | None:
        """Return the status of a quota with this usage added, or None when it does not count it."""
        name, status = quota["metadata"]["name"], quota.get("status") or NO_OBJ
        hard: Mapping[str, str] = status.get("hard") or NO_OBJ
        used: Mapping[str, str] = status.get("used") or NO_OBJ
        asked = {key: amount for key, amount in usage.items() if key in hard and amount}
        if not asked:
            return None
        after = {key: parse(used.get(key, "0")) + amount for key, amount in asked.items()}
        over = sorted(key for key, amount in after.items() if amount > parse(hard[key]))
        if over:
            raise a.forbidden(f"exceeded quota: {name}, requested: {_shown({k: asked[k] for k in over})}, "
                              f"used: {_listed({k: used.get(k, '0') for k in over})}, "
                              f"limited: {_listed({k: hard[k] for k in over})}")
        return {**status, "used": {**used, **{key: written(key, amount) for key, amount in after.items()}}}

    async def _take(self, a: Attributes, name: str, usage: Amounts) -> None:
        collection = self.storage.of("", "resourcequotas")

        def charged(quota: Obj) -> Obj | None:
            status = self._room(a, quota, usage)
            return status and {**quota, "metadata": {**quota["metadata"]}, "status": status}

        try:
            await self.storage.change(collection, f"{a.namespace}/{name}", charged)  # the reservation
        except Changed:
            raise a.forbidden(f"status unknown for quota: {name}, resources: {','.join(sorted(usage))}") from None


def _shown(amounts: Mapping[str, Fraction]) -> str:
    return ",".join(f"{key}={written(key, amount)}" for key, amount in sorted(amounts.items()))


def _listed(texts: Mapping[str, str]) -> str:
    return ",".join(f"{key}={canonical(text)}" for key, text in sorted(texts.items()))
