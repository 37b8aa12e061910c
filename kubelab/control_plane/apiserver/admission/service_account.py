"""ServiceAccount: a pod runs as a service account that exists, with its token mounted unless it says no.

Models:    plugin/pkg/admission/serviceaccount
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.machinery.meta import random_suffix
from kubelab.machinery.request import Obj

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a secret
TOKEN_SECONDS = 3607


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    handles = ("CREATE pods",)

    def admit(self, a: Attributes) -> None:
        spec, metadata = a.obj["spec"], a.obj["metadata"]
        if "kubernetes.io/config.mirror" in (metadata.get("annotations") or {}):
            return
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        account = self.get("", "serviceaccounts", f"{a.namespace}/{name}")
        if account is None:
            raise a.forbidden(f'error looking up service account {a.namespace}/{name}: serviceaccount "{name}" '
                              "not found")
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken")
        if wanted is not False:
            mount_token(spec)
        secrets = account.get("imagePullSecrets")
        if secrets and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = list(secrets)


def mount_token(spec: Obj) -> None:
    """Add the projected volume with token, CA and namespace, and mount it where client libraries look for it."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    lacking = [c for c in containers
               if all(mount.get("mountPath") != TOKEN_PATH for mount in c.get("volumeMounts") or ())]
    if not lacking:
        return
    volumes = spec.setdefault("volumes", [])
    name = next((v["name"] for v in volumes if str(v.get("name", "")).startswith("kube-api-access-")), "")
    if not name:
        name = f"kube-api-access-{random_suffix()}"
        volumes.append({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {
                "apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}})
    for container in lacking:
        container.setdefault("volumeMounts", []).append({"name": name, "readOnly": True, "mountPath": TOKEN_PATH})
