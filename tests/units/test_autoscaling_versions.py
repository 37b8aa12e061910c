"""Autoscalers in two versions, and component statuses that are stored in none."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.units.autoscaling_versions import PREFIX, to_v1, to_v2

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
PODS = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "5"}}}
OTHERS = [
    PODS, {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue",
                                                                         "averageValue": "1Gi"}}},
    {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                                  "metric": {"name": "m"}, "target": {"type": "Value", "value": "3"}}},
    {"type": "External", "external": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
                                      "target": {"type": "AverageValue", "averageValue": "3"}}},
    {"type": "ContainerResource", "containerResource": {"name": "cpu", "target": {
        "type": "Utilization", "averageUtilization": 60}, "container": "c"}}]
BEHAVIOR = {"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max",
                          "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}]}}
MEASURED = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40,
                                                                         "averageValue": "120m"}}}]


def scaler(**spec: Any) -> dict[str, Any]:
    return {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": {"name": "x"},
            "spec": {"maxReplicas": 3, **spec}, "status": {"desiredReplicas": 0}}


def test_v1_knows_of_cpu_alone() -> None:
    """One CPU percentage has a field; all else travels in annotations."""
    shown = to_v1(scaler(metrics=[CPU, PODS], behavior={"scaleUp": {}}))
    assert shown["apiVersion"] == "autoscaling/v1"
    assert (shown["spec"], set(shown["metadata"]["annotations"])) == (
        {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}, {f"{PREFIX}metrics", f"{PREFIX}behavior"})


def test_there_and_back_loses_nothing() -> None:
    """What a v1 client reads and writes again is what was there."""
    for it in (scaler(metrics=[CPU]), scaler(metrics=[*OTHERS, CPU], behavior=BEHAVIOR),
               {**scaler(metrics=[CPU]), "status": {"desiredReplicas": 1, "currentMetrics": MEASURED}}):
        assert to_v2(to_v1(it)) == it


def test_the_annotations_speak_the_language_of_v1() -> None:
    """Its metrics have flat fields, and the behavior those of Go."""
    notes = to_v1({**scaler(metrics=[CPU, PODS], behavior=BEHAVIOR),
                   "status": {"currentMetrics": MEASURED}})["metadata"]["annotations"]
    assert notes == {
        f"{PREFIX}metrics": '[{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"5"}}]',
        f"{PREFIX}behavior": '{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":60,"SelectPolicy":"Max",'
                             '"Policies":[{"Type":"Pods","Value":2,"PeriodSeconds":15}],"Tolerance":null}}',
        f"{PREFIX}current-metrics": '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":40,'
                                    '"currentAverageValue":"120m"}}]'}


@pytest.mark.parametrize("note", ["5", "[5]", "[{", '[{"type": 5}]', "null", '{"a": []}'])
def test_an_annotation_written_by_hand_is_dropped(note: str) -> None:
    """What is not the JSON of metrics is none."""
    it = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "spec": {"maxReplicas": 3},
          "metadata": {"name": "x", "annotations": {f"{PREFIX}metrics": note}}}
    assert to_v2(it)["spec"] == {"maxReplicas": 3}
