"""The work units: every kind of object the API server serves, and the builders a notebook writes them with."""

from __future__ import annotations

from kubelab.units.admissionbinding import MUTATING_ADMISSION_POLICY_BINDING, VALIDATING_ADMISSION_POLICY_BINDING
from kubelab.units.admissionpolicy import MUTATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY
from kubelab.units.apiservice import API_SERVICE
from kubelab.units.catalogue import Column, Kind
from kubelab.units.certificatesigningrequest import CERTIFICATE_SIGNING_REQUEST
from kubelab.units.componentstatus import COMPONENT_STATUS
from kubelab.units.config import CONFIG_MAP, SECRET, ConfigMap, Secret
from kubelab.units.controllerrevision import CONTROLLER_REVISION, POD_TEMPLATE
from kubelab.units.crd import CUSTOM_RESOURCE_DEFINITION
from kubelab.units.cronjob import CRON_JOB, CronJob
from kubelab.units.csi import CSI_DRIVER, CSI_NODE, VOLUME_ATTACHMENT
from kubelab.units.daemonset import DAEMON_SET, DaemonSet
from kubelab.units.deployment import DEPLOYMENT, Deployment
from kubelab.units.endpoints import ENDPOINT_SLICE, ENDPOINTS
from kubelab.units.event import EVENT
from kubelab.units.flowcontrol import FLOW_SCHEMA
from kubelab.units.horizontalpodautoscaler import HORIZONTAL_POD_AUTOSCALER
from kubelab.units.ingress import INGRESS, INGRESS_CLASS, Ingress
from kubelab.units.job import JOB, Job
from kubelab.units.lease import LEASE
from kubelab.units.limitrange import LIMIT_RANGE
from kubelab.units.namespace import NAMESPACE, Namespace
from kubelab.units.networkpolicy import NETWORK_POLICY
from kubelab.units.node import NODE, Node
from kubelab.units.persistentvolume import PERSISTENT_VOLUME
from kubelab.units.persistentvolumeclaim import PERSISTENT_VOLUME_CLAIM
from kubelab.units.pod import POD, Pod, container
from kubelab.units.poddisruptionbudget import POD_DISRUPTION_BUDGET
from kubelab.units.priorityclass import PRIORITY_CLASS, RUNTIME_CLASS
from kubelab.units.prioritylevel import PRIORITY_LEVEL_CONFIGURATION
from kubelab.units.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from kubelab.units.replication import REPLICA_SET, REPLICATION_CONTROLLER, ReplicaSet, ReplicationController
from kubelab.units.resourceclaim import DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE
from kubelab.units.resourcequota import RESOURCE_QUOTA
from kubelab.units.resourceslice import RESOURCE_SLICE
from kubelab.units.service import SERVICE, Service
from kubelab.units.serviceaccount import SERVICE_ACCOUNT, ServiceAccount
from kubelab.units.servicecidr import IP_ADDRESS, SERVICE_CIDR
from kubelab.units.statefulset import STATEFUL_SET, StatefulSet
from kubelab.units.storageclass import CSI_STORAGE_CAPACITY, STORAGE_CLASS, VOLUME_ATTRIBUTES_CLASS
from kubelab.units.webhookconfiguration import MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION

CATALOGUE: tuple[Kind, ...] = (
    COMPONENT_STATUS, CONFIG_MAP, ENDPOINTS, EVENT, LIMIT_RANGE, NAMESPACE, NODE, PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM, POD, POD_TEMPLATE, REPLICATION_CONTROLLER, RESOURCE_QUOTA, SECRET, SERVICE_ACCOUNT,
    SERVICE,
    CONTROLLER_REVISION, DAEMON_SET, DEPLOYMENT, REPLICA_SET, STATEFUL_SET, HORIZONTAL_POD_AUTOSCALER, CRON_JOB, JOB,
    POD_DISRUPTION_BUDGET, LEASE, ENDPOINT_SLICE, INGRESS, INGRESS_CLASS,
    CLUSTER_ROLE_BINDING, CLUSTER_ROLE, ROLE_BINDING, ROLE, CUSTOM_RESOURCE_DEFINITION,
    IP_ADDRESS, NETWORK_POLICY, SERVICE_CIDR, CSI_DRIVER, CSI_NODE, CSI_STORAGE_CAPACITY, STORAGE_CLASS,
    VOLUME_ATTACHMENT, VOLUME_ATTRIBUTES_CLASS, PRIORITY_CLASS, RUNTIME_CLASS, CERTIFICATE_SIGNING_REQUEST,
    MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING, MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING, VALIDATING_WEBHOOK_CONFIGURATION, API_SERVICE,
    FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION, DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE,
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
    "CATALOGUE", "Column", "ConfigMap", "CronJob", "DaemonSet", "Deployment", "Ingress", "Job", "Kind", "Namespace",
    "Node", "Pod", "ReplicaSet", "ReplicationController", "Secret", "Service", "ServiceAccount", "StatefulSet",
    "UnknownKind", "by_kind", "by_path", "container", "find",
]
