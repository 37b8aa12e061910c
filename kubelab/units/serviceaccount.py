"""ServiceAccount: who a pod is when it talks to the API server.

Models: pkg/registry/core/serviceaccount of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterator

from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.columns import AGE, NAME

MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def _names_only(account: Obj) -> None:
    """Of the secrets that an account lists only their names count: they lie in its own namespace."""
    if account.get("secrets"):
        account["secrets"] = [{key: one[key] for key in ("name",) if one.get(key)} for one in account["secrets"]]


def _warnings(new: Obj, old: Obj | None) -> Iterator[str]:
    noted = [MOUNTABLE in ((obj or {}).get("metadata", {}).get("annotations") or {}) for obj in (new, old)]
    if noted == [True, False]:
        yield (f"metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access "
               "to mounted secrets")


SERVICE_ACCOUNT = Kind(
    "ServiceAccount", "serviceaccounts", short_names=("sa",), subresources=frozenset({"token"}),
    prepare_create=_names_only, prepare_update=lambda new, old: _names_only(new), warnings=_warnings,
    columns=(NAME, AGE),
)


def ServiceAccount(name: str, *, namespace: str | None = None) -> Obj:
    """Write the manifest of a service account."""
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
