"""Cluster roles that gather others."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.role_aggregation import gathered

LABEL = "rbac.authorization.k8s.io/aggregate-to-view"
GADGETS = {"apiGroups": ["example.com"], "resources": ["gadgets"], "verbs": ["get"]}


def role(name: str, *rules: Any, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}


def test_rules_come_by_selector_and_name_each_once() -> None:
    """The first selector's roles come first, in order of their names; the role itself is never among them."""
    one, two, three = ({"verbs": [verb], "nonResourceURLs": ["/x"]} for verb in ("get", "put", "post"))
    own = role("own", three, a="x") | {"aggregationRule": {"clusterRoleSelectors": [
        {"matchLabels": {"b": "x"}}, {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}
    everyone = [own, role("z", one, a="x"), role("y", two, one, a="x"), role("late", three, b="x"),
                role("other", three)]
    assert gathered(own, everyone) == [three, two, one]


async def test_a_role_with_the_label_of_view_is_seen_by_viewers(world: Any) -> None:
    """Its rules are in view, and through it in edit and admin, until it goes."""
    made = {"metadata": {"name": "gadgets", "labels": {LABEL: "true"}}, "rules": [GADGETS]}
    await world.client.create("clusterroles", made)

    async def seen() -> Any:
        roles = [await world.client.get("clusterroles", name) for name in ("view", "edit", "admin")]
        return roles if all(GADGETS in role["rules"] for role in roles) else None

    view, *_ = await world.until(seen)
    managers = {entry["manager"] for entry in view["metadata"]["managedFields"]}
    assert "clusterrole-aggregation-controller" in managers
    await world.client.delete("clusterroles", "gadgets")

    async def gone() -> Any:
        return GADGETS not in (await world.client.get("clusterroles", "admin"))["rules"]

    await world.until(gone)
