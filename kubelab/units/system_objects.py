"""What is there before anyone acts: namespaces, the `kubernetes` Service, priority classes, flow control, groups.

Models: kube-apiserver's bootstrap controllers, and its bootstrap of scheduling.k8s.io, flowcontrol.apiserver.k8s.io,
        ServiceCIDRs and APIServices
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.machinery.request import Obj
from kubelab.units.apiservice import GROUP as REGISTRATION
from kubelab.units.apiservice import local_service
from kubelab.units.flow_defaults import flow_objects
from kubelab.units.priorityclass import SYSTEM

PRIORITY_TEXTS = {
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to "
                               "another node if necessary.",
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}
DEFAULT_RANGE = "kubernetes"
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def system_objects(cidr: str, service_ip: str, groups: Iterable[tuple[str, str]], stamp: str) -> list[Obj]:
    """Return the objects; `groups` are the group versions that this server answers for."""
    return [*_priorities(), *flow_objects(stamp), service_range(cidr, stamp),
            address(service_ip, "default", "kubernetes"),
            *(local_service(group, version, stamp) for group, version in groups if group != REGISTRATION)]


def _priorities() -> Iterable[Obj]:
    for name, value in SYSTEM.items():
        yield {"kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": name},
               "value": value, "description": PRIORITY_TEXTS[name], "preemptionPolicy": "PreemptLowerPriority"}


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


def bootstrap_objects(port: int, service_ip: str, ca_pem: str) -> list[Obj]:
    """Return namespaces with their default service account and CA, and the API server's own Service."""
    objects: list[Obj] = []
    for name in NAMESPACES:
        objects.append({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
        objects.append({"kind": "ServiceAccount", "apiVersion": "v1",
                        "metadata": {"name": "default", "namespace": name}})
        if ca_pem:
            objects.append({"kind": "ConfigMap", "apiVersion": "v1", "data": {"ca.crt": ca_pem},
                            "metadata": {"name": "kube-root-ca.crt", "namespace": name}})
    objects.append({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": "kubernetes", "namespace": "default",
                     "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
                 "clusterIP": service_ip, "clusterIPs": [service_ip], "type": "ClusterIP", "sessionAffinity": "None",
                 "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster"}})
    return objects


def endpoint_objects(host: str, port: int) -> list[Obj]:
    """Return the Endpoints and the EndpointSlice that lead from the `kubernetes` Service to this server."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    return [
        {"kind": "Endpoints", "apiVersion": "v1",
         "metadata": {"name": "kubernetes", "namespace": "default",
                      "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
         "subsets": [{"addresses": [{"ip": host}], "ports": ports}]},
        {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
         "metadata": {"name": "kubernetes", "namespace": "default",
                      "labels": {"kubernetes.io/service-name": "kubernetes"}},
         "addressType": "IPv4", "endpoints": [{"addresses": [host], "conditions": {"ready": True}}], "ports": ports},
    ]
