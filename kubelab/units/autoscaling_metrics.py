"""What an autoscaler may be told to measure: the source of each metric, and what is aimed at.

    {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "5"}}}

Models: validateMetrics of pkg/apis/autoscaling/validation in kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubelab.machinery import quantity
from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

SOURCES = {"ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
           "Resource": "resource"}
TARGETS = ("Utilization", "Value", "AverageValue")


def errors(metrics: Sequence[Obj], path: str) -> rules.Errors:
    """What is wrong with the metrics of an autoscaler."""
    for i, metric in enumerate(metrics):
        yield from _metric_errors(metric, f"{path}[{i}]")


def _metric_errors(metric: Obj, path: str) -> rules.Errors:
    kind = metric.get("type", "")
    wrong = rules.unsupported(f"{path}.type", kind, sorted(SOURCES))
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    if kind not in SOURCES:
        yield wrong
    given = [key for key in CHECKS if metric.get(key) is not None]
    if given:  # upstream looks at the first alone
        yield from CHECKS[given[0]](metric[given[0]], f"{path}.{given[0]}")
    if kind not in SOURCES:
        yield wrong  # upstream says it twice
    elif SOURCES[kind] not in given:
        yield required(f"{path}.{SOURCES[kind]}", "must populate information for the given metric source")
    if len(given) > 1:
        yield from (rules.forbidden(f"{path}.{key}", "must populate the given metric source only")
                    for key in given if key != SOURCES.get(kind))


def _object_errors(source: Obj, path: str) -> rules.Errors:
    target = source.get("target") or {}
    yield from reference_errors(source.get("describedObject") or {}, f"{path}.describedObject", grouped=False)
    yield from _identifier_errors(source, path)
    yield from _target_errors(target, f"{path}.target")
    if target.get("value") is None and target.get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _external_errors(source: Obj, path: str) -> rules.Errors:
    target = source.get("target") or {}
    yield from _identifier_errors(source, path)
    yield from _target_errors(target, f"{path}.target")
    if target.get("value") is None and target.get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must set either a target value for metric or a per-pod target")
    if target.get("value") is not None and target.get("averageValue") is not None:
        yield rules.forbidden(f"{path}.target.value",
                              "may not set both a target value for metric and a per-pod target")


def _pods_errors(source: Obj, path: str) -> rules.Errors:
    yield from _identifier_errors(source, path)
    yield from _target_errors(source.get("target") or {}, f"{path}.target")
    if (source.get("target") or {}).get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _resource_errors(source: Obj, path: str) -> rules.Errors:
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    yield from _usage_errors(source.get("target") or {}, f"{path}.target")


def _container_errors(source: Obj, path: str) -> rules.Errors:
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    if not source.get("container"):
        yield required(f"{path}.container", "must specify a container")
    else:
        yield from rules.label_name(f"{path}.container", source["container"])
    yield from _usage_errors(source.get("target") or {}, f"{path}.target")


# In the order in which upstream looks for a source.
CHECKS: dict[str, Callable[[Obj, str], rules.Errors]] = {
    "object": _object_errors, "external": _external_errors, "pods": _pods_errors, "resource": _resource_errors,
    "containerResource": _container_errors}


def _usage_errors(target: Obj, path: str) -> rules.Errors:
    percent, amount = target.get("averageUtilization"), target.get("averageValue")
    yield from _target_errors(target, path)
    if percent is None and amount is None:
        yield required(f"{path}.averageUtilization", "must set either a target raw value or a target utilization")
    if percent is not None and amount is not None:
        yield rules.forbidden(f"{path}.averageValue", "may not set both a target raw value and a target utilization")


def _target_errors(target: Obj, path: str) -> rules.Errors:
    kind, percent = target.get("type", ""), target.get("averageUtilization")
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    if kind not in TARGETS:
        yield invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for key in ("value", "averageValue"):
        if target.get(key) is not None and quantity.parse(target[key]) <= 0:
            yield invalid_value(f"{path}.{key}", str(target[key]), "must be positive")
    if percent is not None and percent < 1:
        yield invalid_value(f"{path}.averageUtilization", percent, "must be greater than 0")


def _identifier_errors(source: Obj, path: str) -> rules.Errors:
    name = (source.get("metric") or {}).get("name")
    if not name:
        yield required(f"{path}.metric.name", "must specify a metric name")
    else:
        yield from rules.messages(f"{path}.metric.name", name, _segment_messages)


def reference_errors(ref: Obj, path: str, *, grouped: bool, checked: bool = True) -> rules.Errors:
    """What is wrong with a reference to an object; `grouped`: it is of a named API group."""
    for key in ("kind", "name"):
        if not ref.get(key):
            yield required(f"{path}.{key}")
        else:
            yield from rules.messages(f"{path}.{key}", ref[key], _segment_messages)
    if checked:
        yield from version_errors(ref, path, grouped)


def version_errors(ref: Obj, path: str, grouped: bool) -> rules.Errors:
    version = ref.get("apiVersion", "")
    if version.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif grouped and not version.rpartition("/")[0]:
        yield invalid_value(f"{path}.apiVersion", version, "apiVersion must specify API group")


def _segment_messages(name: str) -> list[str]:
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]
