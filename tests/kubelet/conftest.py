"""A control plane in process and a kubelet over the hollow runtime, on a clock that the test steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from kubelab.client.client import Client
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock, SteppedClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj, User, WatchEvent
from kubelab.node.kubelet import Kubelet
from kubelab.node.runtime.hollow import HollowRuntime


class World:
    """One API server and one node."""

    def __init__(self, clock: SteppedClock, client: Callable[..., Client], root: Path) -> None:
        self.clock, self.root = clock, root
        self.admin = client("admin", "system:masters")
        self.node_client = client("system:node:node-1", "system:nodes")
        self.runtime: Any = HollowRuntime("node-1", clock, "10.64.0.0/24")
        self.kubelet = self.make_kubelet()

    def make_kubelet(self, **options: Any) -> Kubelet:
        return Kubelet(self.node_client, "node-1", self.runtime, clock=self.clock, root_dir=self.root, **options)

    async def run(self, name: str, *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        """Create a pod that is bound to the node already."""
        made = {"nodeName": "node-1", "containers": [{"name": "c", "image": "nginx:1"}],
                "automountServiceAccountToken": False} | spec
        await self.admin.create("pods", {"apiVersion": "v1", "kind": "Pod", "spec": made, "metadata": {
            "name": name, "namespace": "default", "annotations": annotations or {}}})

    async def pod(self, name: str) -> Obj:
        return await self.admin.get("pods", name, "default")

    async def until(self, name: str, holds: Callable[[Obj], bool]) -> Obj:
        """Wait, without moving the clock, until the pod is as it should be."""
        pod = await self.pod(name)
        if holds(pod):
            return pod
        async with asyncio.timeout(10), aclosing(self._watch(name, pod["metadata"]["resourceVersion"])) as events:
            async for event in events:
                if event.type != "DELETED" and holds(event.obj):
                    return event.obj
        raise AssertionError("the watch ended")

    async def until_gone(self, name: str) -> None:
        found = await self.admin.list("pods", "default", field_selector=f"metadata.name={name}")
        if not found["items"]:
            return
        async with asyncio.timeout(10), aclosing(self._watch(name, found["metadata"]["resourceVersion"])) as events:
            async for event in events:
                if event.type == "DELETED":
                    return

    def _watch(self, name: str, version: str) -> AsyncGenerator[WatchEvent, None]:
        return self.admin.watch("pods", "default", field_selector=f"metadata.name={name}", resource_version=version)

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Return (reason, message) of the pod's events, in order."""
        await self.kubelet.context.recorder.flush()
        found = (await self.admin.list("events", "default"))["items"]
        return [(e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    etcd = EmbeddedEtcd(None, RealClock())
    api = ApiServer(etcd, clock=RealClock(), journal=Journal())
    await etcd.start()
    await api.start()

    def client(name: str, *groups: str) -> Client:
        return Client(InProcess(api.handle, User(name, (*groups, "system:authenticated")), name))

    made = World(SteppedClock(), client, tmp_path)
    await made.kubelet.start()
    yield made
    await made.kubelet.close()
    await api.stop()
    await etcd.stop()


def state(pod: Obj, name: str = "c") -> Obj:
    """Return the state of a container, {} before there is one."""
    status = pod.get("status", {})
    for known in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        if known["name"] == name:
            found: Obj = known["state"]
            return found
    return {}


def ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions") or ())
