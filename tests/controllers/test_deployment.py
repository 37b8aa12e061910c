"""Deployments on a whole control plane, held against the recorded stories."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.deployment_sizes import DESIRED, MAX

NEW_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}


async def scalings(world: Any) -> list[str]:
    await world.manager.recorders[0].flush()
    return [m.replace(m.split()[4], "RS") for _, _, reason, m, source in await world.events()
            if reason == "ScalingReplicaSet" and source == "deployment-controller"]


async def test_a_deployment_becomes_available(world: Any, deployment: Any) -> None:
    """A Deployment gets its ReplicaSet, its pods, their nodes, the events and the conditions of the recording."""
    await world.client.create("deployments", deployment())
    found = await world.available("web", 3)
    rs, = await world.items("replicasets")
    name = rs["metadata"]["name"]
    assert found["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    assert [(c["type"], c["status"], c["reason"], c["message"]) for c in found["status"]["conditions"]] == [
        ("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        ("Progressing", "True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')]
    counts = {k: v for k, v in found["status"].items() if k != "conditions"}
    assert counts == {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
                      "availableReplicas": 3, "terminatingReplicas": 0}
    assert rs["status"] == {"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
                            "terminatingReplicas": 0, "observedGeneration": 1}
    assert rs["metadata"]["annotations"] == {DESIRED: "3", MAX: "4", "deployment.kubernetes.io/revision": "1"}
    pods = await world.items("pods")
    assert {p["metadata"]["generateName"] for p in pods} == {f"{name}-"}

    async def told() -> Any:
        events = await world.events()
        assert len(events) >= 2 + 1 + 3 + 3
        return events

    events = await world.until(told)
    assert ("Deployment/web", "Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to 3",
            "deployment-controller") in events
    for pod in pods:
        pod_name = pod["metadata"]["name"]
        assert (f"ReplicaSet/{name}", "Normal", "SuccessfulCreate", f"Created pod: {pod_name}",
                "replicaset-controller") in events
        assert (f"Pod/{pod_name}", "Normal", "Scheduled",
                f"Successfully assigned default/{pod_name} to {pod['spec']['nodeName']}", "default-scheduler") in events


async def test_a_rolling_update_steps_as_recorded(world: Any, deployment: Any) -> None:
    """Three replicas roll over one by one, and each step is told in order."""
    await world.client.create("deployments", deployment())
    await world.available("web", 3)
    await world.client.patch("deployments", "web", NEW_IMAGE, type="strategic")
    found = await world.available("web", 3)
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"

    async def told() -> Any:
        lines = await scalings(world)
        return len(lines) == 7 and lines

    assert await world.until(told) == [
        "Scaled up replica set RS from 0 to 3", "Scaled up replica set RS from 0 to 1",
        "Scaled down replica set RS from 3 to 2", "Scaled up replica set RS from 1 to 2",
        "Scaled down replica set RS from 2 to 1", "Scaled up replica set RS from 2 to 3",
        "Scaled down replica set RS from 1 to 0"]
    old = next(rs for rs in await world.items("replicasets") if not rs["spec"]["replicas"])

    async def emptied() -> Any:
        return (await world.client.get("replicasets", old["metadata"]["name"]))["status"]

    await world.until(lambda: _is(emptied, {"replicas": 0, "terminatingReplicas": 0, "observedGeneration": 4}))


async def _is(ask: Any, wanted: Any) -> bool:
    found = await ask()
    assert found == wanted, found
    return True


async def test_recreate_waits_for_the_old_pods(world: Any, deployment: Any) -> None:
    """Recreate never has pods of both templates at once."""
    await world.client.create("deployments", deployment(strategy={"type": "Recreate"}))
    await world.available("web", 3)
    await world.client.patch("deployments", "web", NEW_IMAGE, type="strategic")
    await world.available("web", 3)

    async def told() -> Any:
        lines = await scalings(world)
        return len(lines) == 3 and lines

    assert await world.until(told) == ["Scaled up replica set RS from 0 to 3", "Scaled down replica set RS from 3 to 0",
                                       "Scaled up replica set RS from 0 to 3"]


async def test_scaling_and_rolling_back(world: Any, deployment: Any) -> None:
    """A scaled Deployment keeps its ReplicaSet; going back to an old template gives that ReplicaSet a new revision."""
    await world.client.create("deployments", deployment(replicas=4))
    first = (await world.available("web", 4))["spec"]["template"]
    await world.client.patch("deployments", "web", {"spec": {"replicas": 1}})
    await world.available("web", 1)
    rs, = await world.items("replicasets")
    assert (rs["metadata"]["annotations"][DESIRED], rs["metadata"]["annotations"][MAX]) == ("1", "2")
    await world.client.patch("deployments", "web", NEW_IMAGE, type="strategic")
    await world.available("web", 1)
    undo = [{"op": "replace", "path": "/spec/template", "value": first}]
    await world.client.patch("deployments", "web", undo, type="json")
    await world.available("web", 1)
    notes = (await world.client.get("replicasets", rs["metadata"]["name"]))["metadata"]["annotations"]
    assert notes["deployment.kubernetes.io/revision"] == "3"
    assert notes["deployment.kubernetes.io/revision-history"] == "1"


async def test_a_paused_deployment_does_not_roll(world: Any, deployment: Any) -> None:
    """A change made while paused waits for the resume; the condition says so."""
    await world.client.create("deployments", deployment(replicas=2))
    await world.available("web", 2)
    await world.client.patch("deployments", "web", {"spec": {"paused": True}})
    await world.client.patch("deployments", "web", NEW_IMAGE, type="strategic")

    async def reason() -> Any:
        found = await world.client.get("deployments", "web")
        return {c["type"]: c["reason"] for c in found["status"]["conditions"]}["Progressing"]

    await world.until(lambda: _is(reason, "DeploymentPaused"))
    assert len(await world.items("replicasets")) == 1
    await world.client.patch("deployments", "web", {"spec": {"paused": False}})
    await world.available("web", 2)
    assert len(await world.items("replicasets")) == 2


async def test_no_progress_is_told_after_the_deadline(world: Any, deployment: Any) -> None:
    """Pods that never become ready let the rollout time out."""
    await world.client.create("deployments", deployment(replicas=2, image="never", progressDeadlineSeconds=1))

    async def condition() -> Any:
        found = await world.client.get("deployments", "web")
        return {c["type"]: (c["status"], c["reason"]) for c in found["status"]["conditions"]}["Progressing"]

    await world.until(lambda: _is(condition, ("False", "ProgressDeadlineExceeded")))


async def test_old_replica_sets_are_forgotten(world: Any, deployment: Any) -> None:
    """Only revisionHistoryLimit old ReplicaSets stay."""
    await world.client.create("deployments", deployment(replicas=1, revisionHistoryLimit=1))
    await world.available("web", 1)
    for tag in ("2", "3", "4"):
        change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": f"nginx:{tag}"}]}}}}
        await world.client.patch("deployments", "web", change, type="strategic")
        await world.available("web", 1)

    async def revisions() -> Any:
        return sorted(rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
                      for rs in await world.items("replicasets"))

    await world.until(lambda: _is(revisions, ["3", "4"]))
