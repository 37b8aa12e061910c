"""HorizontalPodAutoscaler: as many pods as the load needs. Stored as autoscaling/v2.

Models: pkg/registry/autoscaling, pkg/apis/autoscaling/v2 and validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

CPU_PERCENT = 80
SOURCES = {"ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
           "Resource": "resource"}
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
    spec = scaler["spec"]
    return [*_count_errors(spec), *_target_errors(spec["scaleTargetRef"], "spec.scaleTargetRef"),
            *(e for i, m in enumerate(spec["metrics"]) for e in _metric_errors(m, f"spec.metrics[{i}]")),
            *_behavior_errors(spec.get("behavior") or {})]


def _count_errors(spec: Obj) -> rules.Errors:
    least, most = spec["minReplicas"], spec.get("maxReplicas", 0)
    if least < 1:
        yield invalid_value("spec.minReplicas", least, "must be greater than or equal to 1")
    if most == 0:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        yield invalid_value("spec.maxReplicas", most, "must be greater than 0")
    if most < least:
        yield invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


def _target_errors(ref: Obj, path: str) -> rules.Errors:
    for key in ("kind", "name"):
        if not ref.get(key):
            yield required(f"{path}.{key}")
        else:
            yield from rules.messages(f"{path}.{key}", ref[key], _segment_messages)
    version = ref.get("apiVersion", "")
    if version.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif "/" not in version and (version, ref.get("kind")) != ("v1", "ReplicationController"):
        yield invalid_value(f"{path}.apiVersion", version, "apiVersion must specify API group")


def _segment_messages(name: str) -> list[str]:
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def _metric_errors(metric: Obj, path: str) -> rules.Errors:
    kind = metric.get("type", "")
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    elif kind not in SOURCES:
        wrong = rules.unsupported(f"{path}.type", kind, sorted(SOURCES))
        yield wrong
        yield wrong  # upstream says it twice
    else:
        expected = SOURCES[kind]
        for key in sorted(SOURCES.values()):
            if key != expected and metric.get(key) is not None:
                yield rules.forbidden(f"{path}.{key}", "must populate the given metric source only")
        if metric.get(expected) is None:
            yield required(f"{path}.{expected}", "must populate information for the given metric source")
        else:
            yield from _source_errors(kind, metric[expected], f"{path}.{expected}")


def _source_errors(kind: str, source: Obj, path: str) -> rules.Errors:
    target = source.get("target") or {}
    if kind in ("Resource", "ContainerResource"):
        if not source.get("name"):
            yield required(f"{path}.name", "must specify a resource name")
        if kind == "ContainerResource" and not source.get("container"):
            yield required(f"{path}.container", "must specify a container")
        percent, amount = target.get("averageUtilization"), target.get("averageValue")
        yield from _aim_errors(target, f"{path}.target")
        if percent is None and amount is None:
            yield required(f"{path}.target.averageUtilization",
                           "must set either a target raw value or a target utilization")
        if percent is not None and amount is not None:
            yield rules.forbidden(f"{path}.target.averageValue",
                                  "may not set both a target raw value and a target utilization")
        return
    if kind == "Object":
        yield from _target_errors(source.get("describedObject") or {}, f"{path}.describedObject")
    if not (source.get("metric") or {}).get("name"):
        yield required(f"{path}.metric.name", "must specify a metric name")
    yield from _aim_errors(target, f"{path}.target")
    if target.get("averageValue") is None and (kind == "Pods" or target.get("value") is None):
        field, what = ("averageValue", "must specify a positive target averageValue") if kind == "Pods" else \
            ("averageValue", "must set either a target value for metric or a per-pod target")
        yield required(f"{path}.target.{field}", what)


def _aim_errors(target: Obj, path: str) -> rules.Errors:
    if not target.get("type"):
        yield required(f"{path}.type", "must specify a metric target type")
    elif target["type"] not in ("Utilization", "Value", "AverageValue"):
        yield invalid_value(f"{path}.type", target["type"], "must be either Utilization, Value, or AverageValue")
    for key in ("value", "averageValue"):
        if target.get(key) is not None and quantity.parse(target[key]) <= 0:
            yield invalid_value(f"{path}.{key}", str(target[key]), "must be positive")
    if target.get("averageUtilization") is not None and target["averageUtilization"] < 1:
        yield invalid_value(f"{path}.averageUtilization", target["averageUtilization"], "must be greater than 0")


def _behavior_errors(behavior: Obj) -> rules.Errors:
    for key in ("scaleUp", "scaleDown"):
        rule, path = behavior.get(key) or {}, f"spec.behavior.{key}"
        window_s = rule.get("stabilizationWindowSeconds")
        if window_s is not None and window_s < 0:
            yield invalid_value(f"{path}.stabilizationWindowSeconds", window_s, "must be greater than or equal to zero")
        if window_s is not None and window_s > MAX_WINDOW_S:
            yield invalid_value(f"{path}.stabilizationWindowSeconds", window_s,
                                f"must be less than or equal to {MAX_WINDOW_S}")
        if rule and rule.get("selectPolicy") not in SELECT:
            yield rules.unsupported(f"{path}.selectPolicy", rule.get("selectPolicy"), SELECT)
        if rule and not rule.get("policies"):
            yield required(f"{path}.policies", "must specify at least one Policy")
        for i, policy in enumerate(rule.get("policies") or ()):
            field, period_s = f"{path}.policies[{i}]", policy.get("periodSeconds", 0)
            if policy.get("type") not in POLICIES:
                yield rules.unsupported(f"{field}.type", policy.get("type", ""), POLICIES)
            if policy.get("value", 0) <= 0:
                yield invalid_value(f"{field}.value", policy.get("value", 0), "must be greater than zero")
            if period_s <= 0:
                yield invalid_value(f"{field}.periodSeconds", period_s, "must be greater than zero")
            if period_s > MAX_PERIOD_S:
                yield invalid_value(f"{field}.periodSeconds", period_s, f"must be less than or equal to {MAX_PERIOD_S}")


def targets_text(scaler: Obj) -> str:
    """Write what is measured and aimed at: cpu: 35%/80%, at most two of them."""
    wanted = scaler["spec"].get("metrics") or ()
    now = (scaler.get("status") or {}).get("currentMetrics") or ()
    shown = [_target_text(metric, now[i] if i < len(now) else {}) for i, metric in enumerate(wanted)]
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more if shown else "<none>"


def _target_text(metric: Obj, current: Obj) -> str:
    key = SOURCES.get(metric.get("type", ""))
    if key is None:
        return "<unknown type>"
    source, measured = metric.get(key) or {}, (current.get(key) or {}).get("current") or {}
    target: Any = source.get("target") or {}
    label = f"{source.get('name', '')}: " if key in ("resource", "containerResource") else ""
    for name, unit, note in (("averageUtilization", "%", ""), ("averageValue", "", " (avg)"), ("value", "", "")):
        if target.get(name) is not None:
            has = measured.get(name)
            note = note if key in ("object", "external") else ""
            return f"{label}{'<unknown>' if has is None else f'{has}{unit}'}/{target[name]}{unit}{note}"
    return f"{label}<unknown>/<auto>"


HORIZONTAL_POD_AUTOSCALER = Kind(
    "HorizontalPodAutoscaler", "horizontalpodautoscalers", group="autoscaling", version="v2", short_names=("hpa",),
    categories=("all",), subresources=frozenset({"status"}),
    default=_default, default_status=_default_status, prepare_create=_prepare_create, validate=_validate,
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
