"""The policy of a new cluster, held against the one a real Kubernetes 1.36 was found with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubelab.machinery.request import Obj
from kubelab.units.bootstrap_policy import policy_objects

RECORDED = Path(__file__).parents[3] / "shared" / "parity" / "bootstrap.json"


def _key(obj: Obj, kind: str) -> tuple[str, str, str]:
    return kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def test_it_is_the_real_one() -> None:
    """Every role, rule, label, binding and subject is as recorded, and none is missing."""
    if not RECORDED.exists():
        pytest.skip(f"the recordings of a real Kubernetes are not here ({RECORDED})")
    real: dict[tuple[str, str, str], Obj] = {}
    for case in json.loads(RECORDED.read_text()):
        for step in case["steps"]:
            if "/rbac.authorization.k8s.io/" in step.get("request", {}).get("path", ""):
                body = step["response"]["body"]
                real |= {_key(item, body["kind"].removesuffix("List")): item for item in body["items"]}
    ours = {_key(obj, obj["kind"]): obj for obj in policy_objects(addons=False)}
    assert ours.keys() == real.keys()
    for key, obj in ours.items():
        for field in ("rules", "aggregationRule", "roleRef", "subjects"):
            assert (obj.get(field) or None) == (real[key].get(field) or None), (key, field)
        for field in ("labels", "annotations"):
            assert obj["metadata"].get(field) == real[key]["metadata"].get(field), (key, field)


def test_aggregation_is_resolved() -> None:
    """admin takes in edit, edit takes in view: what view may, admin may."""
    rules = {obj["metadata"]["name"]: obj["rules"] for obj in policy_objects() if obj["kind"] == "ClusterRole"}
    assert all(rule in rules["edit"] for rule in rules["view"])
    assert all(rule in rules["admin"] for rule in rules["edit"])
    assert "system:coredns" in rules
