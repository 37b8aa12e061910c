"""The server as a whole: bootstrap, restart, health, stop."""

from __future__ import annotations

from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.machinery.request import Request, User

from .conftest import ADMIN, World, config_map


async def test_the_first_objects_are_there(world: World) -> None:
    """Namespaces, the kubernetes Service with its endpoints, and the policy stand before anyone acts."""
    listed = {kind: {i["metadata"]["name"] for i in (await world.client.list(kind))["items"]}
              for kind in ("ns", "svc", "endpoints", "endpointslices", "clusterroles")}
    assert listed["ns"] == {"default", "kube-node-lease", "kube-public", "kube-system"}
    assert listed["svc"] == listed["endpoints"] == listed["endpointslices"] == {"kubernetes"}
    assert {"cluster-admin", "edit", "view"} <= listed["clusterroles"]


async def test_a_restart_finds_everything_again(world: World) -> None:
    """State lives in etcd: a new server over the same store has the same objects and writes nothing new."""
    await world.client.create("cm", config_map("a"))
    await world.server.stop()
    revision = world.etcd.revision
    again = ApiServer(world.etcd, clock=world.clock, journal=world.journal)
    await again.start()
    found = await again.handle(Request("GET", "/api/v1/namespaces/default/configmaps/a", user=ADMIN))
    assert (found.status, world.etcd.revision) == (200, revision)
    await again.stop()


async def test_what_another_hand_writes_into_etcd_is_seen(world: World) -> None:
    """The cache follows etcd's watch, so a write that did not come through this server is served and watched."""
    watcher = await world.watch("/api/v1/configmaps")
    await world.etcd.put(b"/registry/configmaps/default/x", b'{"kind":"ConfigMap","apiVersion":"v1","metadata":'
                         b'{"name":"x","namespace":"default","uid":"u","labels":{"a":"b"}}}')
    found = await world.client.get("cm", "x")
    assert found["metadata"]["resourceVersion"] == str(world.etcd.revision)
    raw = world.server.storage.of("", "configmaps").objects["default/x"].raw
    assert b'"resourceVersion":"%d"' % world.etcd.revision in raw
    watcher.close()


async def test_a_stopped_server_says_so_and_ends_its_watches(world: World) -> None:
    """Requests get 503, open watches end."""
    watcher = await world.watch("/api/v1/pods")
    await world.server.stop()
    assert watcher.closed
    assert (await world.send("GET", "/api/v1/pods")).status == 503


async def test_a_stopped_store_is_an_error_not_a_hang(world: World) -> None:
    """While etcd is away reads come from the cache, writes fail, and health tells."""
    await world.etcd.stop()
    assert (await world.send("GET", "/api/v1/namespaces/default")).status == 200
    assert (await world.send("POST", "/api/v1/namespaces/default/configmaps", config_map("a"))).status == 500
    response = await world.send("GET", "/readyz?verbose")
    assert (response.status, b"[-]etcd failed" in response.body) == (500, True)  # type: ignore[operator]


async def test_health_version_and_metrics(world: World) -> None:
    """Probes answer for each check, the version is the one modelled, requests are counted."""
    assert (await world.send("GET", "/healthz")).body == b"ok"
    assert (await world.send("GET", "/livez/ping")).body == b"ok"
    assert (await world.send("GET", "/livez/nope")).status == 404
    version = (await world.send("GET", "/version")).body
    assert isinstance(version, dict)
    assert (version["gitVersion"], version["minor"]) == ("v1.36.2", "36")
    await world.send("GET", "/api/v1/pods")
    metrics = (await world.send("GET", "/metrics")).body
    assert (b'apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",'
            b'scope="cluster",subresource="",verb="LIST",version="v1"} 1') in metrics  # type: ignore[operator]


async def test_who_may_not_is_told(world: World) -> None:
    """A user without a role gets 403 with the verb, the resource and the scope."""
    response = await world.send("GET", "/api/v1/pods", user=User("u", ("system:authenticated",)))
    assert isinstance(response.body, dict)
    assert response.body["message"] == ('pods is forbidden: User "u" cannot list resource "pods" in API group "" at '
                                        "the cluster scope")


async def test_events_end_after_an_hour(world: World) -> None:
    """An Event is stored under a lease, as every cluster's Events are."""
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "m"}
    await world.client.create("events", event)
    await world.clock.step(3599)
    assert len((await world.client.list("events"))["items"]) == 1
    await world.clock.step(5)
    assert (await world.client.list("events"))["items"] == []


async def test_events_have_two_faces(world: World) -> None:
    """What is written as events.k8s.io/v1 is read as core/v1, and the other way round."""
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    body = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "hello",
            "reason": "R", "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "type": "Normal",
            "action": "A", "eventTime": "2026-01-02T03:04:05.000000Z", "reportingController": "x/y",
            "reportingInstance": "i"}
    made = await world.send("POST", path, body)
    assert made.status == 201, made.body
    core = await world.client.get("events", "e")
    assert (core["message"], core["involvedObject"]["name"], core["reportingComponent"]) == ("hello", "p", "x/y")
    listed = (await world.send("GET", f"{path}?fieldSelector=regarding.name=p")).body
    assert isinstance(listed, dict)
    assert [(i["note"], i["regarding"]["name"]) for i in listed["items"]] == [("hello", "p")]
    merge = {"content-type": "application/merge-patch+json"}
    series = {"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z"}
    patched = await world.send("PATCH", f"{path}/e", {"series": series}, headers=merge)
    assert patched.status == 200, patched.body
    assert (await world.client.get("events", "e"))["series"] == series
    refused = await world.send("PATCH", f"{path}/e", {"note": "again"}, headers=merge)
    assert isinstance(refused.body, dict)  # core/v1 lets it pass, and is whose Event is spoken of
    assert refused.body["message"] == 'Event "e" is invalid: message: Invalid value: "again": field is immutable'
    missing = (await world.send("GET", f"{path}/f")).body
    assert isinstance(missing, dict)
    assert missing["message"] == 'events "f" not found'


async def test_fields_are_owned_in_the_version_that_was_written(world: World) -> None:
    """An autoscaler made through autoscaling/v1 is its maker's in the fields of v1, whoever looks."""
    await world.send("POST", "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", {
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}}})
    entry, = (await world.client.get("hpa", "h"))["metadata"]["managedFields"]
    assert (entry["apiVersion"], set(entry["fieldsV1"]["f:spec"])) == ("autoscaling/v1", {
        "f:maxReplicas", "f:minReplicas", "f:scaleTargetRef", "f:targetCPUUtilizationPercentage"})
