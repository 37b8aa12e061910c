"""ServiceAccount: who a pod is when it talks to the API server.

Models: pkg/registry/core/serviceaccount of kube-apiserver
"""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.columns import AGE, NAME

SERVICE_ACCOUNT = Kind(
    "ServiceAccount", "serviceaccounts", short_names=("sa",), subresources=frozenset({"token"}),
    columns=(NAME, AGE),
)


def ServiceAccount(name: str, *, namespace: str | None = None) -> Obj:
    """Write the manifest of a service account."""
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
