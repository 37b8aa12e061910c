"""FlowSchema: which requests wait behind which when the API server is flooded.

    request ─► the first FlowSchema that matches ─► its PriorityLevelConfiguration ─► a seat, or a queue

Models: pkg/registry/flowcontrol, pkg/apis/flowcontrol of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE
from kubelab.units.flow_defaults import GROUP, MANDATORY, built_in

DISTINGUISHERS = ("ByNamespace", "ByUser")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
MAX_PRECEDENCE = 10_000


def prepare(obj: Obj) -> None:
    obj["status"] = {}


def _default_schema(schema: Obj) -> None:
    spec = schema.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    for rule in spec.get("rules") or ():
        for resources in rule.get("resourceRules") or ():
            resources.setdefault("namespaces", None)  # the field is always shown


def _validate_schema(schema: Obj) -> Sequence[FieldError]:
    name, spec = schema["metadata"].get("name") or "", schema.get("spec") or {}
    return [*_schema_errors(name, spec), *fixed("FlowSchema", name, spec, _default_schema)]


def fixed(kind: str, name: str, spec: Obj, default: Callable[[Obj], None], free: str = "") -> rules.Errors:
    """What is mandatory is as it was made; `free` is the part of it that may be changed."""
    if name not in MANDATORY:
        return
    made = next(obj for obj in built_in(kind) if obj["metadata"]["name"] == name)
    default(made)
    wanted, given = ({key: value for key, value in one.items() if key != free} for one in (made["spec"], spec))
    if wanted != given:
        but = f" except the 'spec.{free}' field" if free else ""
        yield invalid_value("spec", spec, f"spec of '{name}'{but} must equal the fixed value")


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


def condition_errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
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
    default=_default_schema, prepare_create=prepare, validate=_validate_schema,
    validate_part=condition_errors,
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
