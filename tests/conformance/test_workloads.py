"""Deployments, replica sets, stateful and daemon sets on nodes that only report status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import MERGE, STRATEGIC, Api, Obj

CONDITION = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test"}
KINDS = {
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "replicationcontrollers": "ReplicationController",
}


def root(plural: str, ns: str) -> str:
    return f"/{'api/v1' if plural in ('pods', 'replicationcontrollers') else 'apis/apps/v1'}/namespaces/{ns}/{plural}"


def workload(plural: str, replicas: int = 1, image: str = "httpd:1", **spec: Any) -> Obj:
    labels = {"app": "w"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": image}]},
    }
    selector: Obj = labels if plural == "replicationcontrollers" else {"matchLabels": labels}
    body: Obj = {
        "metadata": {"name": "w", "labels": labels},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }
    if plural == "daemonsets":
        del body["spec"]["replicas"]
    if plural == "statefulsets":
        body["spec"]["serviceName"] = "w"
    return body


def pods(api: Api, ns: str) -> list[Obj]:
    return [
        p
        for p in api.get(f"{root('pods', ns)}?labelSelector=app=w")["items"]
        if "deletionTimestamp" not in p["metadata"]
    ]


def ready(api: Api, ns: str, plural: str, count: int) -> Obj:
    key = "numberAvailable" if plural == "daemonsets" else "readyReplicas"
    return dict(
        api.until(
            f"{root(plural, ns)}/w",
            lambda o: (
                (o.get("status") or {}).get(key, 0) == count
                and o["status"].get("observedGeneration", 1) == o["metadata"].get("generation", 1)
            ),
        )
    )


def image_patch(image: str, **spec: Any) -> Obj:
    return {"spec": {**spec, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}


@pytest.mark.parametrize("plural", KINDS)
def test_a_status_is_read_updated_and_patched(api: Api, ns: str, plural: str) -> None:
    """What is written through /status is seen by later reads; a watch tells of it."""
    api.made(root(plural, ns), workload(plural))
    since = ready(api, ns, plural, 2 if plural == "daemonsets" else 1)["metadata"]["resourceVersion"]
    path = f"{root(plural, ns)}/w/status"
    while True:
        read = api.get(path).body
        assert read["kind"] == KINDS[plural]
        read["status"]["conditions"] = [*(read["status"].get("conditions") or []), CONDITION]
        answer = api.put(path, read)
        if answer.status != 409:
            break
    assert "StatusUpdate" in [c["type"] for c in answer["status"]["conditions"]]
    patched = api.patch(
        path,
        {"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [{**CONDITION, "type": "StatusPatched"}]}},
        MERGE,
    )
    assert [c["type"] for c in patched["status"]["conditions"]] == ["StatusPatched"]
    api.events(
        f"{root(plural, ns)}?resourceVersion={since}",
        lambda t, o: "StatusUpdate" in [c["type"] for c in o["status"].get("conditions") or ()],
    )


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets", "replicationcontrollers"])
def test_scale_is_read_updated_and_patched(api: Api, ns: str, plural: str) -> None:
    """The scale subresource speaks autoscaling/v1 and moves the replicas."""
    api.made(root(plural, ns), workload(plural))
    ready(api, ns, plural, 1)
    path = f"{root(plural, ns)}/w/scale"
    scale = api.get(path).body
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert scale["status"]["selector"] == "app=w" and scale["status"]["replicas"] == 1
    scale["spec"]["replicas"] = 2
    scale["metadata"].pop("resourceVersion")
    assert api.put(path, scale)["spec"]["replicas"] == 2
    ready(api, ns, plural, 2)
    assert (
        api.patch(path, {"spec": {"replicas": 3}}, STRATEGIC if plural != "replicasets" else MERGE)["spec"]["replicas"]
        == 3
    )
    ready(api, ns, plural, 3)


@pytest.mark.parametrize("plural", ["replicasets", "replicationcontrollers"])
def test_a_set_adopts_and_releases(api: Api, ns: str, plural: str) -> None:
    """A pod that matches is adopted; one whose label changes is let go, and another takes its place."""
    api.made(
        root("pods", ns),
        {
            "metadata": {"name": "orphan", "labels": {"app": "w"}},
            "spec": {"containers": [{"name": "c", "image": "httpd:1"}]},
        },
    )
    api.made(root(plural, ns), workload(plural))
    api.until(
        f"{root('pods', ns)}/orphan",
        lambda o: [r["kind"] for r in o["metadata"].get("ownerReferences") or ()] == [KINDS[plural]],
    )
    api.patch(f"{root('pods', ns)}/orphan", {"metadata": {"labels": {"app": "not"}}}, STRATEGIC)
    api.until(f"{root('pods', ns)}/orphan", lambda o: "ownerReferences" not in o["metadata"])
    ready(api, ns, plural, 1)
    assert [p["metadata"]["name"] for p in pods(api, ns)] != ["orphan"]


@pytest.mark.parametrize("plural", ["replicasets", "replicationcontrollers"])
def test_a_set_that_a_quota_holds_back_says_so(api: Api, ns: str, plural: str) -> None:
    """ReplicaFailure tells of the refusal, and goes when the set asks for less."""
    quotas = f"/api/v1/namespaces/{ns}/resourcequotas"
    api.made(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}})
    api.until(f"{quotas}/q", lambda o: (o.get("status") or {}).get("used"))
    api.made(root(plural, ns), workload(plural, 3))
    held = api.until(f"{root(plural, ns)}/w", lambda o: (o.get("status") or {}).get("conditions"))
    [condition] = held["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("ReplicaFailure", "True", "FailedCreate")
    assert "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2" in condition["message"]
    api.patch(f"{root(plural, ns)}/w", {"spec": {"replicas": 2}})
    api.until(f"{root(plural, ns)}/w", lambda o: not o["status"].get("conditions"))


def test_the_life_of_a_deployment(api: Api, ns: str) -> None:
    """Recreate, rolling update, history, roll-over and proportional scaling end with the pods that were asked for."""
    path = root("deployments", ns)
    api.made(path, workload("deployments", 3, revisionHistoryLimit=1, minReadySeconds=0))
    ready(api, ns, "deployments", 3)
    for image in ("httpd:2", "httpd:3", "httpd:4"):
        api.patch(f"{path}/w", image_patch(image, replicas=2), STRATEGIC)
    done = api.until(
        f"{path}/w",
        lambda o: (
            o["status"].get("observedGeneration") == o["metadata"]["generation"]
            and (o["status"].get("updatedReplicas"), o["status"].get("replicas"), o["status"].get("availableReplicas"))
            == (2, 2, 2)
        ),
    )
    conditions = {c["type"]: (c["status"], c["reason"]) for c in done["status"]["conditions"]}
    assert conditions == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    sets = api.until(root("replicasets", ns), lambda o: len(o["items"]) == 2)["items"]  # the new one and one of history
    assert sorted(s["spec"]["replicas"] for s in sets) == [0, 2]
    api.until(
        f"{root('pods', ns)}?labelSelector=app=w",
        lambda o: {p["spec"]["containers"][0]["image"] for p in o["items"]} == {"httpd:4"},
    )
    api.patch(f"{path}/w", {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, STRATEGIC)
    api.patch(f"{path}/w", image_patch("httpd:5"), STRATEGIC)
    api.until(
        f"{path}/w",
        lambda o: (
            o["status"].get("observedGeneration") == o["metadata"]["generation"]
            and o["status"].get("updatedReplicas") == 2
            and o["status"].get("availableReplicas") == 2
        ),
    )
    assert api.delete(f"{path}?labelSelector=app=w").status == 200
    api.gone(f"{path}/w")


def test_a_stuck_roll_out_is_scaled_in_proportion(api: Api, ns: str) -> None:
    """Ten pods, three more by surge, the new ones never ready: thirty are shared out by the sizes of the sets."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    path = root("deployments", ns)
    api.made(path, workload("deployments", 10, strategy=rolling))
    ready(api, ns, "deployments", 10)
    stuck = image_patch("httpd:2")
    stuck["spec"]["template"]["spec"]["nodeSelector"] = {"no": "where"}
    api.patch(f"{path}/w", stuck, STRATEGIC)
    api.until(root("replicasets", ns), lambda o: sorted(s["spec"]["replicas"] for s in o["items"]) == [5, 8])
    api.until(f"{path}/w", lambda o: o["status"].get("availableReplicas") == 8 and o["status"]["replicas"] == 13)
    api.patch(f"{path}/w", {"spec": {"replicas": 30}})
    api.until(root("replicasets", ns), lambda o: sorted(s["spec"]["replicas"] for s in o["items"]) == [13, 20])


