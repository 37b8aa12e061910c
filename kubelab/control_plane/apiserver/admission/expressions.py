"""CEL in configurations of admission: refused when it is written, if it does not compile or is of the wrong type.

Models:    pkg/apis/admissionregistration/validation
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from kubelab.control_plane.apiserver.admission.matching import CONDITION_VARIABLES
from kubelab.control_plane.apiserver.admission.object_literals import as_maps
from kubelab.control_plane.apiserver.admission.policy_base import VARIABLES
from kubelab.control_plane.apiserver.cel import CelError, compiled
from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind

GROUP = "admissionregistration.k8s.io"
# (path to a list, field of an item, what it must evaluate to) of a policy's spec
OF_POLICY = (("variables", "expression", ""), ("validations", "expression", "bool"),
             ("validations", "messageExpression", "string"), ("auditAnnotations", "valueExpression", "string"),
             ("mutations", "jsonPatch.expression", ""), ("mutations", "applyConfiguration.expression", ""))


def with_expressions(kind: Kind) -> Kind:
    """Return a kind whose validation compiles the expressions in it too."""
    if kind.group != GROUP:
        return kind
    errors: Callable[[Obj], Iterator[FieldError]]
    if kind.kind.endswith("WebhookConfiguration"):
        errors = _webhook_errors
    elif kind.kind.endswith("Policy"):
        errors = _policy_errors
    else:
        return kind

    def validate(obj: Obj) -> Sequence[FieldError]:
        return [*kind.validate(obj), *errors(obj)]

    return replace(kind, validate=validate)


def _webhook_errors(obj: Obj) -> Iterator[FieldError]:
    for i, hook in enumerate(obj.get("webhooks") or ()):
        yield from _condition_errors(f"webhooks[{i}].matchConditions", hook, CONDITION_VARIABLES)


def _policy_errors(obj: Obj) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    yield from _condition_errors("spec.matchConditions", spec, VARIABLES)
    for place, name, type_ in OF_POLICY:
        for i, item in enumerate(spec.get(place) or ()):
            found = item
            for step in name.split("."):
                found = (found or {}).get(step)
            if isinstance(found, str) and found.strip():
                yield from _errors(f"spec.{place}[{i}].{name}", found, VARIABLES, type_)


def _condition_errors(path: str, obj: Obj, variables: tuple[str, ...]) -> Iterator[FieldError]:
    for i, condition in enumerate(obj.get("matchConditions") or ()):
        if (condition.get("expression") or "").strip():
            yield from _errors(f"{path}[{i}].expression", condition["expression"], variables, "bool")


def _errors(path: str, expression: str, variables: tuple[str, ...], type_: str) -> Iterator[FieldError]:
    try:
        found = compiled(as_maps(expression) if "mutations" in path else expression, variables).returns
    except CelError as error:
        yield invalid_value(path, expression, f"compilation failed: {error}")
        return
    if type_ and found not in (type_, "dyn") and not ("auditAnnotations" in path and found == "null"):
        yield invalid_value(path, expression, f"must evaluate to {type_} but got {found}")
