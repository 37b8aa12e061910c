"""Pods and nodes: what a kubelet that only reports status, the scheduler and the API server do with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.conftest import JSON_PATCH, MERGE, STRATEGIC, Api, Obj

NODES = "/api/v1/nodes"


def pods(ns: str) -> str:
    return f"/api/v1/namespaces/{ns}/pods"


def pod(name: str = "p", resources: Obj | None = None, **spec: Any) -> Obj:
    container: Obj = {"name": "c", "image": "nginx:1"} | ({"resources": resources} if resources else {})
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def running(api: Api, ns: str, name: str = "p") -> Obj:
    return dict(api.until(f"{pods(ns)}/{name}", lambda o: (o.get("status") or {}).get("phase") == "Running"))


def test_the_life_of_a_pod(api: Api, ns: str) -> None:
    """It runs at an address of a host, is patched and updated, its status too, and ends in a watch's DELETED."""
    api.made(pods(ns), pod())
    shown = running(api, ns)
    assert shown["status"]["hostIP"] and shown["status"]["podIP"] == shown["status"]["podIPs"][0]["ip"]
    since = shown["metadata"]["resourceVersion"]
    patched = api.patch(
        f"{pods(ns)}/p",
        {"metadata": {"labels": {"test-pod": "patched"}}, "spec": {"containers": [{"name": "c", "image": "nginx:2"}]}},
        STRATEGIC,
    )
    assert patched["spec"]["containers"][0]["image"] == "nginx:2"
    while True:
        read = api.get(f"{pods(ns)}/p/status").body
        for condition in read["status"]["conditions"]:
            if condition["type"] == "Ready":
                condition["status"] = "False"
        if api.put(f"{pods(ns)}/p/status", read).status == 200:
            break
    assert api.delete(f"{pods(ns)}?labelSelector=test-pod=patched").status == 200
    told = api.events(f"{pods(ns)}?labelSelector=app=p&resourceVersion={since}", lambda t, _: t == "DELETED")
    assert "patched" in told[-1][1]["metadata"]["labels"].values()


def test_the_generation_of_a_pod(api: Api, ns: str) -> None:
    """One at first; changes of the spec and a graceful end raise it, labels do not; the kubelet tells what it saw."""
    body = pod()
    body["metadata"]["generation"] = 9
    body["spec"]["terminationGracePeriodSeconds"] = 30
    body["metadata"]["finalizers"] = ["example.com/held"]
    assert api.made(pods(ns), body)["metadata"]["generation"] == 1
    api.until(
        f"{pods(ns)}/p", lambda o: o["status"].get("observedGeneration") == 1 and o["status"]["phase"] == "Running"
    )
    tolerations = [*api.get(f"{pods(ns)}/p")["spec"]["tolerations"], {"key": "a", "operator": "Exists"}]
    for n, change in enumerate(
        (
            {"tolerations": tolerations},
            {"activeDeadlineSeconds": 900},
            {"containers": [{"name": "c", "image": "nginx:2"}]},
        )
    ):
        assert api.patch(f"{pods(ns)}/p", {"spec": change}, STRATEGIC)["metadata"]["generation"] == n + 2
    assert (
        api.patch(f"{pods(ns)}/p", {"metadata": {"labels": {"x": "y"}, "generation": 50}})["metadata"]["generation"]
        == 4
    )
    api.until(f"{pods(ns)}/p", lambda o: o["status"].get("observedGeneration") == 4)
    api.patch(
        f"{pods(ns)}/p/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [{"name": "e", "image": "busybox"}]}},
        STRATEGIC,
    )
    assert api.get(f"{pods(ns)}/p")["metadata"]["generation"] == 5
    api.delete(f"{pods(ns)}/p")
    api.until(f"{pods(ns)}/p", lambda o: o["metadata"]["generation"] == 6)
    api.patch(f"{pods(ns)}/p", {"metadata": {"finalizers": None}})
    api.gone(f"{pods(ns)}/p")


def test_many_changes_of_one_pod(api: Api, ns: str) -> None:
    """Each counts, and the kubelet arrives at the last."""
    api.made(pods(ns), pod())
    for n in range(99):
        api.patch(f"{pods(ns)}/p", {"spec": {"containers": [{"name": "c", "image": f"nginx:{n}"}]}}, STRATEGIC)
    api.until(f"{pods(ns)}/p", lambda o: o["metadata"]["generation"] == 100 == o["status"].get("observedGeneration"))


