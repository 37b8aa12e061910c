"""ValidatingAdmissionPolicy: rules in CEL that refuse, warn of, or note a write.

Models:    k8s.io/apiserver/pkg/admission/plugin/policy/validating
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import orjson

from kubelab.control_plane.apiserver.admission.plugin import Attributes
from kubelab.control_plane.apiserver.admission.policy_base import CHECK_BUCKETS, Evaluation, Policies
from kubelab.machinery import metrics
from kubelab.machinery.cel import CelError
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj

CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
FAILED = "validation.policy.admission.k8s.io/validation_failure"
MAX_MESSAGE_BYTES, MAX_NOTE = 5 * 1024, 10 * 1024
LABELS = ("policy", "policy_binding", "error_type", "enforcement_action")
CHECKS = metrics.counter(
    "apiserver_validating_admission_policy_check_total", "Validation admission policy check total, labeled by policy "
    "and further identified by binding and enforcement action taken.", LABELS)
CHECK_SECONDS = metrics.histogram(
    "apiserver_validating_admission_policy_check_duration_seconds", "Validation admission latency for individual "
    "validation expressions in seconds, labeled by policy and further including binding and enforcement action taken.",
    LABELS, CHECK_BUCKETS)


@dataclass(frozen=True, slots=True)
class Denial:
    """What a policy has against a request."""

    policy: Obj
    binding: Obj
    message: str
    reason: str = "Invalid"
    index: int = 0
    error: str = "no_error"
    seconds: float = 0.0  # that its expression took

    def sentence(self, what: str) -> str:
        names = f"'{self.policy['metadata']['name']}' with binding '{self.binding['metadata']['name']}'"
        return f"{what} {names}"


class ValidatingAdmissionPolicy(Policies):
    name = "ValidatingAdmissionPolicy"
    plural, bindings = "validatingadmissionpolicies", "validatingadmissionpolicybindings"

    def validate(self, a: Attributes) -> None:
        if not self.concerns(a):
            return
        denied: list[Denial] = []
        for found in self.evaluations(a):
            if isinstance(found, Evaluation):
                denials = list(_denials(found))
                denied += _note(found, a)
            else:
                denials = list(_failure(*found))
            for denial in denials:
                _act(denial, a, denied)
        if denied:
            raise _refusal(denied[0], a)


def _denials(evaluation: Evaluation) -> Iterator[Denial]:
    for i, validation in enumerate(evaluation.spec.get("validations") or ()):
        began = perf_counter()
        try:
            if evaluation.value(validation["expression"]) is not True:
                yield Denial(evaluation.policy, evaluation.binding, _message(evaluation, validation),
                             validation.get("reason") or "Invalid", i, seconds=perf_counter() - began)
        except CelError as error:
            yield from _failure(evaluation.policy, evaluation.binding, error, i, perf_counter() - began)


def _failure(policy: Obj, binding: Obj, error: CelError, index: int = 0, seconds: float = 0.0) -> Iterator[Denial]:
    """An expression that comes to no value denies, unless the policy may fail."""
    denial = Denial(policy, binding, str(error), index=index, error="invalid_error", seconds=seconds)
    if policy["spec"].get("failurePolicy") != "Ignore":
        yield denial
    else:
        _count(denial, "allow")


def _count(denial: Denial, action: str) -> None:
    labels = denial.policy["metadata"]["name"], denial.binding["metadata"]["name"], denial.error, action
    CHECKS.add(labels)
    CHECK_SECONDS.observe(labels, denial.seconds)


def _message(evaluation: Evaluation, validation: Obj) -> str:
    if validation.get("messageExpression"):
        try:
            text = evaluation.value(validation["messageExpression"])
        except CelError:
            text = ""
        text = text.strip() if isinstance(text, str) else ""
        if text and "\n" not in text and len(text.encode()) <= MAX_MESSAGE_BYTES:
            return text
    given = (validation.get("message") or "").strip()
    return given or f"failed expression: {validation['expression'].strip()}"


def _act(denial: Denial, a: Attributes, denied: list[Denial]) -> None:
    for action in denial.binding["spec"].get("validationActions") or ():
        _count(denial, action.lower())
        if action == "Deny":
            denied.append(denial)
        elif action == "Warn":
            head = denial.sentence("Validation failed for ValidatingAdmissionPolicy")
            a.call.warnings.append(f"{head}: {denial.message}")
        elif action == "Audit":
            noted = {"message": denial.message, "policy": denial.policy["metadata"]["name"],
                     "binding": denial.binding["metadata"]["name"], "expressionIndex": denial.index,
                     "validationActions": denial.binding["spec"]["validationActions"]}
            a.call.audit.setdefault(FAILED, orjson.dumps([noted]).decode())  # upstream keeps the first alone


def _note(evaluation: Evaluation, a: Attributes) -> Iterator[Denial]:
    """Write the policy's own annotations into the audit log; one without a value denies, whatever the binding says."""
    for annotation in evaluation.spec.get("auditAnnotations") or ():
        try:
            value = evaluation.value(annotation["valueExpression"])
        except CelError as error:
            yield from _failure(evaluation.policy, evaluation.binding, error)
            continue
        if isinstance(value, str) and value.strip():
            key, text = f"{evaluation.policy['metadata']['name']}/{annotation['key']}", value.strip()[:MAX_NOTE]
            told = [one for one in a.call.audit.get(key, "").split(", ") if one]  # of other bindings and parameters
            a.call.audit[key] = ", ".join(told if text in told else [*told, text])


def _refusal(denial: Denial, a: Attributes) -> ApiError:
    message = f"{denial.sentence('ValidatingAdmissionPolicy')} denied request: {denial.message}"
    error = a.forbidden(message)
    error.code, error.reason = CODES.get(denial.reason, 422), denial.reason
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error
