"""Status of validating admission policies."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.control_plane.controllers.policy_status import POLICIES

pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")


def policy(expression: str) -> dict[str, Any]:
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "p"}, "spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
                                                        "operations": ["*"], "resources": ["deployments"]}]},
                "validations": [{"expression": expression}]}}


async def test_a_policy_is_told_what_its_kinds_do_not_have(world: Any) -> None:
    """Warnings come with the generation that they are of, and go when the expression is right."""
    made = await world.client.create(POLICIES, policy("object.replicas > 1"))

    async def looked_at() -> Any:
        found = await world.client.get(POLICIES, "p")
        return found if found["status"].get("observedGeneration") == found["metadata"]["generation"] else None

    status = (await world.until(looked_at))["status"]
    assert status["observedGeneration"] == made["metadata"]["generation"] == 1
    assert status["typeChecking"] == {"expressionWarnings": [{
        "fieldRef": "spec.validations[0].expression",
        "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n"
                   " | ......^\n"}]}
    now = await world.client.get(POLICIES, "p")
    await world.client.update(POLICIES, {**now, "spec": policy("object.spec.replicas > 1")["spec"]})
    assert (await world.until(looked_at))["status"].get("typeChecking", {}) == {}
