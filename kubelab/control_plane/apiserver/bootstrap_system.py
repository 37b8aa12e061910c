"""What the API server tells of itself at the first start: priority classes, flow control, addresses, groups.

Flow control is a table: one row a priority level, one row a flow schema; facts of a real Kubernetes 1.36.

Models: kube-apiserver's bootstrap of scheduling.k8s.io, flowcontrol.apiserver.k8s.io, ServiceCIDRs and APIServices
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.machinery.request import Obj
from kubelab.units.apiservice import GROUP as REGISTRATION
from kubelab.units.apiservice import local_service
from kubelab.units.flowcontrol import GROUP as FLOW
from kubelab.units.priorityclass import SYSTEM

PRIORITY_TEXTS = {
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to "
                               "another node if necessary.",
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}
# name: shares, percent lent, queues, hand size
LEVELS = {"catch-all": (5, 0, 0, 0), "global-default": (20, 50, 128, 6), "leader-election": (10, 0, 16, 4),
          "node-high": (40, 25, 64, 6), "system": (30, 33, 64, 6), "workload-high": (40, 50, 128, 6),
          "workload-low": (100, 90, 128, 6)}
QUEUE_LENGTH = 50
DEFAULT_RANGE = "kubernetes"
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


def system_objects(cidr: str, service_ip: str, groups: Iterable[tuple[str, str]], stamp: str) -> list[Obj]:
    """Return the objects; `groups` are the group versions that this server answers for."""
    return [*_priorities(), *flow_objects(stamp), service_range(cidr, stamp),
            address(service_ip, "default", "kubernetes"),
            *(local_service(group, version, stamp) for group, version in groups if group != REGISTRATION)]


def _priorities() -> Iterable[Obj]:
    for name, value in SYSTEM.items():
        yield {"kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": name},
               "value": value, "description": PRIORITY_TEXTS[name], "preemptionPolicy": "PreemptLowerPriority"}


def flow_objects(stamp: str) -> Iterable[Obj]:
    """Yield the priority levels and flow schemas that a server has before anybody changes them."""
    exempt: Obj = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    for name, spec in (("exempt", exempt), *((name, _level(*row)) for name, row in LEVELS.items())):
        yield {"kind": "PriorityLevelConfiguration", "apiVersion": f"{FLOW}/v1",
               "metadata": {"name": name, "annotations": {**MANAGED}}, "spec": spec}
    for name, level, precedence, by, who, what in SCHEMAS:
        spec = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
        spec |= {"distinguisherMethod": {"type": by}} if by else {}
        spec["rules"] = [{"subjects": [_subject(text) for text in who], **what}]
        yield {"kind": "FlowSchema", "apiVersion": f"{FLOW}/v1",
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


def service_range(cidr: str, stamp: str) -> Obj:
    """Return the ServiceCIDR that a cluster begins with."""
    return {"kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1",
            "metadata": {"name": DEFAULT_RANGE, "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
            "spec": {"cidrs": [cidr]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": stamp, "reason": "",
                                       "message": "Kubernetes Service CIDR is ready"}]}}


def address(ip: str, namespace: str, service: str) -> Obj:
    """Return the IPAddress that says which Service an address belongs to."""
    return {"kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
            "metadata": {"name": ip, "labels": {"ipaddress.kubernetes.io/ip-family": "IPv4",
                                                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}},
            "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": service}}}