def test_ephemeral_containers(api: Api, ns: str) -> None:
    """They are added through their subresource, run, and cannot be taken away."""
    api.made(pods(ns), pod())
    running(api, ns)
    path = f"{pods(ns)}/p/ephemeralcontainers"
    one = {"name": "one", "image": "busybox", "command": ["sleep", "100"]}
    assert api.patch(path, {"spec": {"ephemeralContainers": [one]}}, STRATEGIC).status == 200

    def all_run(wanted: int) -> None:
        api.until(
            f"{pods(ns)}/p",
            lambda o: [("running" in c["state"]) for c in o["status"].get("ephemeralContainerStatuses") or ()]
            == [True] * wanted,
        )

    all_run(1)
    read = api.get(path).body
    read["spec"]["ephemeralContainers"].append({**one, "name": "two"})
    assert len(api.put(path, read)["spec"]["ephemeralContainers"]) == 2
    all_run(2)
    read = api.get(path).body
    del read["metadata"]["resourceVersion"]  # the kubelet writes, too, and what was read may be of the past
    read["spec"]["ephemeralContainers"] = []
    assert api.put(path, read).status == 422


def test_a_pod_is_resized_in_place(api: Api, ns: str) -> None:
    """Requests and limits change through /resize, by patch and by update, and the status shows what was given."""
    amounts = {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "200m", "memory": "200Mi"}}
    api.made(pods(ns), pod(resources=amounts))
    running(api, ns)
    path = f"{pods(ns)}/p/resize"
    patched = api.patch(
        path,
        {
            "spec": {
                "containers": [{"name": "c", "resources": {"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}}}]
            }
        },
        STRATEGIC,
    )
    assert patched["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "150m", "memory": "100Mi"}
    api.until(
        f"{pods(ns)}/p",
        lambda o: (
            o["status"]["containerStatuses"][0].get("resources", {}).get("limits", {}).get("cpu") == "300m"
            and o["status"]["containerStatuses"][0]["allocatedResources"]["cpu"] == "150m"
        ),
    )
    read = api.get(path).body
    assert read["spec"] == api.get(f"{pods(ns)}/p")["spec"] and read["kind"] == "Pod"
    read["spec"]["containers"][0]["resources"]["limits"]["memory"] = "250Mi"
    assert api.put(path, read)["spec"]["containers"][0]["resources"]["limits"]["memory"] == "250Mi"
    refused = api.patch(path, {"spec": {"containers": [{"name": "c", "image": "other"}]}}, STRATEGIC)
    assert refused.status in (200, 422)
    assert api.get(f"{pods(ns)}/p")["spec"]["containers"][0]["image"] == "nginx:1"


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        (None, "BestEffort"),
        ({"requests": {"cpu": "10m"}}, "Burstable"),
        ({"requests": {"cpu": "10m", "memory": "1Mi"}, "limits": {"cpu": "10m", "memory": "1Mi"}}, "Guaranteed"),
    ],
)
def test_the_quality_of_service(api: Api, ns: str, resources: Obj | None, quality: str) -> None:
    """It follows from requests and limits."""
    assert api.made(pods(ns), pod(resources=resources))["status"]["qosClass"] == quality


def test_a_pod_past_its_deadline_fails(api: Api, ns: str) -> None:
    """activeDeadlineSeconds set later counts from the start."""
    api.made(pods(ns), pod())
    running(api, ns)
    api.patch(f"{pods(ns)}/p", {"spec": {"activeDeadlineSeconds": 1}}, STRATEGIC)
    failed = api.until(f"{pods(ns)}/p", lambda o: o["status"]["phase"] == "Failed")
    assert failed["status"]["reason"] == "DeadlineExceeded"


def test_runtime_classes(api: Api, ns: str) -> None:
    """A class that is not there, or not any more, is refused; one with overhead adds it to its pods."""
    classes, name = "/apis/node.k8s.io/v1/runtimeclasses", f"class-{ns}"
    refused = api.post(pods(ns), pod(runtimeClassName=name))
    assert refused.status == 403 and f'RuntimeClass "{name}" not found' in refused.message
    api.made(
        classes, {"metadata": {"name": name}, "handler": "h", "overhead": {"podFixed": {"cpu": "10m", "memory": "1Mi"}}}
    )
    made = api.made(pods(ns), pod(runtimeClassName=name))
    assert made["spec"]["overhead"] == {"cpu": "10m", "memory": "1Mi"}
    api.until(f"{pods(ns)}/p", lambda o: o["spec"].get("nodeName"))
    api.delete(f"{classes}/{name}")
    assert api.post(pods(ns), pod("q", runtimeClassName=name)).status == 403


def test_the_life_of_a_node(api: Api, ns: str) -> None:
    """Created, patched, listed by label, updated, its status too, deleted by label."""
    made = api.made(NODES, {"metadata": {"name": f"fake-{ns}", "labels": {"fake": ns}}})
    path = f"{NODES}/{made['metadata']['name']}"
    assert api.patch(path, {"metadata": {"labels": {"patched": "yes"}}}, STRATEGIC)["metadata"]["labels"]["patched"]
    assert len(api.get(f"{NODES}?labelSelector=fake={ns}")["items"]) == 1
    read = api.get(path).body
    read["status"]["phase"] = "Running"
    assert api.put(f"{path}/status", read).status in (200, 409)
    assert api.delete(f"{NODES}?labelSelector=fake={ns}").status == 200
    api.gone(path)


def test_a_lease(api: Api, ns: str) -> None:
    """Its times keep six digits, and every field comes back as it was."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
    spec = {
        "holderIdentity": "h",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-01-01T00:00:00.123456Z",
        "renewTime": "2026-01-01T00:00:05.000000Z",
        "leaseTransitions": 0,
    }
    api.made(path, {"metadata": {"name": "l"}, "spec": spec})
    assert api.get(f"{path}/l")["spec"] == spec
    read = api.get(f"{path}/l").body
    read["spec"] |= {"holderIdentity": "i", "leaseTransitions": 1}
    assert api.put(f"{path}/l", read)["spec"] == read["spec"]
    assert (
        api.patch(f"{path}/l", {"spec": {"leaseDurationSeconds": 50}}, STRATEGIC)["spec"]["leaseDurationSeconds"] == 50
    )


def test_pods_leave_a_tainted_node_in_their_time(api: Api, ns: str) -> None:
    """NoExecute drives out who does not tolerate it, at once or after tolerationSeconds; who does stays."""
    tolerations = {
        "none": [],
        "short": [{"key": ns, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}],
        "ever": [{"key": ns, "operator": "Exists", "effect": "NoExecute"}],
    }
    for name, tolerated in tolerations.items():
        api.made(pods(ns), pod(name, tolerations=tolerated, nodeSelector={"kubernetes.io/hostname": "node-2"}))
    for name in tolerations:
        running(api, ns, name)
    taint = [{"op": "add", "path": "/spec/taints", "value": [{"key": ns, "value": "v", "effect": "NoExecute"}]}]
    assert api.patch(f"{NODES}/node-2", taint, JSON_PATCH).status == 200
    try:
        api.gone(f"{pods(ns)}/none")
        api.gone(f"{pods(ns)}/short")
        assert api.get(f"{pods(ns)}/ever")["metadata"].get("deletionTimestamp") is None
    finally:
        api.patch(f"{NODES}/node-2", {"spec": {"taints": None}}, MERGE)


def test_extended_resources_are_given_out(api: Api, ns: str) -> None:
    """What is patched into a node's status is there for pods that ask for it, and for no more of them."""
    resource = f"example.com/{ns}"
    grow = [
        {"op": "add", "path": f"/status/{field}/{resource.replace('/', '~1')}", "value": "2"}
        for field in ("capacity", "allocatable")
    ]
    assert api.patch(f"{NODES}/node-1/status", json.dumps(grow), JSON_PATCH).status == 200
    amounts = {"requests": {resource: "2"}, "limits": {resource: "2"}}
    api.made(pods(ns), pod("first", amounts))
    running(api, ns, "first")
    api.made(pods(ns), pod("second", amounts))
    held = api.until(f"{pods(ns)}/second", lambda o: (o.get("status") or {}).get("conditions"))
    assert f"Insufficient {resource}" in held["status"]["conditions"][0]["message"]
    api.delete(f"{pods(ns)}/first", {"gracePeriodSeconds": 0})
    running(api, ns, "second")


def test_priority_classes_keep_their_value(api: Api, ns: str) -> None:
    """The description may change, the value may not."""
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    made = api.made(path, {"metadata": {"name": f"p-{ns}"}, "value": 7})
    assert api.patch(f"{path}/p-{ns}", {"description": "new"})["description"] == "new"
    refused = api.patch(f"{path}/p-{ns}", {"value": 8})
    assert refused.status == 422 and "value: " in refused.message
    made["value"] = 9
    made["metadata"].pop("resourceVersion")
    assert api.put(f"{path}/p-{ns}", made).status == 422


@pytest.mark.parametrize(
    ("second", "fits"),
    [
        ({"hostPort": 54321, "hostIP": "127.0.0.1", "protocol": "TCP"}, False),
        ({"hostPort": 54321, "hostIP": "0.0.0.0", "protocol": "UDP"}, True),
        ({"hostPort": 54322, "hostIP": "0.0.0.0", "protocol": "TCP"}, True),
    ],
)
def test_host_ports_that_clash(api: Api, ns: str, second: Obj, fits: bool) -> None:
    """A port of all addresses clashes with one of a single address, not with another protocol or port."""
    first = {"hostPort": 54321, "hostIP": "0.0.0.0", "protocol": "TCP"}
    for name, port in (("a", first), ("b", second)):
        body = pod(name, nodeSelector={"kubernetes.io/hostname": "node-1"})
        body["spec"]["containers"][0]["ports"] = [{"containerPort": 8080, **port}]
        api.made(pods(ns), body)
    running(api, ns, "a")
    if fits:
        running(api, ns, "b")
    else:
        held = api.until(
            f"{pods(ns)}/b",
            lambda o: (
                [c["reason"] for c in o["status"].get("conditions") or () if c["type"] == "PodScheduled"]
                == ["Unschedulable"]
            ),
        )
        assert "free ports" in json.dumps(held["status"]["conditions"])
    for name in "ab":
        api.delete(f"{pods(ns)}/{name}", {"gracePeriodSeconds": 0})
        api.gone(f"{pods(ns)}/{name}")


def test_a_more_important_pod_takes_the_place(api: Api, ns: str) -> None:
    """The lower one goes, with the condition that says why; the higher one is nominated, and runs when it is gone."""
    resource, classes = f"example.com/{ns}", "/apis/scheduling.k8s.io/v1/priorityclasses"
    for name, value in (("low", 1), ("high", 1000)):
        api.made(classes, {"metadata": {"name": f"{name}-{ns}"}, "value": value})
    grow = [
        {"op": "add", "path": f"/status/{field}/{resource.replace('/', '~1')}", "value": "2"}
        for field in ("capacity", "allocatable")
    ]
    assert api.patch(f"{NODES}/node-1/status", json.dumps(grow), JSON_PATCH).status == 200
    amounts = {"requests": {resource: "2"}, "limits": {resource: "2"}}
    low = pod("low", amounts, priorityClassName=f"low-{ns}")
    low["metadata"]["finalizers"] = ["example.com/held"]
    api.made(pods(ns), low)
    running(api, ns, "low")
    api.made(pods(ns), pod("high", amounts, priorityClassName=f"high-{ns}"))
    victim = api.until(f"{pods(ns)}/low", lambda o: o["metadata"].get("deletionTimestamp"))
    condition = next(c for c in victim["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert (condition["status"], condition["reason"]) == ("True", "PreemptionByScheduler")
    api.until(f"{pods(ns)}/high", lambda o: o["status"].get("nominatedNodeName") == "node-1")
    api.patch(f"{pods(ns)}/low", {"metadata": {"finalizers": None}})
    running(api, ns, "high")


def test_a_critical_pod_takes_the_place(api: Api, ns: str) -> None:
    """system-cluster-critical is more important than any class of users; who asked for less is asked to go first."""
    made = api.made(pods(ns), pod("critical", priorityClassName="system-cluster-critical"))
    assert made["spec"]["priority"] == 2000000000
    running(api, ns, "critical")
