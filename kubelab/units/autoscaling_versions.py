"""HorizontalPodAutoscalers have two faces over one store: autoscaling/v2, and autoscaling/v1 that knows of CPU alone.

    v2  spec.metrics: [cpu 80 %, requests per second]   spec.behavior   status.currentMetrics, conditions
    v1  spec.targetCPUUtilizationPercentage: 80         annotations autoscaling.alpha.kubernetes.io/metrics, behavior

Invariant: what is stored is v2; what v1 has no field for travels in annotations, there and back.
Models:    pkg/apis/autoscaling/v1/conversion.go of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from kubelab.machinery import schema
from kubelab.machinery.decoding import check
from kubelab.machinery.request import Obj
from kubelab.units import autoscaling_metrics_v1 as old_metrics

PREFIX = "autoscaling.alpha.kubernetes.io/"


def to_v1(scaler: Obj) -> Obj:
    """Show a stored autoscaler as autoscaling/v1."""
    out = {**scaler, "apiVersion": "autoscaling/v1"}
    if "spec" not in scaler:  # a bookmark
        return out
    spec, status = {**scaler["spec"]}, {**(scaler.get("status") or {})}
    metrics, measured = spec.pop("metrics", None) or [], status.pop("currentMetrics", None) or []
    percents = [percent for percent in map(_cpu_target, metrics) if percent is not None]
    now = [percent for percent in map(_cpu_now, measured) if percent is not None]
    if percents:
        spec["targetCPUUtilizationPercentage"] = percents[0]
    if now:
        status["currentCPUUtilizationPercentage"] = now[0]
    status.setdefault("currentReplicas", 0)
    behavior = spec.pop("behavior", None)
    carried = {"metrics": [old_metrics.source_to_v1(metric) for metric in metrics if _cpu_target(metric) is None],
               "current-metrics": [old_metrics.status_to_v1(metric) for metric in measured],  # for their raw values
               "conditions": status.pop("conditions", None), "behavior": behavior and _behavior_to_go(behavior)}
    notes = {PREFIX + name: orjson.dumps(value).decode() for name, value in carried.items() if value}
    return {**out, "metadata": _annotated(scaler["metadata"], notes), "spec": spec, "status": status}


def to_v2(scaler: Obj) -> Obj:
    """Make what is stored of an autoscaling/v1 HorizontalPodAutoscaler."""
    spec, status = {**(scaler.get("spec") or {})}, {**(scaler.get("status") or {})}
    notes = scaler["metadata"].get("annotations") or {}
    percent, now = spec.pop("targetCPUUtilizationPercentage", None), status.pop("currentCPUUtilizationPercentage", None)
    metrics = _read("spec", "metrics", notes, old_metrics.source_to_v2) or []
    if percent is not None:
        metrics = [*metrics, _cpu({"target": {"type": "Utilization", "averageUtilization": percent}})]
    measured = _read("status", "currentMetrics", notes, old_metrics.status_to_v2)
    if measured is None and now is not None:
        measured = [_cpu({"current": {"averageUtilization": now}})]
    behavior = _read("spec", "behavior", notes, _behavior_from_go)
    conditions = _read("status", "conditions", notes, lambda condition: condition)
    for part, key, value in ((spec, "metrics", metrics or None), (spec, "behavior", behavior),
                             (status, "currentMetrics", measured), (status, "conditions", conditions)):
        if value is not None:
            part[key] = value
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)  # v1 shows it always, v2 does not
    return {**scaler, "apiVersion": "autoscaling/v2", "metadata": _annotated(scaler["metadata"], {}), "spec": spec,
            "status": status}


NOTES = {"metrics": "metrics", "currentMetrics": "current-metrics", "conditions": "conditions", "behavior": "behavior"}


def _read(part: str, key: str, notes: Mapping[str, str], made: Callable[[Any], Any]) -> Any:
    """Read what an annotation carries; None when somebody wrote it by hand and it is nothing of the kind."""
    note = notes.get(PREFIX + NOTES[key])
    if not note:
        return None
    try:
        carried = orjson.loads(note)
        value = [made(one) for one in carried] if isinstance(carried, list) else made(carried)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    node = schema.compiled("autoscaling/v2", "HorizontalPodAutoscaler")
    assert node is not None  # it is a kind of ours
    found = check(node, {"metadata": {}, part: {key: value}}, "Ignore", [])
    return None if found.errors else found.obj[part].get(key)


def _cpu(resource: Obj) -> Obj:
    return {"type": "Resource", "resource": {"name": "cpu", **resource}}


def _cpu_target(metric: Obj) -> int | None:
    """Return the percentage of a metric that v1 has a field for."""
    return _percent(metric, "target")


def _cpu_now(metric: Obj) -> int | None:
    return _percent(metric, "current")


def _percent(metric: Obj, side: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    percent: int | None = (resource.get(side) or {}).get("averageUtilization")
    return percent


# The annotation has the fields of Go's internal types, all of them, and is read whatever their case.
_RULE, _POLICY = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"), ("type", "value",
                                                                                            "periodSeconds")


def _behavior_to_go(behavior: Obj) -> Obj:
    def rule(given: Obj | None) -> Obj | None:
        if given is None:
            return None
        policies = given.get("policies")
        shown = {**given, "policies": policies and [_go(policy, _POLICY) for policy in policies]}
        return _go(shown, _RULE)

    return {"ScaleUp": rule(behavior.get("scaleUp")), "ScaleDown": rule(behavior.get("scaleDown"))}


def _go(value: Obj, keys: tuple[str, ...]) -> Obj:
    return {key[0].upper() + key[1:]: value.get(key) for key in keys}


def _behavior_from_go(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _behavior_from_go(one) for key, one in value.items() if one is not None}
    return [_behavior_from_go(one) for one in value] if isinstance(value, list) else value


def _annotated(metadata: Obj, notes: Mapping[str, str]) -> Obj:
    ours = {PREFIX + name for name in NOTES.values()}
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in ours}
    out = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**out, "annotations": {**kept, **notes}} if kept or notes else out
