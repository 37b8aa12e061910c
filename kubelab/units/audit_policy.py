"""Which requests are written down, and how much of them: the rules of an audit policy, the first that matches.

    request ─► rule 1? ─► rule 2? ─► ... ─► level (None Metadata Request RequestResponse) and stages left out

Invariant: a policy that says something we cannot read is refused at the start, never half obeyed.
Models:    k8s.io/apiserver/pkg/audit/policy
"""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.machinery.request import Obj, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units.rbac_rules import path_matches

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = frozenset({"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"})
LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
RULE_KEYS = frozenset({"level", "resources", "omitManagedFields", *LISTS})
RESOURCE_KEYS = frozenset({"group", "resources", "resourceNames"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of one request."""

    level: str
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


NOTHING = Verdict("None")


class AuditPolicy:
    """Raises ValueError, which says what is wrong with the policy."""

    def __init__(self, policy: Obj) -> None:
        if (policy.get("apiVersion"), policy.get("kind")) != ("audit.k8s.io/v1", "Policy"):
            raise ValueError("an audit policy has apiVersion audit.k8s.io/v1 and kind Policy, not "
                             f"{policy.get('apiVersion')!r} and {policy.get('kind')!r}")
        self._rules = policy.get("rules") or []
        if not self._rules:
            raise ValueError("the audit policy has no rules: nothing would be written")
        stages = _stages(policy, "omitStages")
        omits = bool(policy.get("omitManagedFields"))
        self._verdicts = [self._verdict(f"rules[{i}]", rule, stages, omits) for i, rule in enumerate(self._rules)]

    def _verdict(self, path: str, rule: Obj, stages: frozenset[str], omits: bool) -> Verdict:
        if rule.get("level") not in LEVELS:
            raise ValueError(f"{path}.level: Unsupported value: {rule.get('level')!r}: supported values: "
                             + ", ".join(f'"{level}"' for level in LEVELS))
        unknown = set(rule) - RULE_KEYS
        if unknown or not all(isinstance(rule.get(key) or [], list) for key in (*LISTS, "resources")):
            raise ValueError(f"{path}: unknown field {sorted(unknown)[0]!r}" if unknown else f"{path}: lists are lists")
        for entry in rule.get("resources") or ():
            if set(entry) - RESOURCE_KEYS:
                raise ValueError(f"{path}.resources: unknown field {sorted(set(entry) - RESOURCE_KEYS)[0]!r}")
        if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
            raise ValueError(f"{path}.nonResourceURLs: rules cannot apply to both regular resources and "
                             "non-resource URLs")
        return Verdict(rule["level"], stages | _stages(rule, f"{path}.omitStages"),
                       bool(rule.get("omitManagedFields", omits)))

    def of(self, user: User, info: RequestInfo) -> Verdict:
        """Return the verdict of the first rule that matches."""
        for rule, verdict in zip(self._rules, self._verdicts, strict=True):
            if _matches(rule, user, info):
                return verdict
        return NOTHING


def _stages(holder: Obj, path: str) -> frozenset[str]:
    stages = frozenset(holder.get("omitStages") or ())
    if stages - STAGES:
        raise ValueError(f"{path}: there is no stage {sorted(stages - STAGES)[0]!r}")
    return stages


def _matches(rule: Obj, user: User, info: RequestInfo) -> bool:
    if rule.get("users") and user.name not in rule["users"]:
        return False
    if rule.get("userGroups") and not set(rule["userGroups"]) & set(user.groups):
        return False
    if rule.get("verbs") and info.verb not in rule["verbs"]:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        return info.is_resource and _resource_matches(rule, info)
    if rule.get("nonResourceURLs"):
        return not info.is_resource and any(path_matches(url, info.path) for url in rule["nonResourceURLs"])
    return True


def _resource_matches(rule: Obj, info: RequestInfo) -> bool:
    if rule.get("namespaces") and info.namespace not in rule["namespaces"]:
        return False
    if not rule.get("resources"):
        return True
    return any(_entry_matches(entry, info) for entry in rule["resources"])


def _entry_matches(entry: Obj, info: RequestInfo) -> bool:
    if entry.get("group", "") != info.group:
        return False
    if not entry.get("resources"):
        return True
    if entry.get("resourceNames") and info.name not in entry["resourceNames"]:
        return False
    fitting = {info.target, "*", f"{info.resource}/*", *([f"*/{info.subresource}"] if info.subresource else [])}
    return not fitting.isdisjoint(entry["resources"])
