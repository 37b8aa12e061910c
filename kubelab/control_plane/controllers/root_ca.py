"""Root CA publisher: the certificate by which pods know the API server, as a ConfigMap in every namespace.

Models:    kube-controller-manager, root-ca-certificate-publisher-controller
"""

from __future__ import annotations

from kubelab.client.client import Client
from kubelab.client.informer import Informers
from kubelab.control_plane.controllers.serviceaccount import NamespaceFurnisher
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj

CONFIG_MAP = "kube-root-ca.crt"
DESCRIPTION = ("Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such "
               "as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
               "distributions of Kubernetes clusters.")


class RootCaPublisher(NamespaceFurnisher):
    resource, object_name = "configmaps", CONFIG_MAP

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 ca_pem: str) -> None:
        self.ca_pem = ca_pem
        super().__init__(name, client, informers, clock=clock, journal=journal)

    def wanted(self, namespace: str) -> Obj:
        return {"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": self.ca_pem}, "metadata": {
            "name": CONFIG_MAP, "namespace": namespace, "annotations": {"kubernetes.io/description": DESCRIPTION}}}

    def right(self, current: Obj, wanted: Obj) -> bool:
        return bool(current.get("data") == wanted["data"])
