from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from kubelab.machinery.errors import ApiError
from kubelab.node.runtime.protocol import ImageError

from .conftest import World, ready, state

ALWAYS_READY = {"httpGet": {"port": 80}}


def last_reasons(events: list[tuple[str, str]]) -> list[str]:
    return [reason for reason, _ in events]


async def test_the_node_is_registered_and_its_lease_renewed(world: World) -> None:
    """A node shows its labels, capacity, conditions and version, and a Lease that moves every ten seconds."""
    node = await world.admin.get("nodes", "node-1")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]} == {
        "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
    info = node["status"]["nodeInfo"]
    assert (info["kubeletVersion"], info["containerRuntimeVersion"]) == ("v1.36.2", "hollow://0.1.0")
    await world.clock.step(0.1)
    first = await world.admin.get("leases.coordination.k8s.io", "node-1", "kube-node-lease")
    await world.clock.step(10.1)
    second = await world.admin.get("leases.coordination.k8s.io", "node-1", "kube-node-lease")
    assert first["spec"]["leaseDurationSeconds"] == 40
    assert first["spec"]["renewTime"] < second["spec"]["renewTime"]


async def test_a_pod_becomes_ready_with_one_status_write(world: World) -> None:
    """A bound pod runs at once; Pending, Running and Ready are told in a single write."""
    await world.run("web")
    pod = await world.until("web", ready)
    assert pod["status"]["podIP"].startswith("10.64.0.")
    assert world.kubelet.writer.writes == 1
    assert last_reasons(await world.events("web")) == ["Pulled", "Created", "Started"]


async def test_a_deleted_pod_ends_in_its_grace_period_and_goes(world: World) -> None:
    """Deletion stops the containers, writes the last status and removes the pod from the API."""
    await world.run("web")
    await world.until("web", ready)
    await world.admin.delete("pods", "web", "default")
    await world.until_gone("web")
    assert ("Killing", "Stopping container c") in await world.events("web")
    assert not await world.runtime.list_containers()
    assert not await world.runtime.list_sandboxes()
    assert not world.kubelet.workers


async def test_a_crashing_container_waits_longer_each_time(world: World) -> None:
    """First restart at once, then CrashLoopBackOff for 10 s, 20 s, with the kubelet's words."""
    await world.run("crash", annotations={"hollow.kubelab.io/run-for-s": "1", "hollow.kubelab.io/exit-code": "3"})
    await world.until("crash", ready)
    await world.clock.step(1.1)
    await world.until("crash", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1)
    await world.clock.step(1.1)
    pod = await world.until("crash", lambda p: "waiting" in state(p))
    waiting = state(pod)["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].startswith("back-off 10s restarting failed container=c pod=crash_default(")
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    await world.clock.step(10)
    await world.until("crash", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 2)
    await world.clock.step(1.1)
    pod = await world.until("crash", lambda p: "waiting" in state(p))
    assert "back-off 20s" in state(pod)["waiting"]["message"]


async def test_a_job_like_pod_succeeds(world: World) -> None:
    """restartPolicy Never and exit code 0 end in Succeeded, and the sandbox goes."""
    await world.run("job", annotations={"hollow.kubelab.io/run-for-s": "2"}, restartPolicy="Never")
    await world.until("job", ready)
    await world.clock.step(2.1)
    pod = await world.until("job", lambda p: p["status"]["phase"] == "Succeeded")
    assert state(pod)["terminated"]["reason"] == "Completed"
    assert pod["status"]["podIP"]


async def test_init_containers_come_first(world: World) -> None:
    """The pod's container starts when the init container has ended well."""
    await world.run("web", annotations={"hollow.kubelab.io/run-for-s": "5"}, restartPolicy="Never",
                    initContainers=[{"name": "prep", "image": "busybox:1"}])
    pod = await world.until("web", lambda p: "running" in state(p, "prep"))
    assert state(pod)["waiting"]["reason"] == "PodInitializing"
    await world.clock.step(5.1)
    await world.until("web", lambda p: "running" in state(p))


async def test_readiness_turns_with_the_probe(world: World) -> None:
    """A probed container is not ready before its probe says so; failing says why in an Event."""
    await world.run("web", annotations={"hollow.kubelab.io/ready-after-s": "5"},
                    containers=[{"name": "c", "image": "nginx:1", "readinessProbe": ALWAYS_READY | {
                        "periodSeconds": 1}}])
    await world.until("web", lambda p: "running" in state(p))
    assert not ready(await world.pod("web"))
    await world.clock.step(6)
    await world.until("web", ready)
    assert any(m.startswith("Readiness probe failed: ") for _, m in await world.events("web"))


async def test_a_pod_that_does_not_fit_is_rejected(world: World) -> None:
    """The node's own admission fails a pod that the scheduler should not have sent."""
    await world.run("huge", containers=[{"name": "c", "image": "nginx:1", "resources": {"requests": {"cpu": "64"}}}])
    pod = await world.until("huge", lambda p: p["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "OutOfcpu"
    assert pod["status"]["message"] == ("Pod was rejected: Node didn't have enough resource: cpu, requested: 64000, "
                                        "used: 0, capacity: 4000")


async def test_a_missing_config_map_is_named(world: World) -> None:
    """A container whose environment cannot be made waits with CreateContainerConfigError, until it can."""
    env: list[Any] = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "k"}}}]
    await world.run("web", containers=[{"name": "c", "image": "nginx:1", "env": env}])
    pod = await world.until("web", lambda p: "waiting" in state(p) and "message" in state(p)["waiting"])
    assert state(pod)["waiting"] == {"reason": "CreateContainerConfigError", "message": 'configmap "cfg" not found'}
    await world.admin.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"other": "1"},
                                            "metadata": {"name": "cfg", "namespace": "default"}})
    await world.clock.step(10.1)
    pod = await world.until("web", lambda p: "couldn't" in state(p).get("waiting", {}).get("message", ""))
    assert state(pod)["waiting"]["message"] == "couldn't find key k in ConfigMap default/cfg"
    await world.admin.patch("configmaps", "cfg", {"data": {"k": "v"}}, "default")
    await world.clock.step(10.1)
    await world.until("web", ready)


