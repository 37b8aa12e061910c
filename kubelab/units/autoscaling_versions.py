"""HorizontalPodAutoscalers have two faces over one store: autoscaling/v2, and autoscaling/v1 that knows of CPU alone.

    v2  spec.metrics: [cpu 80 %, requests per second]   status.currentMetrics, conditions
    v1  spec.targetCPUUtilizationPercentage: 80         annotations autoscaling.alpha.kubernetes.io/metrics, conditions

Invariant: what is stored is v2; what v1 has no field for travels in annotations, there and back.
Models:    pkg/apis/autoscaling/v1/conversion.go of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from kubelab.machinery import schema
from kubelab.machinery.decoding import check
from kubelab.machinery.request import Obj

PREFIX = "autoscaling.alpha.kubernetes.io/"
# Where v2 keeps it, and under which annotation v1 shows it.
CARRIED = (("spec", "metrics", "metrics"), ("spec", "behavior", "behavior"), ("status", "currentMetrics",
           "current-metrics"), ("status", "conditions", "conditions"))


def to_v1(scaler: Obj) -> Obj:
    """Show a stored autoscaler as autoscaling/v1."""
    out = {**scaler, "apiVersion": "autoscaling/v1"}
    if "spec" not in scaler:  # a bookmark
        return out
    spec, status = {**scaler["spec"]}, {**(scaler.get("status") or {})}
    cpu, others = _percent("target", "averageUtilization", spec.get("metrics") or ())
    now, measured = _percent("current", "averageUtilization", status.get("currentMetrics") or ())
    carried = {"metrics": others, "behavior": spec.get("behavior"), "current-metrics": measured,
               "conditions": status.get("conditions")}
    for part, key, _ in CARRIED:
        (spec if part == "spec" else status).pop(key, None)
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu
    if now is not None:
        status["currentCPUUtilizationPercentage"] = now
    status.setdefault("currentReplicas", 0)
    notes = {PREFIX + name: orjson.dumps(value).decode() for name, value in carried.items() if value}
    return {**out, "metadata": _annotated(scaler["metadata"], notes), "spec": spec, "status": status}


def to_v2(scaler: Obj) -> Obj:
    """Make what is stored of an autoscaling/v1 HorizontalPodAutoscaler."""
    parts = {"spec": {**(scaler.get("spec") or {})}, "status": {**(scaler.get("status") or {})}}
    for part, key, name in CARRIED:
        note = (scaler["metadata"].get("annotations") or {}).get(PREFIX + name)
        carried = _read(part, key, note) if note else None
        if carried is not None:
            parts[part][key] = carried
    for part, old, key in (("spec", "targetCPUUtilizationPercentage", "metrics"),
                           ("status", "currentCPUUtilizationPercentage", "currentMetrics")):
        percent = parts[part].pop(old, None)
        if percent is not None:
            value = {"averageUtilization": percent}
            shown = {"target": {"type": "Utilization", **value}} if part == "spec" else {"current": value}
            cpu = {"type": "Resource", "resource": {"name": "cpu", **shown}}
            parts[part][key] = [cpu, *(parts[part].get(key) or ())]
    if not parts["status"].get("currentReplicas"):
        parts["status"].pop("currentReplicas", None)  # v1 shows it always, v2 does not
    return {**scaler, "apiVersion": "autoscaling/v2", "metadata": _annotated(scaler["metadata"], {}), **parts}


def _read(part: str, key: str, note: str) -> Any:
    """Read what an annotation carries; None when somebody wrote it by hand and it is nothing of the kind."""
    try:
        value = orjson.loads(note)
    except ValueError:
        return None
    node = schema.compiled("autoscaling/v2", "HorizontalPodAutoscaler")
    if node is None:
        return value
    found = check(node, {"metadata": {}, part: {key: value}}, "Ignore", [])
    return None if found.errors else found.obj[part].get(key)


def _percent(side: str, key: str, metrics: list[Obj] | tuple[()]) -> tuple[int | None, list[Obj]]:
    """Take the CPU percentage, which v1 has a field for, out of the metrics."""
    found, others = None, []
    for metric in metrics:
        resource = metric.get("resource") or {}
        value = (resource.get(side) or {}).get(key)
        if found is None and metric.get("type") == "Resource" and resource.get("name") == "cpu" and value is not None:
            found = value
        else:
            others.append(metric)
    return found, others


def _annotated(metadata: Obj, notes: Mapping[str, str]) -> Obj:
    ours = {PREFIX + name for _, _, name in CARRIED}
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in ours}
    out = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**out, "annotations": {**kept, **notes}} if kept or notes else out
