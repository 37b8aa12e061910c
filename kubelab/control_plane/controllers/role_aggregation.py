"""Cluster role aggregation: a role that gathers others by their labels has the rules of all of them.

    ClusterRole event ─► every role with an aggregationRule ─► rules of those it selects, by name ─► apply rules

Invariant: rules are written where they differ alone; a role never gathers itself.
Models:    kube-controller-manager, clusterrole-aggregation-controller
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector

ROLES = "clusterroles"


def gathered(role: Obj, everyone: Iterable[Obj]) -> list[Obj]:
    """Return the rules that a role's selectors gather, each once."""
    others = sorted((other for other in everyone if other["metadata"]["name"] != role["metadata"]["name"]),
                    key=lambda other: str(other["metadata"]["name"]))
    found: list[Obj] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        wanted = from_label_selector(selector)
        for other in others:
            if wanted.matches(other["metadata"].get("labels")):
                found += [rule for rule in other.get("rules") or () if rule not in found]
    return found


class RoleAggregationController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client, self.roles = client, informers.of(ROLES)
        super().__init__(name, clock=clock, journal=journal, informers=(self.roles,))
        self.roles.on_event(self._on_role)

    def _on_role(self, type_: str, role: Obj, old: Obj | None) -> None:
        for one in self.roles.list():
            if one.get("aggregationRule") is not None:
                self.queue.add(one["metadata"]["name"])

    async def reconcile(self, key: str) -> None:
        role = self.roles.get(key)
        if role is None or role.get("aggregationRule") is None:
            return
        rules = gathered(role, self.roles.list())
        if rules != (role.get("rules") or []):
            await self.client.patch(ROLES, key, {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": key},
                "rules": rules}, type="apply", field_manager=self.name, force=True)
