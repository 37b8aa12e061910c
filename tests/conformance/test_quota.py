"""Namespaces and what they may hold."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import STRATEGIC, Api, Obj
from tests.conformance.objects import DEPLOYMENT, POD, config_map


def test_a_namespace_and_its_status(api: Api, ns: str) -> None:
    """Status and labels are patched and updated; a finalizer comes and goes through /finalize."""
    path = f"/api/v1/namespaces/{ns}"
    assert api.get(f"{path}/status")["status"]["phase"] == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by a test"}
    assert (
        api.patch(f"{path}/status", {"metadata": {"annotations": {"x": "y"}}, "status": {"conditions": [condition]}})[
            "status"
        ]["conditions"][0]["reason"]
        == "E2E"
    )
    read = api.get(path).body
    read["status"]["conditions"].append({**condition, "type": "StatusUpdate"})
    assert len(api.put(f"{path}/status", read)["status"]["conditions"]) == 2
    assert (
        api.patch(path, {"metadata": {"labels": {"test": "patched"}}}, STRATEGIC)["metadata"]["labels"]["test"]
        == "patched"
    )
    read = api.get(path).body
    read["spec"]["finalizers"].append("e2e.example.com/fakeFinalizer")
    assert "e2e.example.com/fakeFinalizer" in api.put(f"{path}/finalize", read)["spec"]["finalizers"]
    read = api.get(path).body
    read["spec"]["finalizers"] = ["kubernetes"]
    assert api.put(f"{path}/finalize", read)["spec"]["finalizers"] == ["kubernetes"]


def test_pods_leave_a_namespace_before_the_rest(api: Api, ns: str) -> None:
    """While a pod with a finalizer is held, other objects stay and a condition says why; then all is gone."""
    pods, maps = f"/api/v1/namespaces/{ns}/pods", f"/api/v1/namespaces/{ns}/configmaps"
    api.made(pods, {"metadata": {"name": "p", "finalizers": ["e2e.example.com/finalizer"]}, "spec": POD})
    api.made(maps, config_map("kept"))
    assert api.delete(f"/api/v1/namespaces/{ns}").status == 200
    held = api.until(
        f"/api/v1/namespaces/{ns}",
        lambda o: any(
            c["type"] == "NamespaceDeletionContentFailure" or c["type"] == "NamespaceContentRemaining"
            for c in o["status"].get("conditions") or ()
        ),
    )
    assert held["status"]["phase"] == "Terminating"
    api.until(f"{pods}/p", lambda o: o["metadata"].get("deletionTimestamp"))
    assert api.get(f"{maps}/kept").status == 200
    refused = api.post(maps, config_map("late"))
    assert refused.status == 403 and "because it is being terminated" in refused.message
    api.patch(f"{pods}/p", {"metadata": {"finalizers": None}})
    api.gone(f"/api/v1/namespaces/{ns}")


COUNTED: list[tuple[str, str, Obj, str]] = [
    ("configmaps", "/api/v1", config_map("c"), "configmaps"),
    ("secrets", "/api/v1", {"metadata": {"name": "c"}}, "secrets"),
    (
        "services",
        "/api/v1",
        {"metadata": {"name": "c"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}},
        "services.nodeports",
    ),
    (
        "replicasets",
        "/apis/apps/v1",
        {"metadata": {"name": "c"}, "spec": {**DEPLOYMENT["spec"]}},
        "count/replicasets.apps",
    ),
    (
        "replicationcontrollers",
        "/api/v1",
        {
            "metadata": {"name": "c"},
            "spec": {"replicas": 0, "selector": {"a": "b"}, "template": DEPLOYMENT["spec"]["template"]},
        },
        "replicationcontrollers",
    ),
    (
        "persistentvolumeclaims",
        "/api/v1",
        {
            "metadata": {"name": "c"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "gold",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
        "gold.storageclass.storage.k8s.io/requests.storage",
    ),
    ("resourcequotas", "/api/v1", {"metadata": {"name": "c"}}, "resourcequotas"),
    (
        "jobs",
        "/apis/batch/v1",
        {"metadata": {"name": "c"}, "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", **POD}}}},
        "count/jobs.batch",
    ),
]


@pytest.mark.parametrize(("plural", "root", "body", "counted"), COUNTED, ids=lambda x: x if isinstance(x, str) else "")
def test_a_quota_counts_objects(api: Api, ns: str, plural: str, root: str, body: Obj, counted: str) -> None:
    """What is made is counted, one too many is refused, what is deleted is given back."""
    quotas = f"/api/v1/namespaces/{ns}/resourcequotas"
    api.made(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {counted: "5Gi" if "storage" in counted else "5"}}})
    first = api.until(f"{quotas}/q", lambda o: counted in (o.get("status") or {}).get("used", {}))["status"]["used"][
        counted
    ]
    path = f"{root}/namespaces/{ns}/{plural}"
    api.made(path, body)
    api.until(f"{quotas}/q", lambda o: o["status"]["used"][counted] != first)
    api.delete(f"{path}/c", {"propagationPolicy": "Background"})
    api.until(f"{quotas}/q", lambda o: o["status"]["used"][counted] == first)


def test_a_quota_of_pods(api: Api, ns: str) -> None:
    """Requests are summed, too much is refused in Kubernetes' words, and so is changing them afterwards."""
    quotas, pods = f"/api/v1/namespaces/{ns}/resourcequotas", f"/api/v1/namespaces/{ns}/pods"
    hard = {"pods": "5", "cpu": "1", "memory": "500Mi", "ephemeral-storage": "50Gi", "requests.example.com/dongle": "3"}
    api.made(quotas, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    api.until(f"{quotas}/q", lambda o: (o.get("status") or {}).get("used", {}).get("cpu") == "0")

    def pod(name: str, cpu: str, dongles: str) -> Obj:
        amounts = {"cpu": cpu, "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": dongles}
        return {
            "metadata": {"name": name},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "nginx",
                        "resources": {"requests": amounts, "limits": {"example.com/dongle": dongles}},
                    }
                ]
            },
        }

    api.made(pods, pod("p", "500m", "2"))
    used = api.until(f"{quotas}/q", lambda o: o["status"]["used"]["pods"] == "1")["status"]["used"]
    assert used == {
        "pods": "1",
        "cpu": "500m",
        "memory": "252Mi",
        "ephemeral-storage": "30Gi",
        "requests.example.com/dongle": "2",
    }
    refused = api.post(pods, pod("q", "600m", "1"))
    assert refused.status == 403 and (
        'pods "q" is forbidden: exceeded quota: q, requested: cpu=600m,' in refused.message
    ), refused.message
    assert api.post(pods, pod("r", "100m", "2")).status == 403
    changed = api.patch(
        f"{pods}/p", {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}}, STRATEGIC
    )
    assert changed.status == 422, changed
    api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})
    api.until(f"{quotas}/q", lambda o: o["status"]["used"]["pods"] == "0" and o["status"]["used"]["cpu"] == "0")


