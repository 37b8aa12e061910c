"""The bridge between a cluster and its views, on a real API server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import User
from kubelab.units import ConfigMap, Deployment, Pod, Service
from kubelab.views.bridge import Bridge


class Desk:
    """A bridge with what it sent."""

    def __init__(self, client: Client, journal: Journal, components: dict[str, Component]) -> None:
        self.client, self.sent = client, list[dict[str, Any]]()
        self.bridge = Bridge(client, self.sent.append, journal=journal, components=components, name="lab")
        self.components = components

    async def until(self, holds: Any) -> None:
        """Wait until something sent makes `holds` true."""
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for may be in the projection, which sends nothing
                await asyncio.sleep(0.01)

    async def ask(self, **request: Any) -> dict[str, Any]:
        await self.bridge.hear({"type": "ask", "view": "v", "id": 7, **request})
        await self.until(lambda: any(m["type"] == "answer" for m in self.sent))
        answer = next(m for m in self.sent if m["type"] == "answer")
        self.sent.remove(answer)
        return answer

    @property
    def diffs(self) -> list[dict[str, Any]]:
        return [m for m in self.sent if m["type"] == "diff"]

    def marks(self) -> list[str]:
        return [i["text"] for i in self.bridge.projection.items.values() if i["t"] == "mark"]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock, journal = RealClock(), Journal()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    server = ApiServer(etcd, clock=clock, journal=journal)
    await server.start()
    client = Client(InProcess(server.handle, User("kubernetes-admin", ("system:masters", "system:authenticated"))))
    desk = Desk(client, journal, {"etcd": etcd, "apiserver": server})
    await desk.bridge.start()
    yield desk
    await desk.bridge.stop()
    await server.stop()
    await etcd.stop()


async def test_nothing_is_sent_while_nobody_looks(desk: Desk) -> None:
    """Without a view a change is taken in and costs no message."""
    await desk.client.create("pods", Pod("a", image="nginx"))
    await desk.until(lambda: any(k.startswith("pod:") for k in desk.bridge.projection.items))
    assert desk.sent == []


async def test_hello_gets_the_whole_picture_then_changes(desk: Desk) -> None:
    """A view that says hello gets every item once, then numbered diffs without a gap."""
    await desk.bridge.hear({"type": "hello", "view": "v"})
    model = next(m for m in desk.sent if m["type"] == "model")
    assert {"cluster", "part:apiserver", "part:etcd", "part:kubectl"} <= model["items"].keys()
    await desk.client.create("deployments", Deployment("web", image="nginx", replicas=3))
    await desk.client.create("pods", Pod("a", image="nginx"))
    await desk.until(lambda: any(k.startswith("pod:") for d in desk.diffs for k in d["set"]))
    numbers = [d["seq"] for d in desk.diffs if d["seq"] > model["seq"]]
    assert numbers == list(range(model["seq"] + 1, model["seq"] + 1 + len(numbers)))
    assert desk.marks() == ["apply web"]


async def test_messages_are_throttled(desk: Desk) -> None:
    """Three hundred changes are a handful of messages, and nothing is lost."""
    await desk.bridge.hear({"type": "hello", "view": "v"})
    began = asyncio.get_running_loop().time()
    for i in range(100):
        await desk.client.create("pods", Pod(f"p-{i}", image="nginx"))
    await desk.until(lambda: sum(k.startswith("pod:") for d in desk.diffs for k in d["set"]) >= 100)
    took_s = asyncio.get_running_loop().time() - began
    assert len(desk.diffs) <= 20 * took_s + 3


async def test_requests_travel_as_dots(desk: Desk) -> None:
    """What crosses the API server is told by spoke and direction, from the journal."""
    await desk.bridge.hear({"type": "hello", "view": "v"})
    await desk.client.create("configmaps", ConfigMap("a", {"k": "v"}))
    await desk.until(lambda: any(d["dots"] for d in desk.diffs))
    dots = {(spoke, way) for d in desk.diffs for spoke, way, _ in d["dots"]}
    assert {("kubectl", "in"), ("etcd", "out")} <= dots


async def test_side_panel_answers(desk: Desk) -> None:
    """Object, events, logs and source are fetched when asked for; an error is a sentence."""
    await desk.client.create("services", Service("web", port=80))
    service = await desk.client.get("services", "web")
    key = f"svc:{service['metadata']['uid']}"
    await desk.until(lambda: key in desk.bridge.projection.items)
    found = (await desk.ask(what="object", key=key))["data"]
    assert "kind: Service" in found["yaml"]
    assert "managedFields" not in found["yaml"]
    assert ["type", "ClusterIP"] in found["facts"]
    assert (await desk.ask(what="events", key=key))["data"] == []
    assert (await desk.ask(what="object", key="pod:gone"))["error"] == "It is gone."
    assert "class ApiServer" in (await desk.ask(what="source", key="part:apiserver"))["data"]["text"]
    assert (await desk.ask(what="part", key="part:scheduler"))["data"]["can"] == []
    assert "nobody here knows" in (await desk.ask(what="nonsense"))["error"]


async def test_component_stops_and_starts_from_its_card(desk: Desk) -> None:
    """`do` stops and starts a component; its card and the time bar tell at once."""
    part = Component("scheduler")
    desk.components["scheduler"] = part
    await part.start()
    await desk.bridge.hear({"type": "hello", "view": "v"})
    assert (await desk.ask(what="part", key="part:scheduler"))["data"]["can"] == ["stop", "restart"]
    await desk.ask(what="do", act="stop", key="part:scheduler")
    assert part.state == "stopped"
    assert desk.bridge.projection.items["part:scheduler"]["state"] == "stopped"
    assert "scheduler stopped" in desk.marks()
    await desk.ask(what="do", act="start", key="part:scheduler")
    assert part.state == "running"


async def test_bye_and_stop_leave_nothing(desk: Desk) -> None:
    """After the last bye nothing is sent; after stop no task, timer or listener is left."""
    await desk.bridge.hear({"type": "hello", "view": "v"})
    await desk.bridge.hear({"type": "bye", "view": "v"})
    desk.sent.clear()
    await desk.client.create("pods", Pod("a", image="nginx"))
    await asyncio.sleep(0.15)
    assert desk.sent == []
    await desk.bridge.stop()
    assert not desk.bridge.running
    assert desk.components["etcd"].on_state == []
    names = [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("informer/")]
    assert names == []
