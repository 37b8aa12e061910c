"""Which requests belong together, and what share of the server they get: the rules of a new cluster.

    request ─► the FlowSchema of lowest precedence that matches ─► its priority level, and its flow within it
                                                                     (one a user, or one a namespace)

Invariant: every authenticated or anonymous request finds a schema; catch-all is the last.
Models:    pkg/apis/flowcontrol/bootstrap and util/flowcontrol/match.go of k8s.io/apiserver
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from kubelab.control_plane.apiserver.routes import RequestInfo
from kubelab.machinery.request import Obj, User

EVERYBODY = ("Group:system:unauthenticated", "Group:system:authenticated")
ANYTHING = "* * *"
# name, precedence, priority level, a flow for each, subjects, rules (verbs, groups, resources; or verbs, "url", paths)
SCHEMAS: tuple[tuple[str, int, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("exempt", 1, "exempt", "", ("Group:system:masters",), (ANYTHING,)),
    ("probes", 2, "exempt", "", EVERYBODY, ("get url /healthz,/readyz,/livez",)),
    ("system-leader-election", 100, "leader-election", "ByUser",
     ("User:system:kube-controller-manager", "User:system:kube-scheduler", "ServiceAccount:kube-system:*"),
     ("get,create,update coordination.k8s.io leases",)),
    ("system-node-high", 400, "node-high", "ByUser", ("Group:system:nodes",),
     ("* core nodes,nodes/status", "* coordination.k8s.io leases")),
    ("system-nodes", 500, "system", "ByUser", ("Group:system:nodes",), (ANYTHING,)),
    ("kube-controller-manager", 800, "workload-high", "ByNamespace", ("User:system:kube-controller-manager",),
     (ANYTHING,)),
    ("kube-scheduler", 800, "workload-high", "ByNamespace", ("User:system:kube-scheduler",), (ANYTHING,)),
    ("kube-system-service-accounts", 900, "workload-high", "ByNamespace", ("ServiceAccount:kube-system:*",),
     (ANYTHING,)),
    ("service-accounts", 9000, "workload-low", "ByUser", ("Group:system:serviceaccounts",), (ANYTHING,)),
    ("global-default", 9900, "global-default", "ByUser", EVERYBODY, (ANYTHING,)),
    ("catch-all", 10000, "catch-all", "ByUser", EVERYBODY, (ANYTHING,)),
)
# name: shares, queues, hand size, queue length; without queues a request that finds no seat is refused
LEVELS: dict[str, tuple[int, int, int, int]] = {
    "catch-all": (5, 0, 0, 0), "global-default": (20, 128, 6, 50), "leader-election": (10, 16, 4, 50),
    "node-high": (40, 64, 6, 50), "system": (30, 64, 6, 50), "workload-high": (40, 128, 6, 50),
    "workload-low": (100, 128, 6, 50),
}


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


def uid_of(kind: str, name: str) -> str:
    """Return the uid of what is built in: the same in every process."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"flowcontrol.apiserver.k8s.io/{kind}/{name}"))


def built_in() -> list[Obj]:
    """Return the FlowSchemas of a new cluster."""
    return [_schema(*row) for row in SCHEMAS]


def _schema(name: str, precedence: int, level: str, by: str, subjects: tuple[str, ...], rules: tuple[str, ...]) -> Obj:
    rule: Obj = {"subjects": [_subject(subject) for subject in subjects]}
    for words in (text.split() for text in rules):
        if words[1] == "url":
            rule["nonResourceRules"] = [{"verbs": words[0].split(","), "nonResourceURLs": words[2].split(",")}]
            continue
        groups = ["" if group == "core" else group for group in words[1].split(",")]
        rule.setdefault("resourceRules", []).append(
            {"verbs": words[0].split(","), "apiGroups": groups, "resources": words[2].split(","),
             "namespaces": ["*"], "clusterScope": words[1] != "coordination.k8s.io"})
        if words[1] == "*":
            rule["nonResourceRules"] = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    spec: Obj = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]}
    if by:
        spec["distinguisherMethod"] = {"type": by}
    return {"metadata": {"name": name, "uid": uid_of("FlowSchema", name)}, "spec": spec}


def _subject(text: str) -> Obj:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition(":")
        return {"kind": kind, "serviceAccount": {"namespace": namespace, "name": name}}
    return {"kind": kind, kind.lower(): {"name": name}}


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
        return any(_has(r["verbs"], info.verb) and any(_url(u, info.path) for u in r["nonResourceURLs"])
                   for r in rule.get("nonResourceRules") or ())
    full = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return any(_has(r["verbs"], info.verb) and _has(r["apiGroups"], info.group) and _has(r["resources"], full)
               and (_has(r.get("namespaces") or (), info.namespace) if info.namespace else r.get("clusterScope", False))
               for r in rule.get("resourceRules") or ())


def _has(wanted: Iterable[str], value: str) -> bool:
    return any(one in ("*", value) for one in wanted)


def _url(wanted: str, path: str) -> bool:
    return wanted in ("*", path) or (wanted.endswith("/*") and path.startswith(wanted[:-1]))
