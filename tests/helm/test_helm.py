"""helm's whole life of a release, on both real runtimes, with the chart that `helm create` makes."""

from __future__ import annotations

import json

from tests.helm.conftest import Helm


def revisions(helm: Helm) -> list[tuple[int, str]]:
    found = json.loads(helm("history", "web", "-o", "json"))
    return [(entry["revision"], entry["status"]) for entry in found]


def replicas(helm: Helm) -> str:
    return helm.kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}/{.status.availableReplicas}")


def test_release(helm: Helm) -> None:
    """The default chart is installed and waited for, upgraded, rolled back, tested and removed."""
    helm.create("web")
    assert "STATUS: deployed" in helm("install", "web", "./web", "--wait", "--timeout", "60s")
    assert replicas(helm) == "1/1"
    assert "deployed" in helm("list")

    helm("upgrade", "web", "./web", "--set", "replicaCount=3", "--wait", "--timeout", "60s")
    assert replicas(helm) == "3/3"
    assert revisions(helm) == [(1, "superseded"), (2, "deployed")]

    helm("rollback", "web", "1", "--wait", "--timeout", "60s")
    assert replicas(helm) == "1/1"
    assert revisions(helm)[-1] == (3, "deployed")

    assert "Phase:          Succeeded" in helm("test", "web", "--timeout", "60s")
    assert "web-test-connection" in helm("test", "web", "--timeout", "60s", "--logs")

    assert 'release "web" uninstalled' in helm("uninstall", "web", "--wait", "--timeout", "60s")
    left = helm.kubectl("get", "deploy,svc,sa,secret", "-o", "name").split()
    assert sorted(left) == ["service/kubernetes", "serviceaccount/default"]


def test_mistakes(helm: Helm) -> None:
    """What the API server refuses reaches the user in its own words, and a dry run leaves nothing."""
    helm.create("bad")
    said = helm("install", "bad", "./bad", "--set-string", "replicaCount=many", ok=False)
    assert ".spec.replicas: expected numeric (int or float), got string" in said
    helm("install", "dry", "./bad", "--dry-run=server")
    assert helm.kubectl("get", "deploy", "-o", "name") == ""
