"""Autoscalers in two versions, and component statuses that are stored in none."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.units.autoscaling_versions import PREFIX, to_v1, to_v2

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
PODS = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "5"}}}


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
    for it in (scaler(metrics=[CPU]), scaler(metrics=[CPU, PODS], behavior={"scaleUp": {"selectPolicy": "Max"}})):
        assert to_v2(to_v1(it)) == it


@pytest.mark.parametrize("note", ["5", "[5]", "[{", '[{"type": 5}]', "null", '{"a": []}'])
def test_an_annotation_written_by_hand_is_dropped(note: str) -> None:
    """What is not the JSON of metrics is none."""
    it = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "spec": {"maxReplicas": 3},
          "metadata": {"name": "x", "annotations": {f"{PREFIX}metrics": note}}}
    assert to_v2(it)["spec"] == {"maxReplicas": 3}
