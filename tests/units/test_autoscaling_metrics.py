"""What an autoscaler may be told to measure, and how fast it may act."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.meta import copy_obj

M = "spec.metrics[0]"
SEGMENT = "may not contain '/'"


def scaler(**spec: Any) -> dict[str, Any]:
    out = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
           "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"},
                    **copy_obj(spec)}}
    units.find("hpa").default(out)
    return out


def metric(kind: str, key: str, **source: Any) -> dict[str, Any]:
    return {"metrics": [{"type": kind, key: source}]}


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({"metrics": [{}]}, [f"{M}.type: Required value: must specify a metric source type", *[
        f'{M}.type: Unsupported value: "": supported values: "ContainerResource", "External", "Object", "Pods", '
        '"Resource"'] * 2]),
    (metric("Resource", "pods", metric={"name": "a/b"}, target={"type": "AverageValue", "averageValue": "0"}), [
        f'{M}.pods.metric.name: Invalid value: "a/b": {SEGMENT}',
        f'{M}.pods.target.averageValue: Invalid value: "0": must be positive',
        f"{M}.resource: Required value: must populate information for the given metric source"]),
    ({"metrics": [{"type": "Pods", "pods": {"metric": {"name": "a"}, "target": {"type": "Value", "averageValue": "1"}},
                   "resource": {}}]}, [f"{M}.resource: Forbidden: must populate the given metric source only"]),
    (metric("Object", "object", metric={"name": "m"}, target={"type": ""},
            describedObject={"kind": "Service", "name": "s"}), [
        f"{M}.object.target.type: Required value: must specify a metric target type",
        f'{M}.object.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
        f"{M}.object.target.averageValue: Required value: must set either a target value or averageValue"]),
    (metric("External", "external", metric={"name": "m"},
            target={"type": "Value", "value": "1", "averageValue": "1"}), [
        f"{M}.external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"]),
    (metric("ContainerResource", "containerResource", name="cpu", container="C!", target={"type": "Utilization"}), [
        f'{M}.containerResource.container: Invalid value: "C!": a lowercase RFC 1123 label must consist of lower case '
        "alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
        "'123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        f"{M}.containerResource.target.averageUtilization: Required value: must set either a target raw value or a "
        "target utilization"]),
    ({"minReplicas": 0}, ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                          "spec.metrics: Forbidden: must specify at least one Object or External metric to support "
                          "scaling to zero replicas"]),
    ({"scaleTargetRef": {"apiVersion": "v2", "kind": "ReplicationController", "name": "w"}}, []),
    ({"behavior": {"scaleUp": {"selectPolicy": "X", "policies": [], "tolerance": "-1"}}}, [
        'spec.behavior.scaleUp.selectPolicy: Unsupported value: "X": supported values: "Disabled", "Max", "Min"',
        "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
        'spec.behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0']),
]


@pytest.mark.parametrize(("spec", "told"), CASES, ids=range(len(CASES)))
def test_a_bad_autoscaler_is_refused(spec: dict[str, Any], told: list[str]) -> None:
    """Every error at once, in the order of Kubernetes."""
    assert [str(e) for e in units.find("hpa").validate(scaler(**spec))] == told


def test_what_was_odd_before_may_stay() -> None:
    """An autoscaler to zero, or to a target whose version says no group, is not refused for that again."""
    odd = scaler(minReplicas=0, scaleTargetRef={"kind": "Deployment", "name": "w"}, metrics=[
        {"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}])
    kind, new = units.find("hpa"), copy_obj(odd)
    new["spec"]["maxReplicas"] = 5
    assert list(kind.validate_update(new, odd)) == []
    assert [e.field for e in kind.validate(odd)] == ["spec.minReplicas", "spec.scaleTargetRef.apiVersion"]
