"""Rights: what a rule allows, and what of it another rule holds."""

from __future__ import annotations

import pytest

from kubelab.machinery.request import Obj
from kubelab.units.rbac_rules import allows_path, compact, covers, single

PODS: Obj = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
HEALTH: Obj = {"nonResourceURLs": ["/healthz/etcd"], "verbs": ["get"]}


@pytest.mark.parametrize(("held", "right", "is_held"), [
    (PODS, PODS, True),
    (PODS, PODS | {"resourceNames": ["a"]}, True),
    (PODS | {"resourceNames": ["a"]}, PODS, False),
    (PODS | {"resources": ["*/scale"]}, PODS | {"resources": ["deployments/scale"]}, True),
    (PODS | {"verbs": ["*"]}, PODS | {"apiGroups": ["apps"]}, False),
    (HEALTH | {"nonResourceURLs": ["/healthz/*"]}, HEALTH, True),
])
def test_a_right_is_held_by_a_rule(held: Obj, right: Obj, is_held: bool) -> None:
    """By every part of it; a rule with names holds for these names alone."""
    assert covers(held, right) is is_held


def test_rules_come_apart_and_together() -> None:
    """Each verb on each thing is one right; verbs on the same thing are told together."""
    rights = list(single([PODS | {"verbs": ["get", "list"], "resourceNames": ["a"]}]))
    assert [right["verbs"] for right in rights] == [["get"], ["list"]]
    assert compact(rights) == [PODS | {"verbs": ["get", "list"], "resourceNames": ["a"]}]


def test_a_star_ends_a_path() -> None:
    """It means all below, and alone everything."""
    rule = {"nonResourceURLs": ["/openapi/*", "/version"], "verbs": ["get"]}
    assert allows_path(rule, "get", "/openapi/v3") and allows_path(rule, "get", "/version")
    assert not allows_path(rule, "get", "/versions") and not allows_path(rule, "post", "/version")
