"""MutatingAdmissionPolicy: changes in CEL, as a partial object that is merged or as a JSON patch.

Models:    k8s.io/apiserver/pkg/admission/plugin/policy/mutating
"""

from __future__ import annotations

from time import perf_counter

from kubelab.control_plane.apiserver.admission.dynamic import adopt
from kubelab.control_plane.apiserver.admission.plugin import Attributes
from kubelab.control_plane.apiserver.admission.policy_base import CHECK_BUCKETS, Evaluation, Policies
from kubelab.machinery import metrics, schema, typed
from kubelab.machinery.cel import CelError
from kubelab.machinery.cel_literals import as_maps
from kubelab.machinery.errors import ApiError
from kubelab.machinery.fieldset import ANY
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.patch import json_patch
from kubelab.machinery.request import Obj

LABELS = ("policy", "policy_binding", "error_type")
CHECKS = metrics.counter(
    "apiserver_mutating_admission_policy_check_total", "Mutation admission policy check total, labeled by policy and "
    "further identified by binding.", LABELS)
CHECK_SECONDS = metrics.histogram(
    "apiserver_mutating_admission_policy_check_duration_seconds", "Mutation admission latency for individual mutation "
    "expressions in seconds, labeled by policy and binding.", LABELS, CHECK_BUCKETS)


class MutatingAdmissionPolicy(Policies):
    name = "MutatingAdmissionPolicy"
    plural, bindings, early = "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", True

    def admit(self, a: Attributes) -> None:
        if not self.concerns(a) or a.operation not in ("CREATE", "UPDATE") or not a.obj:
            return
        for found in self.evaluations(a):
            if not isinstance(found, Evaluation):
                self._failed(*found, a)
                continue
            key = "/".join(found.names)
            if a.runs(key):
                began = perf_counter()
                try:
                    self._mutate(found, a)
                    _count(found, "no_error", perf_counter() - began)
                except CelError as error:
                    _count(found, "invalid_error", perf_counter() - began)
                    self._failed(found.policy, found.binding, error, a)
                a.ran(key, found.spec.get("reinvocationPolicy") == "IfNeeded")

    def _mutate(self, evaluation: Evaluation, a: Attributes) -> None:
        for mutation in evaluation.spec.get("mutations") or ():
            now = copy_obj(a.call.outward(a.obj))
            evaluation.data["object"] = now  # what the mutation before has made of it
            if mutation.get("patchType") == "JSONPatch":
                operations = evaluation.value(as_maps(mutation["jsonPatch"]["expression"]))
                new = _patched(now, operations)
            else:
                new = _merged(now, evaluation.value(as_maps(mutation["applyConfiguration"]["expression"])))
            if adopt(a, new):
                a.changed()

    def _failed(self, policy: Obj, binding: Obj, error: CelError, a: Attributes) -> None:
        if policy["spec"].get("failurePolicy") != "Ignore":
            raise a.forbidden(f"MutatingAdmissionPolicy '{policy['metadata']['name']}' with binding "
                              f"'{binding['metadata']['name']}' denied request: {error}")


def _count(evaluation: Evaluation, error: str, seconds: float) -> None:
    labels = (*evaluation.names, error)
    CHECKS.add(labels)
    CHECK_SECONDS.observe(labels, seconds)


def _patched(obj: Obj, operations: object) -> Obj:
    try:
        return json_patch(obj, operations)
    except ApiError as error:
        raise CelError(f"JSON Patch: {error.message}") from None


def _merged(obj: Obj, partial: object) -> Obj:
    if not isinstance(partial, dict):
        raise CelError("the expression of an apply configuration comes to no object")
    if {"apiVersion", "kind"} & partial.keys():
        raise CelError("apply configuration must not contain apiVersion or kind")
    node = schema.compiled(obj["apiVersion"], obj["kind"]) or ANY
    merged: Obj = copy_obj(typed.merged(node, obj, partial))
    return merged
