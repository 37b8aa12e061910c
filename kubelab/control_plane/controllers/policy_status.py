"""Status of validating admission policies: what their expressions would not find in the kinds that they match.

    policy event ─► written since it was last looked at? ─► warnings ─► status.typeChecking, observedGeneration

Invariant: the status is of the generation that it names.
Models:    kube-controller-manager, validatingadmissionpolicy-status-controller
"""

from __future__ import annotations

from collections.abc import Callable

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.machinery.cel_types import Shape
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj
from kubelab.units import by_path
from kubelab.units.admission_typecheck import Type, built_in, custom, warnings

POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


class PolicyStatusController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client, self.policies = client, informers.of(POLICIES)
        self.definitions = informers.of("customresourcedefinitions")
        super().__init__(name, clock=clock, journal=journal, informers=(self.policies, self.definitions))
        self.policies.on_event(self._on_policy)

    def _on_policy(self, type_: str, policy: Obj, old: Obj | None) -> None:
        if type_ != "DELETED" and _is_new(policy):
            self.queue.add(policy["metadata"]["name"])

    async def reconcile(self, key: str) -> None:
        policy = self.policies.get(key)
        if policy is None or not _is_new(policy):
            return
        told = warnings(policy, self._kind, self._shape)
        status = {"observedGeneration": policy["metadata"]["generation"],
                  "typeChecking": {"expressionWarnings": told} if told else {}}
        await self.client.patch(POLICIES, key, {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": key}, "status": status}, type="apply", subresource="status", field_manager=self.name,
            force=True)

    def _kind(self, group: str, version: str, plural: str) -> str | None:
        known = by_path(group, version, plural)
        if known is not None:
            return known.kind
        found = self._served(lambda spec: spec["names"]["plural"] == plural, group, version)
        return found[0]["names"]["kind"] if found is not None else None

    def _shape(self, type_: Type) -> Shape | None:
        group, version, kind = type_
        found = self._served(lambda spec: spec["names"]["kind"] == kind, group, version)
        if found is None:
            return built_in(type_)
        return custom((found[1].get("schema") or {}).get("openAPIV3Schema") or {})

    def _served(self, wanted: Callable[[Obj], bool], group: str, version: str) -> tuple[Obj, Obj] | None:
        """Return the spec and the version of the definition that serves a custom kind."""
        specs = (crd["spec"] for crd in self.definitions.list())
        return next(((spec, v) for spec in specs if spec["group"] == group and wanted(spec) for v in spec["versions"]
                     if v["name"] == version and v["served"]), None)


def _is_new(policy: Obj) -> bool:
    status = policy.get("status") or {}
    return int(policy["metadata"].get("generation", 0)) > int(status.get("observedGeneration", 0))