async def test_a_restarted_kubelet_adopts_what_runs_and_removes_what_nobody_knows(world: World) -> None:
    """Containers go on through a restart of the kubelet; those of pods deleted meanwhile are removed."""
    await world.run("kept")
    await world.run("lost")
    await world.until("kept", ready)
    await world.until("lost", ready)
    before = {c.pod.name: c.id for c in await world.runtime.list_containers()}
    await world.kubelet.stop()
    await world.admin.delete("pods", "lost", "default", grace_period_s=0)
    await world.kubelet.start()
    after = {c.pod.name: c.id for c in await world.runtime.list_containers()}
    assert after == {"kept": before["kept"]}
    pod = await world.pod("kept")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_a_status_that_others_spoilt_is_set_right(world: World) -> None:
    """The kubelet owns the pod's status: what the node controller wrote while it was away is corrected."""
    await world.run("web")
    await world.until("web", ready)
    await world.admin.patch("pods", "web", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
                            "default", type="strategic", subresource="status")
    await world.until("web", ready)


async def test_a_changed_image_restarts_the_container_in_place(world: World) -> None:
    """Patching the image of a running pod restarts that container and keeps the pod."""
    await world.run("web")
    await world.until("web", ready)
    await world.admin.patch("pods", "web", {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}, "default",
                            type="strategic")
    pod = await world.until("web", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert pod["status"]["containerStatuses"][0]["image"] == "nginx:2"
    assert ("Killing", "Container c definition changed, will be restarted") in await world.events("web")


async def test_a_sidecar_stays_until_the_containers_are_done(world: World) -> None:
    """A restartable init container runs beside the pod's container and does not keep the pod from ending."""
    await world.run("job", annotations={"hollow.kubelab.io/run-for-s": "3"}, restartPolicy="Never",
                    initContainers=[{"name": "proxy", "image": "envoy:1", "restartPolicy": "Always"}])
    await world.until("job", ready)
    await world.clock.step(3.1)
    await world.until("job", lambda p: p["status"]["phase"] == "Succeeded")


async def test_an_init_container_that_cannot_start_leaves_the_kubelet_idle(world: World) -> None:
    """A pod that waits for its back-off costs nothing while it waits, and deleting it then takes effect at once."""

    async def no_image(image: str) -> str:
        raise ImageError("ErrImagePull", "no such image")

    world.runtime.pull_image = no_image
    await world.run("web", initContainers=[{"name": "prep", "image": "nope:latest"}])
    await world.until("web", lambda p: state(p, "prep").get("waiting", {}).get("reason") == "ErrImagePull")
    await world.clock.step(2)
    await world.until("web", lambda p: state(p, "prep")["waiting"]["reason"] == "ImagePullBackOff")
    (worker,) = world.kubelet.workers.values()
    worker.poke()
    await world.clock.step(1)
    assert worker.idle
    await world.admin.delete("pods", "web", "default", grace_period_s=1)
    await world.until_gone("web")


async def test_a_pull_is_cut_short_by_deletion(world: World) -> None:
    """Nobody has to wait for a pull whose pod is gone."""
    never = asyncio.Event()

    async def slow(image: str) -> str:
        await never.wait()
        return "sha256:1"

    world.runtime.pull_image = slow
    await world.run("web", containers=[{"name": "c", "image": "big:latest"}])
    await world.until("web", lambda p: bool(state(p)))
    await world.admin.delete("pods", "web", "default", grace_period_s=1)
    await world.until_gone("web")


async def test_the_final_delete_spares_a_new_pod_of_the_same_name(world: World) -> None:
    """The kubelet deletes by uid: a pod that was created anew under the name stays."""
    await world.run("web")
    await world.until("web", ready)
    await world.admin.delete("pods", "web", "default", grace_period_s=0)
    await world.run("web")
    pod = await world.until("web", ready)
    await world.clock.step(5)
    assert (await world.pod("web"))["metadata"]["uid"] == pod["metadata"]["uid"]
    with pytest.raises(ApiError, match="UID in the precondition"):
        await world.admin.delete("pods", "web", "default", uid="other")


async def test_a_label_that_the_node_has_since_now_counts(world: World) -> None:
    """A pod that chooses the node by a label which somebody gave it meanwhile is not refused."""
    await world.admin.patch("nodes", "node-1", {"metadata": {"labels": {"colour": "red"}}}, type="merge")
    await world.run("chosen", nodeSelector={"colour": "red"})
    await world.until("chosen", lambda p: p["status"]["phase"] == "Running")


async def test_an_extended_resource_is_given_out(world: World) -> None:
    """Capacity that somebody patched in stays through the kubelet's own reports, and becomes allocatable."""
    patch = {"status": {"capacity": {"example.com/dongle": "3"}}}
    await world.admin.patch("nodes", "node-1", patch, subresource="status", type="merge")
    await world.clock.step(11)
    async with asyncio.timeout(10), aclosing(world.admin.watch("nodes", resource_version="0")) as events:
        async for event in events:
            if event.obj["status"]["allocatable"].get("example.com/dongle") == "3":
                assert event.obj["status"]["capacity"]["example.com/dongle"] == "3"
                return
