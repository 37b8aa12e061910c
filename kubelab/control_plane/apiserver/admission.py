"""Admission: the built-in plugins that look at every write, may complete it, and may refuse it.

    object ─► NamespaceLifecycle ─► NodeRestriction ─► TaintNodes ─► ServiceAccount ─► Priority ─► DefaultTolerations
                                                                                            └─► addresses (allocator)

Invariant: a plugin changes only the new object; what it refuses has left no trace.
Models:    the admission plugins that kube-apiserver enables by default
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.allocator import ServiceAllocator
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery.errors import forbidden, not_found
from kubelab.machinery.meta import random_suffix
from kubelab.machinery.request import Obj

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a secret
TOKEN_SECONDS = 3607
IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
NOT_READY = "node.kubernetes.io/not-ready"
TOLERATED = (NOT_READY, "node.kubernetes.io/unreachable")


class Plugins:
    """The chain of plugins, in order."""

    def __init__(self, storage: Storage, allocator: ServiceAllocator) -> None:
        self._storage, self._allocator = storage, allocator

    async def admit(self, call: Call, obj: Obj, old: Obj | None) -> None:
        """Let every plugin see the write. Raises `Forbidden`, `NotFound`."""
        if old is None and call.kind.namespaced:
            self._namespace_lives(call, obj)
        if old is None and call.kind.plural == "nodes" and "system:nodes" in call.user.groups:
            own_node_only(call, obj)
        if old is None and call.kind.plural == "nodes" and not call.kind.group:
            taint_new_node(obj)
        if old is None and call.kind.plural == "pods":
            self._service_account(call, obj)
            set_priority(call, obj)
            no_runtime_class(obj)
            add_tolerations(obj["spec"])

    def allocate(self, call: Call, obj: Obj, old: Obj | None) -> None:
        """Give a Service its addresses and ports, after it was found valid. Raises `Invalid`."""
        if call.kind.plural == "services" and not call.subresource:
            self._allocator.allocate(obj, old)

    def release(self, call: Call, obj: Obj) -> None:
        """Take back what `allocate` gave, since the write did not happen."""
        if call.kind.plural == "services" and not call.subresource:
            self._allocator.forget(obj)

    def _namespace_lives(self, call: Call, obj: Obj) -> None:
        """Nothing is created in a namespace that is not there or is going."""
        name = call.namespace
        found = self._storage.of("", "namespaces").objects.get(name)
        if found is None:
            raise not_found("", "namespaces", name)
        stamp = found.obj["metadata"].get("deletionTimestamp")
        if stamp is None and (found.obj.get("status") or {}).get("phase") != "Terminating":
            return
        own = obj["metadata"].get("name", "")
        error = forbidden(call.kind.group, call.kind.plural, own,
                          f"unable to create new content in namespace {name} because it is being terminated")
        error.details = {**(error.details or {}), "causes": [
            {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated",
             "field": "metadata.namespace"}]}
        raise error

    def _service_account(self, call: Call, pod: Obj) -> None:
        """A pod runs as a service account that exists, with its token mounted unless it says no."""
        spec, metadata = pod["spec"], pod["metadata"]
        if "kubernetes.io/config.mirror" in (metadata.get("annotations") or {}):
            return
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        account = self._storage.of("", "serviceaccounts").objects.get(f"{call.namespace}/{name}")
        if account is None:
            raise forbidden("", "pods", metadata.get("name", ""), f"error looking up service account "
                            f'{call.namespace}/{name}: serviceaccount "{name}" not found')
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.obj.get("automountServiceAccountToken")
        if wanted is not False:
            mount_token(spec)
        secrets = account.obj.get("imagePullSecrets")
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


def set_priority(call: Call, pod: Obj) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName")
    if name and name not in PRIORITIES:
        raise forbidden("", "pods", pod["metadata"].get("name", ""), f"no PriorityClass with name {name} was found")
    value = PRIORITIES.get(name, 0)
    if spec.get("priority") not in (None, value):
        raise forbidden("", "pods", pod["metadata"].get("name", ""), "the integer value of priority "
                        f"({spec['priority']}) must not be provided in pod spec; priority admission controller "
                        f"computed {value} from the given PriorityClass name")
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def no_runtime_class(pod: Obj) -> None:
    """There are no RuntimeClasses here, so that naming one is naming none that exists."""
    name = pod["spec"].get("runtimeClassName")
    if name:
        raise forbidden("", "pods", pod["metadata"].get("name", ""), f'pod rejected: RuntimeClass "{name}" not found')
    if pod["spec"].get("overhead"):
        raise forbidden("", "pods", pod["metadata"].get("name", ""), "pod rejected: Pod Overhead set without "
                        "corresponding RuntimeClass defined Overhead")


def add_tolerations(spec: Obj) -> None:
    """Let a pod stay five minutes on a node that is not ready or not reachable, unless it says otherwise."""
    tolerations = spec.get("tolerations") or []
    missing = [key for key in TOLERATED if not any(
        t.get("key", "") in (key, "") and t.get("effect", "") in ("NoExecute", "") and
        (t.get("key") or t.get("operator") == "Exists") for t in tolerations)]
    if missing:
        spec["tolerations"] = tolerations + [{"key": key, "operator": "Exists", "effect": "NoExecute",
                                              "tolerationSeconds": 300} for key in missing]


def taint_new_node(node: Obj) -> None:
    """A node is not ready until its kubelet and the node controller say so."""
    taints = node.setdefault("spec", {}).setdefault("taints", [])
    if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        taints.append({"key": NOT_READY, "effect": "NoSchedule"})


def own_node_only(call: Call, node: Obj) -> None:
    """A kubelet registers its own Node and no other; what it may update, authorisation has settled by the name."""
    own, name = call.user.name.removeprefix("system:node:"), node["metadata"].get("name")
    if name != own:
        raise forbidden("", "nodes", str(name), f'node "{own}" is not allowed to modify node "{name}"')
