"""The metrics of an autoscaler as autoscaling/v1 writes them into annotations.

    v2  pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: "5"}}
    v1  pods: {metricName: rps, targetAverageValue: "5"}

Invariant: each form is a table of (name in v1, where it is in v2); both directions read the same table.
Models:    the conversions of sources and statuses in pkg/apis/autoscaling/v1/conversion.go of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubelab.machinery.request import Obj

Way = tuple[str, ...]
Table = tuple[tuple[str, Way], ...]
_NAMED: Table = (("metricName", ("metric", "name")),)
_SELECTED: Table = (("selector", ("metric", "selector")),)
_OF_EXTERNAL: Table = (*_NAMED, ("metricSelector", ("metric", "selector")))
SOURCES: Mapping[str, Table] = {
    "object": (("target", ("describedObject",)), *_NAMED, ("targetValue", ("target", "value")), *_SELECTED,
               ("averageValue", ("target", "averageValue"))),
    "pods": (*_NAMED, ("targetAverageValue", ("target", "averageValue")), *_SELECTED),
    "resource": (("name", ("name",)), ("targetAverageUtilization", ("target", "averageUtilization")),
                 ("targetAverageValue", ("target", "averageValue"))),
    "containerResource": (("name", ("name",)), ("targetAverageUtilization", ("target", "averageUtilization")),
                          ("targetAverageValue", ("target", "averageValue")), ("container", ("container",))),
    "external": (*_OF_EXTERNAL, ("targetValue", ("target", "value")),
                 ("targetAverageValue", ("target", "averageValue"))),
}
STATUSES: Mapping[str, Table] = {
    "object": (("target", ("describedObject",)), *_NAMED, ("currentValue", ("current", "value")), *_SELECTED,
               ("averageValue", ("current", "averageValue"))),
    "pods": (*_NAMED, ("currentAverageValue", ("current", "averageValue")), *_SELECTED),
    "resource": (("name", ("name",)), ("currentAverageUtilization", ("current", "averageUtilization")),
                 ("currentAverageValue", ("current", "averageValue"))),
    "containerResource": (("name", ("name",)), ("currentAverageUtilization", ("current", "averageUtilization")),
                          ("currentAverageValue", ("current", "averageValue")), ("container", ("container",))),
    "external": (*_OF_EXTERNAL, ("currentValue", ("current", "value")),
                 ("currentAverageValue", ("current", "averageValue"))),
}
# Amounts that v1 shows always: 0 stands for one that is not there.
ALWAYS = {("object", "targetValue"), ("pods", "targetAverageValue"), ("object", "currentValue"),
          ("pods", "currentAverageValue"), ("resource", "currentAverageValue"), ("external", "currentValue"),
          ("containerResource", "currentAverageValue")}


def source_to_v1(metric: Obj) -> Obj:
    return _to_v1(metric, SOURCES)


def status_to_v1(metric: Obj) -> Obj:
    return _to_v1(metric, STATUSES)


def source_to_v2(metric: Obj) -> Obj:
    """Read a metric of v1, and tell from the amounts that it has what kind of target it is."""
    out = _to_v2(metric, SOURCES)
    for key in SOURCES.keys() & out.keys():
        target = out[key].setdefault("target", {})
        if "averageUtilization" in target:
            kind = "Utilization"
        elif "value" in target and ("averageValue" not in target or key == "external"):
            kind = "Value"
        else:
            kind = "AverageValue"
        out[key]["target"] = {"type": kind, **target}
    return out


def status_to_v2(metric: Obj) -> Obj:
    out = _to_v2(metric, STATUSES)
    for key in STATUSES.keys() & out.keys():
        out[key].setdefault("current", {})
    return out


def _to_v1(metric: Obj, tables: Mapping[str, Table]) -> Obj:
    out: Obj = {"type": metric.get("type", "")}
    for key, table in tables.items():
        if metric.get(key) is None:
            continue
        out[key] = {}
        for name, way in table:
            value = _at(metric[key], way)
            if value is None and (key, name) in ALWAYS:
                value = "0"
            if value is not None:
                out[key][name] = value
    return out


def _to_v2(metric: Obj, tables: Mapping[str, Table]) -> Obj:
    out: Obj = {"type": metric["type"]}
    for key, table in tables.items():
        given = metric.get(key)
        if given is None:
            continue
        out[key] = {}
        for name, way in table:
            if given.get(name) is None or ((key, name) in ALWAYS and given[name] == "0"):
                continue
            part = out[key]
            for step in way[:-1]:
                part = part.setdefault(step, {})
            part[way[-1]] = given[name]
    return out


def _at(value: Any, way: Way) -> Any:
    for key in way:
        value = (value or {}).get(key)
    return value
