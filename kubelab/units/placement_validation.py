"""What a pod may say about where it wants to run: affinity, tolerations, topology spread.

Models: validateAffinity, ValidateTolerations and validateTopologySpreadConstraints of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TOLERATION_FIELDS = (("Key", ""), ("Operator", ""), ("Value", ""), ("Effect", ""), ("TolerationSeconds", None))
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
        yield from _node_term(term, f"{field}[{i}]")


def _weight(weight: int, path: str) -> rules.Errors:
    if not 1 <= weight <= 100:
        yield invalid_value(path, weight, "must be in the range 1-100")


def _node_term(term: Obj, path: str) -> rules.Errors:
    for i, rule in enumerate(term.get("matchExpressions") or ()):
        yield from _node_rule(rule, f"{path}.matchExpressions[{i}]")
        yield from rules.qualified_name(f"{path}.matchExpressions[{i}].key", rule.get("key", ""))
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
    for i, name in enumerate(term.get("namespaces") or ()):
        yield from rules.label_name(f"{path}.namespaces[{i}]", name)
    key = term.get("topologyKey", "")
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from rules.qualified_name(f"{path}.topologyKey", key)


def toleration_errors(tolerations: Sequence[Obj], path: str) -> rules.Errors:
    for i, one in enumerate(tolerations):
        yield from _toleration(one, f"{path}[{i}]")


def _toleration(one: Obj, path: str) -> rules.Errors:
    key, operator, effect = one.get("key", ""), one.get("operator", ""), one.get("effect", "")
    if key:
        yield from rules.qualified_name(f"{path}.key", key)
    elif operator != "Exists":
        yield invalid_value(f"{path}.operator", operator, "operator must be Exists when `key` is empty, which means "
                                                          '"match all values and all keys"')
    if one.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid_value(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("Equal", ""):
        for message in names.label_value_errors(one.get("value", "")):
            yield invalid_value(f"{path}.operator", one.get("value", ""), message)
    elif operator == "Exists":
        if one.get("value"):
            struct = {name: one.get(name[0].lower() + name[1:], empty) for name, empty in TOLERATION_FIELDS}
            yield rules.invalid_struct(f"{path}.operator", struct, "value must be empty when `operator` is 'Exists'")
    else:
        yield rules.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect and effect not in EFFECTS:
        yield rules.unsupported(f"{path}.effect", effect, EFFECTS)


def spread_errors(constraints: Sequence[Obj], path: str) -> rules.Errors:
    seen = set()
    for i, one in enumerate(constraints):
        field, key, when = f"{path}[{i}]", one.get("topologyKey", ""), one.get("whenUnsatisfiable", "")
        if one.get("maxSkew", 0) <= 0:
            yield invalid_value(f"{field}.maxSkew", one.get("maxSkew", 0), "must be greater than zero")
        if not key:
            yield required(f"{field}.topologyKey", "can not be empty")
        else:
            yield from rules.qualified_name(f"{field}.topologyKey", key)
        if when not in ("DoNotSchedule", "ScheduleAnyway"):
            yield rules.unsupported(f"{field}.whenUnsatisfiable", when, ("DoNotSchedule", "ScheduleAnyway"))
        pair = f"{{{key}, {when}}}"
        if pair in seen:
            yield duplicate(f"{field}.{{topologyKey, whenUnsatisfiable}}", pair)
        seen.add(pair)
        yield from _spread_details(one, field)


def _spread_details(one: Obj, path: str) -> rules.Errors:
    minimum = one.get("minDomains")
    if minimum is not None:
        if minimum <= 0:
            yield invalid_value(f"{path}.minDomains", minimum, "must be greater than zero")
        if one.get("whenUnsatisfiable") != "DoNotSchedule":
            yield invalid_value(f"{path}.minDomains", minimum, "can only use minDomains if "
                                f"whenUnsatisfiable=DoNotSchedule, not {one.get('whenUnsatisfiable', '')}")
    for key in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if one.get(key) is not None and one[key] not in ("Ignore", "Honor"):
            yield rules.unsupported(f"{path}.{key}", one[key], ("Honor", "Ignore"))
    if one.get("matchLabelKeys") and one.get("labelSelector") is None:
        yield FieldError(f"{path}.matchLabelKeys", "FieldValueForbidden",
                         "Forbidden: must not be specified when labelSelector is not set")
    yield from rules.label_selector(f"{path}.labelSelector", one.get("labelSelector"))
