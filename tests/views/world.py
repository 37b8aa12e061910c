"""Small synthetic API objects for the tests of the views."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


class World:
    """Makes objects with uids and rising resourceVersions."""

    def __init__(self) -> None:
        self.revision = 100

    def meta(self, name: str, namespace: str | None = "default", **more: Any) -> Obj:
        self.revision += 1
        meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self.revision)}
        return meta | ({"namespace": namespace} if namespace else {}) | more

    def node(self, name: str, *, ready: bool = True, since: str = "2026-01-02T03:04:05Z") -> Obj:
        status = "True" if ready else "Unknown"
        reason = "KubeletReady" if ready else "NodeStatusUnknown"
        message = "kubelet is posting ready status" if ready else "Kubelet stopped posting node status."
        return {"kind": "Node", "metadata": self.meta(name, None), "spec": {}, "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "nodeInfo": {"containerRuntimeVersion": "process://1.0"},
            "conditions": [{"type": "Ready", "status": status, "reason": reason, "message": message,
                            "lastTransitionTime": since}]}}

    def pod(self, name: str, node: str = "", state: str = "ready", *, owner: str = "", hash_: str = "",
            containers: int = 1, restarts: int = 0, gone: bool = False, namespace: str = "default",
            app: str = "") -> Obj:
        """Make a pod in one of the palette's states."""
        labels = {k: v for k, v in (("app", app or owner.removesuffix(f"-{hash_}")), ("pod-template-hash", hash_)) if v}
        meta = self.meta(name, namespace, labels=labels)
        if owner:
            meta["ownerReferences"] = [{"kind": "ReplicaSet", "name": owner, "uid": f"uid-{owner}", "controller": True}]
        if gone:
            meta["deletionTimestamp"] = "2026-01-02T03:04:05Z"
        names = ["app", "side", "more", "last"][:containers]
        spec = {"containers": [{"name": n, "image": "nginx", "resources": {"requests": {"cpu": "100m",
                                                                                       "memory": "128Mi"}}}
                               for n in names]} | ({"nodeName": node} if node else {})
        return {"kind": "Pod", "metadata": meta, "spec": spec, "status": pod_status(state, names, restarts)}

    def service(self, name: str, *, namespace: str = "default", ip: str = "127.64.128.14") -> Obj:
        return {"kind": "Service", "metadata": self.meta(name, namespace),
                "spec": {"clusterIP": ip, "type": "ClusterIP", "ports": [{"port": 80}], "selector": {"app": name}}}

    def slice(self, service: str, pods: list[Obj], *, namespace: str = "default") -> Obj:
        ready = [{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": p["metadata"]["name"],
                                                           "uid": p["metadata"]["uid"]},
                  "conditions": {"ready": p["status"]["phase"] == "Running" and _is_ready(p)}} for p in pods]
        labels = {"kubernetes.io/service-name": service}
        return {"kind": "EndpointSlice", "metadata": self.meta(f"{service}-x1", namespace, labels=labels),
                "endpoints": ready}


def _is_ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


def pod_status(state: str, names: list[str], restarts: int) -> Obj:
    running = state in ("ready", "unready", "failed")
    phase = "Running" if running else "Succeeded" if state == "succeeded" else "Pending"
    inner: Obj = {"ready": {"running": {}}, "unready": {"running": {}},
                  "failed": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed"}},
                  "succeeded": {"terminated": {"exitCode": 0, "reason": "Completed"}}}.get(
                      state, {"waiting": {"reason": "ContainerCreating"}})
    return {"phase": phase, "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True" if state == "ready" else "False"}],
            "containerStatuses": [{"name": n, "ready": state == "ready", "restartCount": restarts, "state": inner}
                                  for n in names]}