@pytest.mark.parametrize(
    ("scope", "other", "fields", "unlike"),
    [
        ("BestEffort", "NotBestEffort", {}, {"resources": {"requests": {"cpu": "100m"}}}),
        ("Terminating", "NotTerminating", {"activeDeadlineSeconds": 3600}, {}),
    ],
)
def test_a_quota_of_a_scope(api: Api, ns: str, scope: str, other: str, fields: Obj, unlike: Obj) -> None:
    """A pod is counted by the quota of its scope, and by it alone."""
    quotas, pods = f"/api/v1/namespaces/{ns}/resourcequotas", f"/api/v1/namespaces/{ns}/pods"
    for name in (scope, other):
        api.made(quotas, {"metadata": {"name": name.lower()}, "spec": {"hard": {"pods": "5"}, "scopes": [name]}})
        api.until(f"{quotas}/{name.lower()}", lambda o: (o.get("status") or {}).get("used"))
    for counts, not_counts, spec, part in ((scope, other, fields, {}), (other, scope, {}, unlike)):
        api.made(pods, {"metadata": {"name": "p"}, "spec": {**spec, "containers": [{**POD["containers"][0], **part}]}})
        api.until(f"{quotas}/{counts.lower()}", lambda o: o["status"]["used"]["pods"] == "1")
        assert api.get(f"{quotas}/{not_counts.lower()}")["status"]["used"]["pods"] == "0"
        api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})
        api.until(f"{quotas}/{counts.lower()}", lambda o: o["status"]["used"]["pods"] == "0")


def test_the_status_of_a_quota(api: Api, ns: str) -> None:
    """The hard limits of the status follow the spec; writing the status leaves the spec alone."""
    path = f"/api/v1/namespaces/{ns}/resourcequotas"
    api.made(path, {"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "500m", "memory": "500Mi"}}})
    api.until(f"{path}/q", lambda o: (o.get("status") or {}).get("hard") == {"cpu": "500m", "memory": "500Mi"})
    assert api.patch(f"{path}/q", {"spec": {"hard": {"cpu": "1", "memory": "1Gi"}}})["spec"]["hard"]["cpu"] == "1"
    api.until(f"{path}/q", lambda o: o["status"]["hard"] == {"cpu": "1", "memory": "1Gi"})
    assert (
        api.patch(f"{path}/q/status", {"status": {"hard": {"cpu": "2", "memory": "2Gi"}}})["spec"]["hard"]["cpu"] == "1"
    )
    api.until(f"{path}/q/status", lambda o: o["status"]["hard"] == {"cpu": "1", "memory": "1Gi"})