def test_a_stateful_set_updates_by_partition(api: Api, ns: str) -> None:
    """Only ordinals from the partition on are renewed, highest first; a deleted one comes back as it was."""
    path = root("statefulsets", ns)
    api.made(
        path, workload("statefulsets", 3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 3}})
    )
    first = ready(api, ns, "statefulsets", 3)["status"]["currentRevision"]
    api.patch(f"{path}/w", image_patch("httpd:2"), STRATEGIC)
    new = api.until(f"{path}/w", lambda o: o["status"]["updateRevision"] != first)["status"]["updateRevision"]

    def images() -> list[str]:
        return [p["spec"]["containers"][0]["image"] for p in sorted(pods(api, ns), key=lambda p: p["metadata"]["name"])]

    assert images() == ["httpd:1"] * 3
    for partition, expected in ((2, ["httpd:1", "httpd:1", "httpd:2"]), (0, ["httpd:2"] * 3)):
        api.patch(f"{path}/w", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}}, STRATEGIC)
        api.until(f"{root('pods', ns)}?labelSelector=app=w", lambda o, e=expected: images() == e)
        ready(api, ns, "statefulsets", 3)
        api.delete(f"{root('pods', ns)}/w-0", {"gracePeriodSeconds": 0})
        ready(api, ns, "statefulsets", 3)
        api.until(f"{root('pods', ns)}?labelSelector=app=w", lambda o, e=expected: images() == e)
    api.until(f"{path}/w", lambda o: o["status"]["currentRevision"] == new)


