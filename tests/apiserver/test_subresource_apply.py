"""Server-side apply to subresources: one path, its owner, and nothing else."""

from __future__ import annotations

from typing import Any

from kubelab.machinery.request import Obj
from kubelab.units import Deployment, Pod

from .conftest import World, refused

SCALE = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 3}}


def owners(obj: Obj, path: str) -> list[tuple[str, str, str]]:
    """Return (manager, operation, subresource) of every entry that holds f:spec/f:<path>."""
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"]["managedFields"]
            if f"f:{path}" in e["fieldsV1"].get("f:spec", {})]


async def apply(world: World, path: str, manager: str, body: Obj, **query: str) -> Any:
    text = "&".join(f"{k}={v}" for k, v in {"fieldManager": manager, **query}.items())
    return await world.send("PATCH", f"{path}?{text}", body, headers={"content-type": "application/apply-patch+yaml"})


async def test_replicas_applied_by_scale_are_owned_and_taken(world: World) -> None:
    """Applying another number is a conflict with its owner; by force it moves to the applier, told on the parent."""
    await world.client.create("deployments", Deployment("web", image="nginx", replicas=1))
    path = "/apis/apps/v1/namespaces/default/deployments/web/scale"
    refusal = await apply(world, path, "hpa", SCALE)
    assert refusal.status == 409 and refusal.body["details"]["causes"][0]["field"] == ".spec.replicas"
    taken = await apply(world, path, "hpa", SCALE, force="true")
    assert taken.status == 200 and taken.body["spec"] == {"replicas": 3}
    web = await world.client.get("deployments", "web")
    assert web["spec"]["replicas"] == 3 and web["metadata"]["generation"] == 2
    assert owners(web, "replicas") == [("hpa", "Apply", "scale")]
    mine = next(e for e in web["metadata"]["managedFields"] if e["manager"] == "hpa")
    assert mine["apiVersion"] == "apps/v1" and mine["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    again = await apply(world, path, "hpa", SCALE)
    assert again.body["metadata"]["resourceVersion"] == web["metadata"]["resourceVersion"]


async def test_an_applied_debug_container_is_owned_and_stays(world: World) -> None:
    """Only the ephemeral containers of the body are taken; one that is there may not change."""
    await world.client.create("pods", Pod("p", image="nginx"))
    path = "/api/v1/namespaces/default/pods/p/ephemeralcontainers"
    body: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"not": "this"}},
                 "spec": {"priority": 7, "ephemeralContainers": [{"name": "d", "image": "busybox"}]}}
    answer = await apply(world, path, "debugger", body)
    assert answer.status == 200, answer.body
    stored = await world.client.get("pods", "p")
    assert stored["spec"]["priority"] == 0 and "not" not in stored["metadata"].get("labels", {})
    assert owners(stored, "ephemeralContainers") == [("debugger", "Apply", "ephemeralcontainers")]
    body["spec"]["ephemeralContainers"][0]["image"] = "other"
    refusal = await apply(world, path, "debugger", body)
    assert refusal.status == 422 and 'existing ephemeral containers "d" may not be changed' in refusal.body["message"]


async def test_a_resize_keeps_the_class_of_the_pod(world: World) -> None:
    """More CPU is fine; what would make a best-effort pod burstable is not."""
    await world.client.create("pods", Pod("p", image="nginx"))
    body: Obj = {"spec": {"containers": [{"name": "p", "resources": {"requests": {"cpu": "1"}}}]}}
    error = await refused(world.client.patch("pods", "p", body, type="strategic", subresource="resize"))
    assert "Pod QOS Class may not change as a result of resizing" in error.message


async def test_a_dry_run_of_a_part_shows_and_stores_nothing(world: World) -> None:
    """The answer has the new container, the stored pod has not."""
    await world.client.create("pods", Pod("p", image="nginx"))
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"ephemeralContainers": [{"name": "d", "image": "busybox"}]}}
    shown = await apply(world, "/api/v1/namespaces/default/pods/p/ephemeralcontainers", "m", body, dryRun="All")
    assert shown.body.obj["spec"]["ephemeralContainers"][0]["name"] == "d"
    assert "ephemeralContainers" not in (await world.client.get("pods", "p"))["spec"]


async def test_a_resize_reaches_sidecars_and_the_pod_as_a_whole(world: World) -> None:
    """Resources and resize policies change, wherever they stand; the containers stay which they are."""
    made = Pod("p", image="nginx")
    small, large = ({"limits": {"cpu": cpu, "memory": "1Gi"}} for cpu in ("1", "2"))
    made["spec"] |= {"resources": {"limits": {"cpu": "3"}, "requests": {"cpu": "2"}}, "initContainers": [
        {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {**small, "requests": {"cpu": "1"}}}]}
    await world.client.create("pods", made)
    body: Obj = {"spec": {"initContainers": [{"name": "s", "resources": large}], "resources": {"limits": {"cpu": "4"}}}}
    spec = (await world.client.patch("pods", "p", body, type="strategic", subresource="resize"))["spec"]
    assert spec["initContainers"][0]["resources"]["limits"] == large["limits"]
    assert spec["resources"] == {"limits": {"cpu": "4"}, "requests": {"cpu": "2", "memory": "1Gi"}}
    gone = {"spec": {"initContainers": None}}
    error = await refused(world.client.patch("pods", "p", gone, type="merge", subresource="resize"))
    assert error.message == 'Pod "p" is invalid: spec: Forbidden: initContainers may not be added or removed on resize'
