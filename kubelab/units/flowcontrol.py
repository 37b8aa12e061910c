"""FlowSchema and PriorityLevelConfiguration: which requests wait behind which when the API server is flooded.

    request ─► the first FlowSchema that matches ─► its PriorityLevelConfiguration ─► a seat, or a queue

Models: pkg/registry/flowcontrol, pkg/apis/flowcontrol of kube-apiserver
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE

GROUP = "flowcontrol.apiserver.k8s.io"
DISTINGUISHERS = ("ByNamespace", "ByUser")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
MAX_PRECEDENCE, MAX_QUEUES, MAX_HASH_BITS = 10_000, 10_000_000, 60
QUEUING_DEFAULTS = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def _prepare(obj: Obj) -> None:
    obj["status"] = {}


def _default_schema(schema: Obj) -> None:
    spec = schema.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    for rule in spec.get("rules") or ():
        for resources in rule.get("resourceRules") or ():
            resources.setdefault("namespaces", None)  # the field is always shown


def _validate_schema(schema: Obj) -> Sequence[FieldError]:
    return list(_schema_errors(schema["metadata"].get("name") or "", schema.get("spec") or {}))


def _schema_errors(name: str, spec: Obj) -> rules.Errors:
    path, precedence = "spec.matchingPrecedence", spec.get("matchingPrecedence", 0)
    if precedence <= 0:
        yield invalid_value(path, precedence, "must be a positive value")
    elif precedence > MAX_PRECEDENCE:
        yield invalid_value(path, precedence, f"must not be greater than {MAX_PRECEDENCE}")
    elif precedence == 1 and name != "exempt":
        yield invalid_value(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    if spec.get("distinguisherMethod") is not None:
        method = spec["distinguisherMethod"].get("type", "")
        if method not in DISTINGUISHERS:
            yield rules.unsupported("spec.distinguisherMethod.type", {"Type": method}, DISTINGUISHERS)
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    if level:
        yield from rules.subdomain_name("spec.priorityLevelConfiguration.name", level)
    else:
        yield required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    for i, rule in enumerate(spec.get("rules") or ()):
        yield from _rule_errors(f"spec.rules[{i}]", rule)


def _rule_errors(path: str, rule: Obj) -> rules.Errors:
    if not rule.get("subjects"):
        yield required(f"{path}.subjects", "subjects must contain at least one value")
    for i, subject in enumerate(rule.get("subjects") or ()):
        yield from _subject_errors(f"{path}.subjects[{i}]", subject)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        yield required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for i, one in enumerate(rule.get("resourceRules") or ()):
        yield from _resource_rule(f"{path}.resourceRules[{i}]", one)
    for i, one in enumerate(rule.get("nonResourceRules") or ()):
        where, urls = f"{path}.nonResourceRules[{i}]", one.get("nonResourceURLs") or ()
        yield from _verbs(f"{where}.verbs", one.get("verbs") or ())
        yield from _some(f"{where}.nonResourceURLs", urls, "nonResourceURLs must contain at least one value",
                         "non-resource URLs")
        for j, url in enumerate(urls if "*" not in urls else ()):
            why = _url_problem(url)
            if why:
                yield invalid_value(f"{where}.nonResourceURLs[{j}]", url, why)


def _subject_errors(path: str, subject: Obj) -> rules.Errors:
    kind = subject.get("kind", "")
    if kind not in SUBJECTS:
        yield rules.unsupported(f"{path}.kind", kind, tuple(SUBJECTS))
        return
    key = SUBJECTS[kind]
    who = subject.get(key)
    if who is None:
        yield required(f"{path}.{key}", f"{key} is required when subject kind is '{kind}'")
    else:
        if not who.get("name"):
            yield required(f"{path}.{key}.name")
        elif kind == "ServiceAccount" and who["name"] != "*":
            yield from rules.subdomain_name(f"{path}.{key}.name", who["name"])
        if kind == "ServiceAccount" and not who.get("namespace"):
            yield required(f"{path}.{key}.namespace", "must specify namespace for service account")
        elif kind == "ServiceAccount":
            yield from rules.label_name(f"{path}.{key}.namespace", who["namespace"])
    for other in ("ServiceAccount", "User", "Group"):
        if other != kind and subject.get(SUBJECTS[other]) is not None:
            yield rules.forbidden(f"{path}.{SUBJECTS[other]}",
                                  f"{SUBJECTS[other]} is forbidden when subject kind is not '{other}'")


def _resource_rule(path: str, rule: Obj) -> rules.Errors:
    namespaces = rule.get("namespaces") or ()
    yield from _verbs(f"{path}.verbs", rule.get("verbs") or ())
    yield from _some(f"{path}.apiGroups", rule.get("apiGroups") or (),
                     "resource rules must supply at least one api group", "api groups")
    yield from _some(f"{path}.resources", rule.get("resources") or (),
                     "resource rules must supply at least one resource", "resources")
    if not namespaces and not rule.get("clusterScope"):
        yield required(f"{path}.namespaces", "resource rules that are not cluster scoped must supply at least one "
                                             "namespace")
    elif "*" in namespaces:
        if len(namespaces) > 1:
            yield invalid_value(f"{path}.namespaces", namespaces,
                                "if '*' is present, must not specify other namespaces")
    else:
        for i, name in enumerate(namespaces):
            for message in names.dns1123_label_errors(name):
                yield invalid_value(f"{path}.namespaces[{i}]", name,
                                    f"each member of this list must be '*' or a DNS-1123 label; {message}")


def _some(path: str, values: Sequence[str], lacking: str, said: str) -> rules.Errors:
    if not values:
        yield required(path, lacking)
    elif len(values) > 1 and "*" in values:
        yield invalid_value(path, values, f"if '*' is present, must not specify other {said}")


def _verbs(path: str, verbs: Sequence[str]) -> rules.Errors:
    yield from _some(path, verbs, "verbs must contain at least one value", "verbs")
    if "*" not in verbs and not {*verbs} <= {*VERBS}:
        yield rules.unsupported(path, verbs, VERBS)


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    return "wildcard can only do suffix matching" if "*" in url.removesuffix("/*") else ""


def _condition_errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    return list(_conditions((new.get("status") or {}).get("conditions") or ()))


def _conditions(conditions: Sequence[Obj]) -> rules.Errors:
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        type_ = condition.get("type", "")
        if type_ in seen:
            yield duplicate(f"status.conditions[{i}].type", type_)
        seen.add(type_)
        if not type_:
            yield required(f"status.conditions[{i}].type", "must not be empty")


def _dangling(schema: Obj) -> str:
    return str((get_condition(schema, "Dangling") or {}).get("status") or "?")


FLOW_SCHEMA = Kind(
    "FlowSchema", "flowschemas", group=GROUP, namespaced=False, subresources=frozenset({"status"}), generation=True,
    default=_default_schema, prepare_create=_prepare, validate=_validate_schema,
    validate_part=_condition_errors,
    row_order=lambda o: (o["spec"]["matchingPrecedence"], o["metadata"]["name"]),
    columns=(
        NAME,
        Column("PriorityLevel", lambda o, now: o["spec"]["priorityLevelConfiguration"].get("name", ""),
               path="spec.priorityLevelConfiguration.name"),
        Column("MatchingPrecedence", lambda o, now: o["spec"]["matchingPrecedence"], path="spec.matchingPrecedence"),
        Column("DistinguisherMethod", lambda o, now: (o["spec"].get("distinguisherMethod") or {}).get("type") or NONE,
               path="spec.distinguisherMethod"),
        AGE,
        Column("MissingPL", lambda o, now: _dangling(o),
               description="references a broken or non-existent PriorityLevelConfiguration"),
    ),
)


def _default_level(level: Obj) -> None:
    spec = level.setdefault("spec", {})
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if spec.get("type") == "Exempt":
        exempt = spec.setdefault("exempt", {})
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if limited is not None:
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for key, value in QUEUING_DEFAULTS.items():
                queuing[key] = queuing.get(key) or value


def _validate_level(level: Obj) -> Sequence[FieldError]:
    return list(_level_errors(level["metadata"].get("name") or "", level.get("spec") or {}))


def _level_errors(name: str, spec: Obj) -> rules.Errors:
    type_, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if (name == "exempt") != (type_ == "Exempt"):
        yield invalid_value("spec.type", type_, "type must be 'Exempt' if and only if name is 'exempt'")
    if type_ == "Exempt":
        if limited is not None:
            yield rules.forbidden("spec.limited", "must be nil if the type is not Limited")
        yield from _share_errors("spec.exempt", exempt or {})
    elif type_ == "Limited":
        if exempt is not None:
            yield rules.forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            yield required("spec.limited", "must not be empty when type is Limited")
            return
        yield from _limit_errors("spec.limited.limitResponse", limited.get("limitResponse") or {})
        yield from _share_errors("spec.limited", limited)
    else:
        yield rules.unsupported("spec.type", type_, ("Exempt", "Limited"))


def _share_errors(path: str, shares: Obj) -> rules.Errors:
    count, lent, borrowed = (shares.get(key) for key in
                             ("nominalConcurrencyShares", "lendablePercent", "borrowingLimitPercent"))
    if count is not None and count < 0:
        yield invalid_value(f"{path}.nominalConcurrencyShares", count, "must be a non-negative integer")
    yield from rules.in_range(f"{path}.lendablePercent", lent, 0, 100)
    if borrowed is not None and borrowed < 0:
        yield invalid_value(f"{path}.borrowingLimitPercent", borrowed, "if specified, must be a non-negative integer")


def _limit_errors(path: str, response: Obj) -> rules.Errors:
    type_, queuing = response.get("type", ""), response.get("queuing")
    if type_ == "Reject":
        if queuing is not None:
            yield rules.forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif type_ != "Queue":
        yield rules.unsupported(f"{path}.type", type_, ("Queue", "Reject"))
    elif queuing is None:
        yield required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        yield from _queue_errors(f"{path}.queuing", queuing)


def _queue_errors(path: str, queuing: Obj) -> rules.Errors:
    limit, queues, hand = (queuing.get(key, 0) for key in ("queueLengthLimit", "queues", "handSize"))
    if limit <= 0:
        yield invalid_value(f"{path}.queueLengthLimit", limit, "must be positive")
    if queues <= 0:
        yield invalid_value(f"{path}.queues", queues, "must be positive")
    elif queues > MAX_QUEUES:
        yield invalid_value(f"{path}.queues", queues, f"must not be greater than {MAX_QUEUES}")
    if hand <= 0:
        yield invalid_value(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid_value(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(sum(math.log2(queues - i) for i in range(min(hand, 64)))) > MAX_HASH_BITS:
        yield invalid_value(f"{path}.handSize", hand, f"required entropy bits of deckSize {queues} and handSize {hand} "
                                                      f"should not be greater than {MAX_HASH_BITS}")


def _limited(key: str, *way: str) -> Column:
    def cell(level: Obj, now: float) -> Any:
        found = level["spec"].get("limited") or {}
        for step in way:
            found = found.get(step) or {}
        return found.get(key, NONE)

    return Column(key[0].upper() + key[1:], cell, path=".".join(("spec.limited", *way, key)))


PRIORITY_LEVEL_CONFIGURATION = Kind(
    "PriorityLevelConfiguration", "prioritylevelconfigurations", group=GROUP, namespaced=False,
    subresources=frozenset({"status"}), generation=True, default=_default_level, prepare_create=_prepare,
    validate=_validate_level, validate_part=_condition_errors,
    columns=(
        NAME, Column("Type", lambda o, now: o["spec"].get("type", ""), path="spec.type"),
        _limited("nominalConcurrencyShares"), _limited("queues", "limitResponse", "queuing"),
        _limited("handSize", "limitResponse", "queuing"), _limited("queueLengthLimit", "limitResponse", "queuing"), AGE,
    ),
)
