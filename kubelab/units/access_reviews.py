"""What may be asked of the authoriser: one thing, of someone, with selectors that say what they select.

    review ─► resource or path, not both ─► a user or groups ─► selectors ─► metadata empty

Invariant: operators that are not known are let pass; the authoriser of a newer client may know them.
Models:    pkg/apis/authorization/validation of kube-apiserver
"""

from __future__ import annotations

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

LOCAL, SELF = "LocalSubjectAccessReview", "SelfSubjectAccessReview"
OF_SERVER = frozenset(("managedFields", "creationTimestamp"))


def review_errors(review: Obj) -> list[FieldError]:
    """Return what is wrong with an access review."""
    return list(_errors(review, review["kind"]))


def selected(resource: Obj, field: str) -> str:
    """Return the one value that a review's field selector leaves to a field, or ""."""
    selector = resource.get("fieldSelector") or {}
    for one in selector.get("requirements") or ():
        if one.get("key") == field and one.get("operator") == "In" and len(one.get("values") or ()) == 1:
            return str(one["values"][0])
    for part in (selector.get("rawSelector") or "").split(","):
        name, equals, value = part.replace("==", "=").partition("=")
        if equals and name == field:
            return str(value)
    return ""


def _errors(review: Obj, kind: str) -> rules.Errors:
    spec, meta = review.get("spec") or {}, review.get("metadata") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        yield _of_path("spec.nonResourceAttributes", path, "cannot be specified in combination with resourceAttributes")
    if resource is None and path is None:
        yield invalid_value("spec.resourceAttributes", None,
                            "exactly one of nonResourceAttributes or resourceAttributes must be specified")
    if kind != SELF and not spec.get("user") and not spec.get("groups"):
        yield invalid_value("spec.user", "", "at least one of user or group must be specified")
    for selector in ("fieldSelector", "labelSelector"):
        if resource is not None and resource.get(selector) is not None:
            yield from _selector(f"spec.resourceAttributes.{selector}", resource[selector], selector == "labelSelector")
    allowed = OF_SERVER | ({"namespace"} if kind == LOCAL else set())
    if {key for key, value in meta.items() if value} - allowed:
        yield rules.invalid_struct("metadata", meta,
                                   "must be empty except for namespace" if kind == LOCAL else "must be empty")
    if kind == LOCAL and resource is not None and resource.get("namespace", "") != meta.get("namespace", ""):
        yield invalid_value("spec.resourceAttributes.namespace", resource.get("namespace", ""),
                            "must match metadata.namespace")
    if kind == LOCAL and path is not None:
        yield _of_path("spec.nonResourceAttributes", path, "disallowed on this kind of request")


def _of_path(field: str, path: Obj, detail: str) -> FieldError:
    return rules.invalid_struct(field, {"Path": path.get("path", ""), "Verb": path.get("verb", "")}, detail)


def _selector(path: str, selector: Obj, of_labels: bool) -> rules.Errors:
    raw, wanted = selector.get("rawSelector"), selector.get("requirements") or ()
    if raw and wanted:
        yield invalid_value(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not wanted:
        yield required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
    for i, one in enumerate(wanted):
        where = f"{path}.requirements[{i}]"
        if not of_labels and not one.get("key"):
            yield required(f"{where}.key", "must be specified")
        operator, values = one.get("operator", ""), one.get("values")
        if operator in ("In", "NotIn") and not values:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield rules.forbidden(f"{where}.values", rules.NO_VALUES)
        if of_labels:
            yield from rules.qualified_name(f"{where}.key", one.get("key", ""))
            for j, value in enumerate(values or ()):
                yield from rules.messages(f"{where}.values[{j}]", value, names.label_value_errors)
