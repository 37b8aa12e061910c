"""CEL in configurations of admission: refused when it is written, if it does not compile or is of the wrong type.

Models:    pkg/apis/admissionregistration/validation
"""

from __future__ import annotations

from collections.abc import Iterator

from kubelab.machinery.cel import CelError, compiled
from kubelab.machinery.cel_literals import as_maps
from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.request import Obj

CONDITION_VARIABLES = ("object", "oldObject", "request", "authorizer")
VARIABLES = ("object", "oldObject", "request", "params", "namespaceObject", "authorizer", "variables")
# (path to a list, field of an item, what it must evaluate to) of a policy's spec
OF_POLICY = (("variables", "expression", ""), ("validations", "expression", "bool"),
             ("validations", "messageExpression", "string"), ("auditAnnotations", "valueExpression", "string"),
             ("mutations", "jsonPatch.expression", ""), ("mutations", "applyConfiguration.expression", ""))


def of_hook(path: str, hook: Obj) -> Iterator[FieldError]:
    """What is wrong with the expressions of a webhook."""
    return _condition_errors(f"{path}.matchConditions", hook, CONDITION_VARIABLES)


def of_policy(spec: Obj) -> Iterator[FieldError]:
    """What is wrong with the expressions of a policy."""
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
