"""Pod: some containers that live and die together on one node, sharing a network and volumes.

    manifest ─ pods/defaults ─► pod ─ pods/validation ─► stored ─ pods/columns ─► `kubectl get pods`

Models: pkg/registry/core/pod of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.pods import changes, status_validation, validation, warnings
from kubelab.units.pods.columns import COLUMNS, row_conditions
from kubelab.units.pods.defaults import pod_defaults, qos_class, select_own_labels

WELL_KNOWN_PORTS = {"nginx": 80, "httpd": 80, "whoami": 80, "redis": 6379}


def _prepare_create(pod: Obj) -> None:
    select_own_labels(pod)
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
    if pod["spec"].get("schedulingGates"):
        pod["status"]["conditions"] = [{
            "type": "PodScheduled", "status": "False", "lastProbeTime": None,
            "lastTransitionTime": pod["metadata"].get("creationTimestamp"), "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates"}]


def _default_status(pod: Obj) -> None:
    """Show the times that Kubernetes always shows of a condition, known or not."""
    status = pod.get("status") or {}
    conditions = status.get("conditions") or ()
    if any("lastProbeTime" not in c for c in conditions):
        pod["status"] = {**status, "conditions": [{"lastProbeTime": None, **c} for c in conditions]}


def _prepare_status(new: Obj, old: Obj, now: str) -> None:
    """Keep what older kubelets do not tell: the class of service, and of which generation a condition is."""
    status, before = new.get("status") or {}, old.get("status") or {}
    known: dict[str, list[int]] = {}
    for condition in before.get("conditions") or ():
        known.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration", 0))
    conditions = []
    for condition in status.get("conditions") or ():
        seen = known.get(condition.get("type", ""))
        generation = condition.get("observedGeneration") or (seen.pop(0) if seen else 0)
        conditions.append({**condition, "observedGeneration": generation} if generation else condition)
    kept = {key: before[key] for key in ("qosClass", "observedGeneration") if before.get(key) and not status.get(key)}
    new["status"] = {**status, **kept, **({"conditions": conditions} if conditions else {})}


def _fields(pod: Obj) -> Mapping[str, str]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.host": spec.get("nodeName", ""),  # as very old clients call it
        "spec.restartPolicy": spec.get("restartPolicy", ""),
        "spec.schedulerName": spec.get("schedulerName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase", ""),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": "",  # may be asked for, and is never found
        "status.nominatedNodeName": status.get("nominatedNodeName", ""),
    }


POD = Kind(
    "Pod", "pods", short_names=("po",), categories=("all",), generation=True,
    subresources=frozenset({"status", "log", "exec", "attach", "portforward", "proxy", "binding", "eviction",
                            "ephemeralcontainers", "resize"}),
    default=pod_defaults, default_status=_default_status, prepare_create=_prepare_create,
    prepare_status=_prepare_status,
    validate=validation.validate, validate_update=changes.validate_update,
    validate_part=status_validation.validate_part,
    warnings=warnings.pod,
    columns=COLUMNS, row_conditions=row_conditions, selectable=_fields,
    selectable_keys=("spec.nodeName", "spec.host", "spec.restartPolicy", "spec.schedulerName",
                     "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs",
                     "status.nominatedNodeName"),
)


def container(
    name: str, image: str, *, port: int | None = None, command: Sequence[str] | None = None,
    args: Sequence[str] | None = None, env: Mapping[str, str] | None = None,
    resources: Mapping[str, Any] | None = None, readiness: Mapping[str, Any] | str | None = None,
) -> Obj:
    """Write one container; a well-known image brings its port, and `readiness="/path"` asks for HTTP there."""
    if port is None and not command:
        port = WELL_KNOWN_PORTS.get(image.rpartition("/")[2].partition(":")[0])
    out: Obj = {"name": name, "image": image}
    if command:
        out["command"] = list(command)
    if args:
        out["args"] = list(args)
    if env:
        out["env"] = [{"name": k, "value": str(v)} for k, v in env.items()]
    if port is not None:
        out["ports"] = [{"containerPort": port}]
    if resources:
        out["resources"] = dict(resources)
    if isinstance(readiness, str):
        out["readinessProbe"] = {"httpGet": {"path": readiness, "port": port or 80}}
    elif readiness:
        out["readinessProbe"] = dict(readiness)
    return out


def Pod(name: str, *, image: str, labels: Mapping[str, str] | None = None, namespace: str | None = None,
        restart: str | None = None, node: str | None = None, **of_container: Any) -> Obj:
    """Write the manifest of a pod with one container.

    `of_container` is what `container` takes: port, command, args, env, resources, readiness.
    """
    meta: Obj = {"name": name, "labels": dict(labels) if labels is not None else {"app": name}}
    if namespace:
        meta["namespace"] = namespace
    spec: Obj = {"containers": [container(name, image, **of_container)]}
    if restart:
        spec["restartPolicy"] = restart
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
