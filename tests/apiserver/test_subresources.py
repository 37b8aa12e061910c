"""Subresources: scale, binding, eviction, tokens."""

from __future__ import annotations

import pytest

from kubelab.units import Deployment

from .conftest import World, pod, refused


async def bind(world: World, name: str, node: str) -> None:
    await world.client.create("pods", {"metadata": {"name": name}, "target": {"name": node}}, "default", name=name,
                              subresource="binding")


async def test_a_pod_is_bound_once(world: World) -> None:
    """Binding sets the node and PodScheduled; a second binding is a conflict."""
    await world.client.create("pods", pod("p"))
    await bind(world, "p", "n1")
    bound = await world.client.get("pods", "p")
    assert (bound["spec"]["nodeName"], bound["status"]["conditions"][0]["type"]) == ("n1", "PodScheduled")
    error = await refused(bind(world, "p", "n2"))
    assert error.message.endswith('pod p is already assigned to node "n1"')
    assert [e.subject for e in world.journal.entries() if e.seam == "bind"] == ["pods/default/p"]


async def test_the_old_bindings_collection_binds_too(world: World) -> None:
    """POST .../bindings names the pod in its body."""
    await world.client.create("pods", pod("p"))
    body = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await world.send("POST", "/api/v1/namespaces/default/bindings", body)).status == 201
    assert (await world.client.get("pods", "p"))["spec"]["nodeName"] == "n1"


async def test_scale_reads_and_writes_replicas(world: World) -> None:
    """A Scale shows and changes spec.replicas, and its writer owns that field."""
    await world.client.create("deploy", Deployment("w", image="nginx", replicas=2))
    scale = await world.client.get("deploy", "w", subresource="scale")
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 0, "selector": "app=w"}
    scaled = await world.client.update("deploy", {**scale, "spec": {"replicas": 5}}, subresource="scale")
    assert scaled["spec"] == {"replicas": 5}
    stored = await world.client.get("deploy", "w")
    assert (stored["spec"]["replicas"], stored["metadata"]["generation"]) == (5, 2)
    assert any(entry.get("subresource") == "scale" for entry in stored["metadata"]["managedFields"])
    error = await refused(world.client.patch("deploy", "w", {"spec": {"replicas": -1}}, subresource="scale"))
    assert error.code == 422
    other = {**scaled, "metadata": {**scaled["metadata"], "uid": "other"}}
    error = await refused(world.client.update("deploy", other, subresource="scale"))
    assert (error.code, error.message) == (409, 'Operation cannot be fulfilled on deployments/scale.apps "w": '
                                           "Precondition failed: UID in precondition: other, UID in object meta: "
                                           + scale["metadata"]["uid"])


async def test_eviction_deletes_gracefully_and_says_why(world: World) -> None:
    """The pod keeps its grace and carries DisruptionTarget."""
    await world.client.create("pods", pod("p"))
    await bind(world, "p", "n1")
    await world.client.create("pods", {"metadata": {"name": "p"}}, "default", name="p", subresource="eviction")
    evicted = await world.client.get("pods", "p")
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 30
    assert evicted["status"]["conditions"][-1]["reason"] == "EvictionByEvictionAPI"


@pytest.mark.parametrize(("subresource", "sent"), [
    ("ephemeralcontainers", {"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox"}]}}),
    ("resize", {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}}),
])
async def test_a_part_of_a_running_pod_is_changed(world: World, subresource: str, sent: dict[str, object]) -> None:
    """Debug containers and resources change through their subresource, and nothing else with them."""
    burstable = pod("p")
    burstable["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
    await world.client.create("pods", burstable)
    await bind(world, "p", "n1")
    sent = {"spec": {**sent["spec"], "restartPolicy": "Never"}}  # type: ignore[dict-item]
    await world.client.patch("pods", "p", sent, type="strategic", subresource=subresource)
    spec = (await world.client.get("pods", "p"))["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec.get("ephemeralContainers") or spec["containers"][0]["resources"]["limits"] == {"cpu": "1"}


async def test_what_a_kind_does_not_have_is_not_found(world: World) -> None:
    """A subresource that is not in the catalogue is 404, a verb that is not there 405."""
    assert (await world.send("GET", "/api/v1/namespaces/default/configmaps/x/status")).status == 404
    assert (await world.send("PUT", "/api/v1/namespaces/default/pods/x/binding", {})).status == 405