def test_a_stateful_set_replaces_a_failed_pod(api: Api, ns: str) -> None:
    """A pod whose port another one holds fails at its node, and comes again until the port is free."""
    held = {
        "containers": [{"name": "c", "image": "httpd:1", "ports": [{"containerPort": 21017, "hostPort": 21017}]}],
        "nodeName": "node-1",
        "terminationGracePeriodSeconds": 0,
    }
    api.made(root("pods", ns), {"metadata": {"name": "holder"}, "spec": held})
    api.until(f"{root('pods', ns)}/holder", lambda o: (o.get("status") or {}).get("phase") == "Running")
    body = workload("statefulsets")
    body["spec"]["template"]["spec"] = held
    api.made(root("statefulsets", ns), body)
    first = api.until(f"{root('pods', ns)}/w-0", bool)["metadata"]["uid"]
    api.until(f"{root('pods', ns)}/w-0", lambda o: o and o["metadata"]["uid"] != first)
    api.delete(f"{root('pods', ns)}/holder", {"gracePeriodSeconds": 0})
    api.until(f"{root('pods', ns)}/w-0", lambda o: o and (o.get("status") or {}).get("phase") == "Running")


def test_the_life_of_a_daemon_set(api: Api, ns: str) -> None:
    """One pod a node; failed ones are replaced; roll-out and roll-back leave one pod a node; revisions tell it."""
    path, revisions = root("daemonsets", ns), f"{root('controllerrevisions', ns)}?labelSelector=app=w"
    api.made(path, workload("daemonsets"))
    ready(api, ns, "daemonsets", 2)
    victim = pods(api, ns)[0]
    victim["status"]["phase"] = "Failed"
    while (answer := api.put(f"{root('pods', ns)}/{victim['metadata']['name']}/status", victim)).status == 409:
        victim = api.get(f"{root('pods', ns)}/{victim['metadata']['name']}").body
        victim["status"]["phase"] = "Failed"
    assert answer.status == 200
    api.gone(f"{root('pods', ns)}/{victim['metadata']['name']}")
    ready(api, ns, "daemonsets", 2)
    first = api.until(revisions, lambda o: len(o["items"]) == 1)["items"][0]
    assert [o["kind"] for o in first["metadata"]["ownerReferences"]] == ["DaemonSet"]
    api.patch(f"{path}/w", image_patch("httpd:2"), STRATEGIC)
    api.until(revisions, lambda o: sorted(r["revision"] for r in o["items"]) == [1, 2])
    api.until(
        f"{path}/w",
        lambda o: (
            o["status"].get("updatedNumberScheduled") == 2
            and o["status"].get("numberAvailable") == 2
            and o["status"]["observedGeneration"] == o["metadata"]["generation"]
        ),
    )
    api.patch(f"{path}/w", image_patch("httpd:1"), STRATEGIC)
    api.until(revisions, lambda o: sorted(r["revision"] for r in o["items"]) == [2, 3])
    assert api.delete(f"{path}?labelSelector=app=w").status == 200
    api.until(f"{root('pods', ns)}?labelSelector=app=w", lambda o: o["items"] == [])


def test_a_daemon_set_follows_labels_of_nodes(api: Api, ns: str) -> None:
    """It runs where its node selector matches, and leaves when that ends."""
    body = workload("daemonsets")
    body["spec"]["template"]["spec"]["nodeSelector"] = {"colour": ns}
    api.made(root("daemonsets", ns), body)
    api.until(f"{root('daemonsets', ns)}/w", lambda o: (o.get("status") or {}).get("observedGeneration") == 1)
    assert pods(api, ns) == []
    api.patch("/api/v1/nodes/node-1", {"metadata": {"labels": {"colour": ns}}}, STRATEGIC)
    ready(api, ns, "daemonsets", 1)
    assert [p["spec"]["nodeName"] for p in pods(api, ns)] == ["node-1"]
    api.patch("/api/v1/nodes/node-1", {"metadata": {"labels": {"colour": None}}}, MERGE)
    api.until(f"{root('pods', ns)}?labelSelector=app=w", lambda o: o["items"] == [])
