"""HorizontalPodAutoscaler: as many pods as the load needs. Stored as autoscaling/v2.

Models: pkg/registry/autoscaling, pkg/apis/autoscaling/v2 and validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import autoscaling_metrics, rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

CPU_PERCENT = 80
POLICIES, SELECT = ("Percent", "Pods"), ("Disabled", "Max", "Min")
MAX_WINDOW_S, MAX_PERIOD_S = 3600, 1800


def default_metrics() -> list[Obj]:
    target = {"type": "Utilization", "averageUtilization": CPU_PERCENT}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _default(scaler: Obj) -> None:
    spec = scaler.setdefault("spec", {})
    spec.setdefault("scaleTargetRef", {})
    spec.setdefault("minReplicas", 1)
    spec["metrics"] = spec.get("metrics") or default_metrics()
    behavior = spec.get("behavior")
    if behavior is not None:
        up, down = behavior.setdefault("scaleUp", {}), behavior.setdefault("scaleDown", {})
        up.setdefault("stabilizationWindowSeconds", 0)
        up.setdefault("policies", [{"type": "Pods", "value": 4, "periodSeconds": 15},
                                   {"type": "Percent", "value": 100, "periodSeconds": 15}])
        down.setdefault("policies", [{"type": "Percent", "value": 100, "periodSeconds": 15}])
        for rule in (up, down):
            rule.setdefault("selectPolicy", "Max")
    _default_status(scaler)


def _default_status(scaler: Obj) -> None:
    """Show two fields always; a status may be shared, so a new one is made."""
    scaler["status"] = {"desiredReplicas": 0, "currentMetrics": None, **(scaler.get("status") or {})}


def _prepare_create(scaler: Obj) -> None:
    scaler["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def _validate(scaler: Obj) -> Sequence[FieldError]:
    """Say what is wrong with one that is new; an update is measured against what was there."""
    return () if scaler["metadata"].get("resourceVersion") else list(_spec_errors(scaler["spec"], {}))


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_spec_errors(new["spec"], old["spec"]))


def _validate_part(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    status = new.get("status") or {}
    return [e for key in ("currentReplicas", "desiredReplicas")
            for e in rules.not_negative(f"status.{key}", status.get(key))]


def _spec_errors(spec: Obj, old: Obj) -> rules.Errors:
    target, had = spec["scaleTargetRef"], old.get("scaleTargetRef")
    yield from _count_errors(spec, 0 if old.get("minReplicas") == 0 else 1)
    yield from autoscaling_metrics.reference_errors(target, "spec.scaleTargetRef",
                                                    grouped=target.get("kind") != "ReplicationController",
                                                    checked=had is None or not _odd_version(had))
    yield from autoscaling_metrics.errors(spec["metrics"], "spec.metrics")
    if spec["minReplicas"] == 0 and not any(m.get("type") in ("Object", "External") for m in spec["metrics"]):
        yield rules.forbidden("spec.metrics", "must specify at least one Object or External metric to support scaling "
                                              "to zero replicas")
    behavior = spec.get("behavior") or {}
    for key in ("scaleUp", "scaleDown"):
        if behavior.get(key) is not None:
            yield from _rule_errors(behavior[key], f"spec.behavior.{key}")


def _odd_version(target: Obj) -> bool:
    """Say whether a stored target's version would be refused today; it may stay as it is."""
    return any(autoscaling_metrics.version_errors(target, "", target.get("kind") != "ReplicationController"))


def _count_errors(spec: Obj, lowest: int) -> rules.Errors:
    least, most = spec["minReplicas"], spec.get("maxReplicas", 0)
    if least < lowest:
        yield invalid_value("spec.minReplicas", least, f"must be greater than or equal to {lowest}")
    if most == 0:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        yield invalid_value("spec.maxReplicas", most, "must be greater than 0")
    if most < least:
        yield invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


