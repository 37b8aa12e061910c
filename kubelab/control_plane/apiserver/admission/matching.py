"""Which requests a webhook or a policy is about: rules, selectors, match conditions.

Invariant: configurations of admission are never subject to it, so that nobody can lock everybody out.
Models:    k8s.io/apiserver/pkg/admission/plugin/webhook/predicates and matchconditions
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes
from kubelab.machinery.cel import CelError, compiled
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector
from kubelab.units.admission_expressions import CONDITION_VARIABLES
from kubelab.units.rbac_rules import listed

Namespaces = Callable[[str], Obj | None]


def any_rule_matches(rules: Iterable[Obj], a: Attributes, *, equivalent: bool = True) -> bool:
    """Say whether a rule (or resource rule of a policy) names this operation on this resource.

    With `equivalent`, a rule for another version of the same resource is as good.
    """
    return any(equivalent or listed(versions, a.call.kind.version) for versions in _matching(rules, a))


def version_wanted(rules: Iterable[Obj], a: Attributes) -> str:
    """Return the version in which the rules that match name the resource: the request's own, or the first other."""
    named = [version for versions in _matching(rules, a) for version in versions]
    own = a.call.kind.version
    return own if not named or listed(named, own) else str(named[0])


def _matching(rules: Iterable[Obj], a: Attributes) -> Iterator[Sequence[str]]:
    """Yield the versions of each rule that matches in everything else."""
    for rule in rules:
        if listed(rule.get("operations"), a.operation) and listed(rule.get("apiGroups"), a.call.kind.group) \
                and _scope_matches(rule.get("scope") or "*", a) \
                and any(_resource_matches(pattern, a) for pattern in rule.get("resources") or ()) \
                and (not rule.get("resourceNames") or a.name in rule["resourceNames"]):
            yield rule.get("apiVersions") or ()


def _scope_matches(scope: str, a: Attributes) -> bool:
    return scope == "*" or (scope == "Namespaced") == a.call.kind.namespaced


def _resource_matches(pattern: str, a: Attributes) -> bool:
    resource, _, subresource = pattern.partition("/")
    return resource in ("*", a.call.kind.plural) and (subresource == a.call.info.subresource or subresource == "*")


def selectors_match(hook: Obj, a: Attributes, namespaces: Namespaces) -> bool:
    """Say whether the namespace and the object have the labels that are wanted."""
    selector = hook.get("namespaceSelector")
    if selector and (a.call.kind.namespaced or a.call.kind.plural == "namespaces"):
        namespace = (a.obj or a.old) if not a.call.kind.namespaced else namespaces(a.namespace) or NO_OBJ
        if not from_label_selector(selector).matches(_labels(namespace)):
            return False
    selector = hook.get("objectSelector")
    if selector:
        wanted = from_label_selector(selector)
        return any(wanted.matches(_labels(obj)) for obj in (a.obj, a.old) if obj)
    return True


def _labels(obj: Obj) -> dict[str, str]:
    return (obj.get("metadata") or NO_OBJ).get("labels") or {}


def conditions_hold(conditions: Iterable[Obj], data: Obj, variables: tuple[str, ...] = CONDITION_VARIABLES) -> bool:
    """Say whether every match condition is true. Raises `CelError` when none is false and one comes to no value.

    They may name the namespace's object, and find null.
    """
    failed: list[str] = []
    data = data | {"namespaceObject": None}
    for condition in conditions:
        try:
            if compiled(condition["expression"], variables).eval(data) is not True:
                return False
        except CelError as error:
            failed.append(f"expression '{condition['expression']}' resulted in error: {error}")
    if failed:
        raise CelError(failed[0] if len(failed) == 1 else f"[{', '.join(failed)}]")
    return True
