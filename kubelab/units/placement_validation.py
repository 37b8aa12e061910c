"""What a pod may say about where it wants to run: affinity, tolerations, topology spread.

Models: validateAffinity, ValidateTolerations and validateTopologySpreadConstraints of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NO_SELECTOR = "must not be specified when labelSelector is not set"
TWICE = "exists in both matchLabelKeys and labelSelector"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def affinity_errors(affinity: Obj, path: str) -> rules.Errors:
    yield from _node_affinity(affinity.get("nodeAffinity") or {}, f"{path}.nodeAffinity")
    for key in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(affinity.get(key) or {}, f"{path}.{key}")


def _node_affinity(affinity: Obj, path: str) -> rules.Errors:
    if affinity.get(REQUIRED) is not None:
        yield from node_selector_errors(affinity[REQUIRED], f"{path}.{REQUIRED}")
    for i, preferred in enumerate(affinity.get(PREFERRED) or ()):
        field = f"{path}.{PREFERRED}[{i}]"
        yield from _weight(preferred.get("weight", 0), f"{field}.weight")
        yield from _node_term(preferred.get("preference") or {}, f"{field}.preference")


def node_selector_errors(selector: Obj, path: str) -> rules.Errors:
    """What is wrong with the terms of which a node must fulfil one."""
    terms, field = selector.get("nodeSelectorTerms") or (), f"{path}.nodeSelectorTerms"
    if not terms:
        yield required(field, "must have at least one node selector term")
    for i, term in enumerate(terms):
        yield from _node_term(term, f"{field}[{i}]", must=True)


def _weight(weight: int, path: str) -> rules.Errors:
    if not 1 <= weight <= 100:
        yield invalid_value(path, weight, "must be in the range 1-100")


def _node_term(term: Obj, path: str, must: bool = False) -> rules.Errors:
    """What is wrong with a term; only those that a node must fulfil have to name values that labels can have."""
    for i, rule in enumerate(term.get("matchExpressions") or ()):
        field = f"{path}.matchExpressions[{i}]"
        yield from _node_rule(rule, field)
        yield from rules.qualified_name(f"{field}.key", rule.get("key", ""))
        for j, value in enumerate((rule.get("values") or ()) if must else ()):
            yield from rules.messages(f"{field}.values[{j}]", value, names.label_value_errors)
    for i, rule in enumerate(term.get("matchFields") or ()):
        field, values = f"{path}.matchFields[{i}]", rule.get("values") or ()
        if rule.get("operator") not in ("In", "NotIn"):
            yield invalid_value(f"{field}.operator", rule.get("operator", ""), "not a valid selector operator")
        elif len(values) != 1:
            yield required(f"{field}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node "
                                              "field selector")
        if rule.get("key") != "metadata.name":
            yield invalid_value(f"{field}.key", rule.get("key", ""), "not a valid field selector key")
        else:
            for j, value in enumerate(values):
                yield from rules.subdomain_name(f"{field}.values[{j}]", value)


def _node_rule(rule: Obj, path: str) -> rules.Errors:
    operator, values = rule.get("operator", ""), rule.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield rules.forbidden(f"{path}.values", rules.NO_VALUES)
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def _pod_affinity(affinity: Obj, path: str) -> rules.Errors:
    for i, term in enumerate(affinity.get(REQUIRED) or ()):
        yield from _pod_term(term, f"{path}.{REQUIRED}[{i}]")
    for i, preferred in enumerate(affinity.get(PREFERRED) or ()):
        field = f"{path}.{PREFERRED}[{i}]"
        yield from _weight(preferred.get("weight", 0), f"{field}.weight")
        yield from _pod_term(preferred.get("podAffinityTerm") or {}, f"{field}.podAffinityTerm")


def _pod_term(term: Obj, path: str) -> rules.Errors:
    yield from rules.label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    yield from rules.label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        yield from rules.label_name(f"{path}.namespace", name)
    yield from _key_errors(term, path)
    key = term.get("topologyKey", "")
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from rules.qualified_name(f"{path}.topologyKey", key)


def _key_errors(term: Obj, path: str) -> rules.Errors:
    """What is wrong with the keys whose values are to be those of the pod itself, or others."""
    selector, same = term.get("labelSelector"), term.get("matchLabelKeys") or ()
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        if term.get(field) and selector is None:
            yield rules.forbidden(f"{path}.{field}", NO_SELECTOR)
        else:
            for i, key in enumerate(term.get(field) or ()):
                yield from rules.qualified_name(f"{path}.{field}[{i}]", key)
    yield from (invalid_value(f"{path}[{i}]", key, TWICE) for i, key in _selected_twice(selector or {}, same))
    for i, key in enumerate(same):
        if key in (term.get("mismatchLabelKeys") or ()):
            yield invalid_value(f"{path}.matchLabelKeys[{i}]", key,
                                "exists in both matchLabelKeys and mismatchLabelKeys")


def _selected_twice(selector: Obj, keys: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the keys, with their places, of which the selector says more than what the server added for them."""
    where = {key: i for i, key in enumerate(keys)}
    seen = set(selector.get("matchLabels") or ())
    for rule in selector.get("matchExpressions") or ():
        key = rule.get("key", "")
        if key in where and key in seen:
            yield where[key], key
        seen.add(key)


