"""The work units: every kind of object the API server serves, and the builders a notebook writes them with."""

from __future__ import annotations

from kubelab.units.catalogue import Column, Kind
from kubelab.units.config import CONFIG_MAP, SECRET, ConfigMap, Secret
from kubelab.units.deployment import DEPLOYMENT, Deployment
from kubelab.units.endpoints import ENDPOINT_SLICE, ENDPOINTS
from kubelab.units.event import EVENT
from kubelab.units.ingress import INGRESS, INGRESS_CLASS, Ingress
from kubelab.units.lease import LEASE
from kubelab.units.namespace import NAMESPACE, Namespace
from kubelab.units.node import NODE, Node
from kubelab.units.pod import POD, Pod, container
from kubelab.units.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from kubelab.units.replication import REPLICA_SET, REPLICATION_CONTROLLER, ReplicaSet, ReplicationController
from kubelab.units.service import SERVICE, Service
from kubelab.units.serviceaccount import SERVICE_ACCOUNT, ServiceAccount

CATALOGUE: tuple[Kind, ...] = (
    CONFIG_MAP, ENDPOINTS, EVENT, NAMESPACE, NODE, POD, REPLICATION_CONTROLLER, SECRET, SERVICE_ACCOUNT, SERVICE,
    DEPLOYMENT, REPLICA_SET, LEASE, ENDPOINT_SLICE, INGRESS, INGRESS_CLASS,
    CLUSTER_ROLE_BINDING, CLUSTER_ROLE, ROLE_BINDING, ROLE,
)

_BY_KIND = {(k.api_version, k.kind): k for k in CATALOGUE}
_BY_PATH = {(k.group, k.version, k.plural): k for k in CATALOGUE}
_BY_NAME: dict[str, Kind] = {}
for _kind in reversed(CATALOGUE):  # where two kinds share a name, the core group comes first
    for _name in (_kind.plural, _kind.singular or _kind.kind.lower(), _kind.qualified, *_kind.short_names,
                  f"{_kind.kind.lower()}.{_kind.group}", f"{_kind.plural}.{_kind.version}.{_kind.group}"):
        _BY_NAME[_name.rstrip(".")] = _kind


class UnknownKind(KeyError):
    """No kind is called so."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError itself would show the repr


def find(name: str) -> Kind:
    """Find a kind by what people call it: pods, pod, po, deployments.apps.

    Raises: UnknownKind.
    """
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise UnknownKind(f'the server doesn\'t have a resource type "{name}"')
    return found


def by_kind(api_version: str, kind: str) -> Kind | None:
    return _BY_KIND.get((api_version, kind))


def by_path(group: str, version: str, plural: str) -> Kind | None:
    return _BY_PATH.get((group, version, plural))


__all__ = [
    "CATALOGUE", "Column", "ConfigMap", "Deployment", "Ingress", "Kind", "Namespace", "Node", "Pod", "ReplicaSet",
    "ReplicationController", "Secret", "Service", "ServiceAccount", "UnknownKind", "by_kind", "by_path", "container",
    "find",
]
