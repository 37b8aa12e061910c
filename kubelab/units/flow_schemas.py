"""Which requests belong together: the flow schemas, the first that matches.

    request ─► the FlowSchema of lowest precedence that matches ─► its priority level, and its flow within it
                                                                     (one a user, or one a namespace)

Invariant: every authenticated or anonymous request finds a schema; catch-all is the last.
Models:    util/flowcontrol/rule.go of k8s.io/apiserver
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubelab.machinery.request import Obj, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units.rbac_rules import listed, path_matches


@dataclass(frozen=True, slots=True)
class Schema:
    """One FlowSchema, ready to match."""

    name: str
    uid: str
    level: str
    distinguisher: str
    spec: Obj

    def matches(self, user: User, info: RequestInfo) -> bool:
        return any(any(_is_subject(subject, user) for subject in rule.get("subjects") or ()) and _covers(rule, info)
                   for rule in self.spec.get("rules") or ())

    def flow(self, user: User, info: RequestInfo) -> str:
        """Name the flow of a request: requests of one flow wait behind each other first."""
        by = {"ByUser": user.name, "ByNamespace": info.namespace}.get(self.distinguisher, "")
        return f"{self.name}/{by}"


def schemas(objects: Iterable[Obj]) -> list[Schema]:
    """Return FlowSchemas in the order in which they are asked."""
    ordered = sorted(objects, key=lambda o: (o["spec"].get("matchingPrecedence", 1000), o["metadata"]["name"]))
    return [Schema(obj["metadata"]["name"], obj["metadata"].get("uid", ""),
                   obj["spec"]["priorityLevelConfiguration"]["name"],
                   (obj["spec"].get("distinguisherMethod") or {}).get("type", ""), obj["spec"]) for obj in ordered]


def _is_subject(subject: Obj, user: User) -> bool:
    match subject["kind"]:
        case "Group":
            return subject["group"]["name"] == "*" or subject["group"]["name"] in user.groups
        case "User":
            return subject["user"]["name"] in ("*", user.name)
    account = subject["serviceAccount"]
    prefix = f"system:serviceaccount:{account['namespace']}:"
    return user.name.startswith(prefix) and account["name"] in ("*", user.name[len(prefix):])


def _covers(rule: Obj, info: RequestInfo) -> bool:
    if not info.is_resource:
        return any(listed(r["verbs"], info.verb) and any(path_matches(u, info.path) for u in r["nonResourceURLs"])
                   for r in rule.get("nonResourceRules") or ())
    return any(listed(r["verbs"], info.verb) and listed(r["apiGroups"], info.group)
               and listed(r["resources"], info.target)
               and (listed(r.get("namespaces"), info.namespace) if info.namespace else r.get("clusterScope", False))
               for r in rule.get("resourceRules") or ())
