"""A control plane in this process: etcd, API server, controllers, scheduler, and a stand-in for the kubelets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.controllers import ControllerManager
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.scheduler import Scheduler
from kubelab.machinery.clock import RealClock, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import User


class FakeKubelets:
    """Runs every pod that has a node at once, unless its image says "never"; removes what is being deleted."""

    def __init__(self, client: Client) -> None:
        self.client, self.pods = client, Informer(client, "pods")
        self.tasks: set[asyncio.Task[None]] = set()
        self.silent: set[str] = set()
        self.pods.on_event(self._on_pod)
        self.addresses = 0

    def _on_pod(self, type_: str, pod: Any, old: Any) -> None:
        node = pod["spec"].get("nodeName")
        if type_ == "DELETED" or not node or node in self.silent:
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._do(self._remove(pod))
        elif pod["status"].get("phase") == "Pending" and "never" not in pod["spec"]["containers"][0]["image"]:
            self._do(self._run(pod))

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _run(self, pod: Any) -> None:
        self.addresses += 1
        stamp = timestamp(RealClock().now())
        ip = f"10.0.{self.addresses // 250}.{self.addresses % 250 + 1}"
        conditions = [{"type": t, "status": "True", "lastTransitionTime": stamp}
                      for t in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
        status = {"phase": "Running", "conditions": conditions, "podIP": ip, "podIPs": [{"ip": ip}]}
        with suppress(ApiError):  # the pod may have gone
            await self.client.patch("pods", pod["metadata"]["name"], {"status": status}, pod["metadata"]["namespace"],
                                    type="strategic", subresource="status")

    async def _remove(self, pod: Any) -> None:
        with suppress(ApiError):
            await self.client.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"], grace_period_s=0)

    async def add_node(self, name: str, cpu: str = "4", memory: str = "8Gi", **spec: Any) -> None:
        await self.client.create("nodes", {"apiVersion": "v1", "kind": "Node", "spec": spec, "metadata": {
            "name": name, "labels": {"kubernetes.io/hostname": name}}})
        await self.post_status(name, cpu, memory)

    async def post_status(self, name: str, cpu: str = "4", memory: str = "8Gi") -> None:
        stamp = timestamp(RealClock().now())
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": stamp,
                 "message": "kubelet is posting ready status", "lastTransitionTime": stamp}
        amounts = {"cpu": cpu, "memory": memory, "pods": "110"}
        status = {"status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}}
        await self.client.patch("nodes", name, status, type="strategic", subresource="status")


class World:
    """What a test holds: a client with all rights, the components, the kubelets."""

    def __init__(self, handle: Any, clock: Any, journal: Journal, **options: Any) -> None:
        def client(name: str, *groups: str) -> Client:
            return Client(InProcess(handle, User(name, groups), name.removeprefix("system:")))

        self.client = client("kubernetes-admin", "system:masters")
        self.manager = ControllerManager(client("system:kube-controller-manager"), clock=clock, journal=journal,
                                         **options)
        self.scheduler = Scheduler(client("system:kube-scheduler"), clock=clock, journal=journal)
        self.kubelets = FakeKubelets(client("kubelets", "system:masters"))

    async def start(self) -> None:
        await self.kubelets.pods.start()
        await self.manager.start()
        await self.scheduler.start()

    async def stop(self) -> None:
        await self.scheduler.stop()
        await self.manager.stop()
        await self.kubelets.pods.stop()

    async def until(self, check: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> Any:
        """Ask until the answer is true; what asking raises counts as not yet, and is told in the end."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            last: Any = None
            try:
                last = await check()
            except (ApiError, KeyError, ValueError, AssertionError) as error:
                last, found = error, False
            else:
                found = bool(last)
            if found:
                return last
            assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {last!r}"
            await asyncio.sleep(0.01)

    async def items(self, what: str, namespace: str | None = "default", **options: Any) -> list[Any]:
        return (await self.client.list(what, namespace, **options)).get("items") or []

    async def events(self, namespace: str = "default") -> list[tuple[str, str, str, str, str]]:
        """Return (object, type, reason, message, from), oldest first."""
        found = await self.items("events", namespace)
        return [(f"{e['involvedObject']['kind']}/{e['involvedObject']['name']}", e["type"], e["reason"], e["message"],
                 e.get("reportingComponent") or e["source"].get("component", "")) for e in found]

    async def available(self, name: str, replicas: int, namespace: str = "default") -> Any:
        async def check() -> Any:
            found = await self.client.get("deployments", name, namespace)
            status = found.get("status") or {}
            assert status.get("observedGeneration") == found["metadata"]["generation"], status
            assert status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == replicas, status
            assert status.get("replicas", 0) == replicas, status
            return found

        return await self.until(check)


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    clock, journal = RealClock(), Journal()
    etcd = EmbeddedEtcd(None, clock)
    server = ApiServer(etcd, clock=clock, journal=journal)
    await etcd.start()
    await server.start()
    yield server
    await server.stop()
    await etcd.stop()


@pytest.fixture
async def make_world(api: ApiServer) -> AsyncIterator[Callable[..., Awaitable[World]]]:
    worlds: list[World] = []

    async def make(nodes: int = 2, **options: Any) -> World:
        world = World(api.handle, api.clock, api.journal, **options)
        worlds.append(world)
        await world.start()
        for i in range(nodes):
            await world.kubelets.add_node(f"node-{i + 1}")
        return world

    yield make
    for world in worlds:
        await world.stop()


@pytest.fixture
async def world(make_world: Callable[..., Awaitable[World]]) -> World:
    return await make_world()


def _deployment(name: str = "web", replicas: int = 3, image: str = "nginx", **spec: Any) -> Any:
    labels = {"app": name}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": image}]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod}, **spec}}


@pytest.fixture
def deployment() -> Callable[..., Any]:
    return _deployment
