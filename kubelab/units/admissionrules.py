"""What webhooks and admission policies have in common: which requests they match, and how that is checked.

Models: pkg/apis/admissionregistration/{v1,validation} of kube-apiserver, its common parts
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.admission_expressions import BOOL, Expressions

GROUP = "admissionregistration.k8s.io"
CATEGORIES = ("api-extensions",)
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
MAX_CONDITIONS = 64


def default_match(match: Obj) -> None:
    """Fill in whom a webhook or a policy meets when it does not say."""
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for key in ("rules", "resourceRules", "excludeResourceRules"):
        for rule in match.get(key) or ():
            rule.setdefault("scope", "*")


def match_errors(path: str, match: Obj) -> rules.Errors:
    """What is wrong with the `matchConstraints` of a policy or the `matchResources` of a binding."""
    yield from rules.known(f"{path}.matchPolicy", match.get("matchPolicy"), MATCH_POLICIES)
    for key in ("namespaceSelector", "objectSelector"):
        yield from rules.label_selector(f"{path}.{key}", match.get(key))
    for key in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(match.get(key) or ()):
            where, named = f"{path}.{key}[{i}]", rule.get("resourceNames") or ()
            for j, name in enumerate(named):
                yield from rules.messages(f"{where}.resourceNames[{j}]", name, names.path_segment_errors)
            yield from rules.unique((f"{where}.resourceNames[{j}]", name) for j, name in enumerate(named))
            yield from rule_errors(where, rule)


def rule_errors(path: str, rule: Obj) -> rules.Errors:
    """What is wrong with a rule: operations, groups, versions, resources, scope."""
    operations = rule.get("operations") or ()
    yield from _some(f"{path}.operations", operations, "operations")
    for i, operation in enumerate(operations):
        yield from rules.known(f"{path}.operations[{i}]", operation, OPERATIONS)
    yield from _some(f"{path}.apiGroups", rule.get("apiGroups") or (), "API groups")
    versions = rule.get("apiVersions") or ()
    yield from _some(f"{path}.apiVersions", versions, "API versions")
    yield from (required(f"{path}.apiVersions[{i}]") for i, version in enumerate(versions) if not version)
    yield from _resource_errors(f"{path}.resources", rule.get("resources") or ())
    yield from rules.known(f"{path}.scope", rule.get("scope"), SCOPES)


def _some(path: str, values: Sequence[str], said: str) -> rules.Errors:
    if not values:
        yield required(path)
    if len(values) > 1 and "*" in values:
        yield invalid_value(path, values, f"if '*' is present, must not specify other {said}")


def _resource_errors(path: str, resources: Sequence[str]) -> rules.Errors:
    if not resources:
        yield required(path)
    wild: set[str] = set()  # x/* as "x/", */x as "/x"
    plain = False
    for i, name in enumerate(resources):
        resource, slash, sub = name.partition("/")
        if not name:
            yield required(f"{path}[{i}]")
        elif not slash:
            plain = name != "*"
        else:
            for key, said in ((f"{resource}/", f"{resource}/*"), (f"/{sub}", f"*/{sub}")):
                if key in wild:
                    yield invalid_value(f"{path}[{i}]", name, f"if '{said}' is present, must not specify {name}")
            wild |= ({f"{resource}/"} if sub == "*" else set()) | ({f"/{sub}"} if resource == "*" else set())
    if len(resources) > 1 and "*/*" in resources:
        yield invalid_value(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and plain:
        yield invalid_value(path, resources,
                            "if '*' is present, must not specify other resources without subresources")


def condition_errors(path: str, conditions: Sequence[Obj], expressions: Expressions) -> rules.Errors:
    """What is wrong with `matchConditions`."""
    if len(conditions) > MAX_CONDITIONS:
        yield rules.too_many(path, len(conditions), MAX_CONDITIONS)
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        name = condition.get("name", "")
        if not condition.get("expression", "").strip():
            yield required(f"{path}[{i}].expression")
        else:
            yield from expressions.errors(f"{path}[{i}].expression", condition["expression"].strip(), BOOL)
        if not name:
            yield required(f"{path}[{i}].name")
            continue
        yield from rules.qualified_name(f"{path}[{i}].name", name)
        if name in seen:
            yield duplicate(f"{path}[{i}].name", name)
        seen.add(name)