def _rule_errors(rule: Obj, path: str) -> rules.Errors:
    window_s = rule.get("stabilizationWindowSeconds")
    if window_s is not None and window_s < 0:
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window_s, "must be greater than or equal to zero")
    if window_s is not None and window_s > MAX_WINDOW_S:
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window_s,
                            f"must be less than or equal to {MAX_WINDOW_S}")
    yield from rules.known(f"{path}.selectPolicy", rule.get("selectPolicy"), SELECT)
    if not rule.get("policies"):
        yield required(f"{path}.policies", "must specify at least one Policy")
    for i, policy in enumerate(rule.get("policies") or ()):
        yield from _policy_errors(policy, f"{path}.policies[{i}]")
    if rule.get("tolerance") is not None:
        yield from rules.quantity_not_negative(f"{path}.tolerance", rule["tolerance"])


def _policy_errors(policy: Obj, path: str) -> rules.Errors:
    period_s = policy.get("periodSeconds", 0)
    if policy.get("type") not in POLICIES:
        yield rules.unsupported(f"{path}.type", policy.get("type", ""), POLICIES)
    if policy.get("value", 0) <= 0:
        yield invalid_value(f"{path}.value", policy.get("value", 0), "must be greater than zero")
    if period_s <= 0:
        yield invalid_value(f"{path}.periodSeconds", period_s, "must be greater than zero")
    if period_s > MAX_PERIOD_S:
        yield invalid_value(f"{path}.periodSeconds", period_s, f"must be less than or equal to {MAX_PERIOD_S}")


def targets_text(scaler: Obj) -> str:
    """Write what is measured and aimed at: cpu: 35%/80%, at most two of them."""
    wanted = scaler["spec"].get("metrics") or ()
    now = (scaler.get("status") or {}).get("currentMetrics") or ()
    shown = [_target_text(metric, now[i] if i < len(now) else {}) for i, metric in enumerate(wanted)]
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more if shown else "<none>"


def _target_text(metric: Obj, current: Obj) -> str:
    key = autoscaling_metrics.SOURCES.get(metric.get("type", ""))
    if key is None:
        return "<unknown type>"
    source, measured = metric.get(key) or {}, (current.get(key) or {}).get("current") or {}
    target: Any = source.get("target") or {}
    of_resource = key in ("resource", "containerResource")
    name, unit, note = ("averageValue", "", " (avg)" if key in ("object", "external") else "")
    if target.get(name) is None:
        name, unit, note = ("averageUtilization", "%", "") if of_resource else ("value", "", "")
    has, wanted = (f"{of[name]}{unit}" if of.get(name) is not None else None for of in (measured, target))
    label = f"{source.get('name', '')}: " if of_resource else ""
    return f"{label}{has or '<unknown>'}/{wanted or '<auto>'}{note}"


HORIZONTAL_POD_AUTOSCALER = Kind(
    "HorizontalPodAutoscaler", "horizontalpodautoscalers", meta_looks=(1, 0),
    group="autoscaling", version="v2", short_names=("hpa",),
    categories=("all",), subresources=frozenset({"status"}),
    default=_default, default_status=_default_status, prepare_create=_prepare_create, validate=_validate,
    validate_update=_validate_update, validate_part=_validate_part,
    columns=(
        NAME,
        Column("Reference", lambda o, now: f"{o['spec']['scaleTargetRef'].get('kind', '')}/"
                                           f"{o['spec']['scaleTargetRef'].get('name', '')}",
               path="spec.scaleTargetRef"),
        Column("Targets", lambda o, now: targets_text(o), path="spec.metrics"),
        Column("MinPods", lambda o, now: str(o["spec"].get("minReplicas", "<unset>")), path="spec.minReplicas"),
        Column("MaxPods", lambda o, now: o["spec"]["maxReplicas"], path="spec.maxReplicas"),
        Column("Replicas", lambda o, now: (o.get("status") or {}).get("currentReplicas", 0),
               path="status.currentReplicas"),
        AGE,
    ),
)
