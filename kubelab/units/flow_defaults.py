"""The flow schemas and priority levels that every API server has before anybody changes them.

A table: one row a priority level, one row a flow schema; facts of a real Kubernetes 1.36.

Models: k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from kubelab.machinery.request import Obj

GROUP = "flowcontrol.apiserver.k8s.io"
MANDATORY = ("exempt", "catch-all")  # what nobody may change: the first thing that is asked and the last
# name: shares, percent lent, queues, hand size
LEVELS = {"catch-all": (5, 0, 0, 0), "global-default": (20, 50, 128, 6), "leader-election": (10, 0, 16, 4),
          "node-high": (40, 25, 64, 6), "system": (30, 33, 64, 6), "workload-high": (40, 50, 128, 6),
          "workload-low": (100, 90, 128, 6)}
QUEUE_LENGTH = 50
EVERYONE = ("Group:system:unauthenticated", "Group:system:authenticated")
MANAGERS = ("User:system:kube-controller-manager", "User:system:kube-scheduler")
KUBE_SYSTEM = "ServiceAccount:kube-system:*"
ALL: Obj = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
ALL_URLS: Obj = {"verbs": ["*"], "nonResourceURLs": ["*"]}
ANYTHING: Obj = {"resourceRules": [ALL], "nonResourceRules": [ALL_URLS]}
PROBES: Obj = {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]}
LEASES: Obj = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]}
ELECTION: Obj = {"resourceRules": [{"verbs": ["get", "create", "update"], **LEASES}]}
NODE_STATUS: Obj = {"resourceRules": [
    {"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"], "clusterScope": True,
     "namespaces": ["*"]}, {"verbs": ["*"], **LEASES}]}
# name, level, precedence, flows are told apart by, subjects, what they do
SCHEMAS: tuple[tuple[str, str, int, str, tuple[str, ...], Obj], ...] = (
    ("exempt", "exempt", 1, "", ("Group:system:masters",), ANYTHING),
    ("probes", "exempt", 2, "", EVERYONE, PROBES),
    ("system-leader-election", "leader-election", 100, "ByUser", (*MANAGERS, KUBE_SYSTEM), ELECTION),
    ("system-node-high", "node-high", 400, "ByUser", ("Group:system:nodes",), NODE_STATUS),
    ("system-nodes", "system", 500, "ByUser", ("Group:system:nodes",), ANYTHING),
    ("kube-controller-manager", "workload-high", 800, "ByNamespace", MANAGERS[:1], ANYTHING),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", MANAGERS[1:], ANYTHING),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", (KUBE_SYSTEM,), ANYTHING),
    ("service-accounts", "workload-low", 9000, "ByUser", ("Group:system:serviceaccounts",), ANYTHING),
    ("global-default", "global-default", 9900, "ByUser", EVERYONE, ANYTHING),
    ("catch-all", "catch-all", 10000, "ByUser", EVERYONE, ANYTHING),
)
MANAGED = {"apf.kubernetes.io/autoupdate-spec": "true"}


def flow_objects(stamp: str) -> Iterable[Obj]:
    """Yield the priority levels and flow schemas that a server has before anybody changes them."""
    exempt: Obj = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    for name, spec in (("exempt", exempt), *((name, _level(*row)) for name, row in LEVELS.items())):
        yield {"kind": "PriorityLevelConfiguration", "apiVersion": f"{GROUP}/v1",
               "metadata": {"name": name, "annotations": {**MANAGED}}, "spec": spec}
    for name, level, precedence, by, who, what in SCHEMAS:
        spec = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
        spec |= {"distinguisherMethod": {"type": by}} if by else {}
        spec["rules"] = [{"subjects": [_subject(text) for text in who], **what}]
        yield {"kind": "FlowSchema", "apiVersion": f"{GROUP}/v1",
               "metadata": {"name": name, "annotations": {**MANAGED}}, "spec": spec,
               "status": {"conditions": [dangling(level, True, stamp)]}}


def _level(shares: int, lent: int, queues: int, hand: int) -> Obj:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": QUEUE_LENGTH}
    response: Obj = {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"}
    return {"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": response,
                                           "lendablePercent": lent}}


def _subject(text: str) -> Obj:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition(":")
        return {"kind": kind, "serviceAccount": {"namespace": namespace, "name": name}}
    return {"kind": kind, kind.lower(): {"name": name}}


def dangling(level: str, exists: bool, stamp: str) -> Obj:
    """Return the condition that says whether the priority level of a flow schema exists."""
    about = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    return {"type": "Dangling", "status": "False" if exists else "True", "lastTransitionTime": stamp,
            "reason": "Found" if exists else "NotFound",
            "message": f"{about} and it exists" if exists else f"{about} but there is no such object"}


def uid_of(kind: str, name: str) -> str:
    """Return the uid of what is built in: the same in every process."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{GROUP}/{kind}/{name}"))


def built_in(kind: str) -> list[Obj]:
    """Return the FlowSchemas or PriorityLevelConfigurations that hold where the stored ones say nothing."""
    found = [obj for obj in flow_objects("") if obj["kind"] == kind]
    return [obj | {"metadata": {**obj["metadata"], "uid": uid_of(kind, obj["metadata"]["name"])}} for obj in found]