def toleration_errors(tolerations: Sequence[Obj], path: str) -> rules.Errors:
    for i, one in enumerate(tolerations):
        yield from _toleration(one, f"{path}[{i}]")


def _toleration(one: Obj, path: str) -> rules.Errors:
    key, operator, effect, value = (one.get(name, "") for name in ("key", "operator", "effect", "value"))
    if key:
        yield from rules.qualified_name(f"{path}.key", key)
    elif operator != "Exists":
        yield invalid_value(f"{path}.operator", operator, "operator must be Exists when `key` is empty, which means "
                                                          '"match all values and all keys"')
    if one.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid_value(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("Equal", ""):
        if wrong := names.label_value_errors(value):
            yield invalid_value(f"{path}.operator", value, ";".join(wrong))
    elif operator != "Exists":
        yield rules.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    elif value:
        yield invalid_value(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    if effect and effect not in EFFECTS:
        yield rules.unsupported(f"{path}.effect", effect, EFFECTS)


def spread_errors(constraints: Sequence[Obj], path: str) -> rules.Errors:
    kinds = [(one.get("topologyKey", ""), one.get("whenUnsatisfiable", "")) for one in constraints]
    for i, (one, (key, when)) in enumerate(zip(constraints, kinds, strict=True)):
        field = f"{path}[{i}]"
        if one.get("maxSkew", 0) <= 0:
            yield invalid_value(f"{field}.maxSkew", one.get("maxSkew", 0), "must be greater than zero")
        if not key:
            yield required(f"{field}.topologyKey", "can not be empty")
        yield from rules.known(f"{field}.whenUnsatisfiable", when, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, when) in kinds[i + 1:]:
            yield duplicate(f"{field}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}")
        yield from _spread_details(one, field)


def _spread_details(one: Obj, path: str) -> rules.Errors:
    minimum, selector, keys = one.get("minDomains"), one.get("labelSelector"), one.get("matchLabelKeys") or ()
    if minimum is not None:
        if minimum <= 0:
            yield invalid_value(f"{path}.minDomains", minimum, "must be greater than zero")
        if one.get("whenUnsatisfiable") != "DoNotSchedule":
            yield invalid_value(f"{path}.minDomains", minimum, "can only use minDomains if "
                                f"whenUnsatisfiable=DoNotSchedule, not {one.get('whenUnsatisfiable', '')}")
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        yield from rules.known(f"{path}.{field}", one.get(field), ("Honor", "Ignore"))
    if keys and selector is None:
        yield rules.forbidden(f"{path}.matchLabelKeys", NO_SELECTOR)
    for i, key in enumerate(keys):
        yield from rules.qualified_name(f"{path}.matchLabelKeys[{i}]", key)
    yield from (invalid_value(f"{path}.matchLabelKeys[{i}]", key, TWICE)
                for i, key in _selected_twice(selector or {}, keys))
    yield from rules.label_selector(f"{path}.labelSelector", selector)
