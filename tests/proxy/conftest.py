"""An API server, a block of addresses, and a proxy in front of small servers that say who they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from kubelab import host
from kubelab.client.client import Client
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import User
from kubelab.node.proxy import ServiceProxy


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self.name = name

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(self.name.encode() + b":" + data, addr)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


class World:
    """Services and their endpoints in a few words."""

    def __init__(self, client: Client, plan: host.AddressPlan, journal: Journal, stack: AsyncExitStack) -> None:
        self.client, self.plan, self.stack = client, plan, stack
        self.proxy = ServiceProxy(client, clock=RealClock(), journal=journal, node_ips=[plan.node_ip(0)],
                                  lowest_port=host.lowest_port())
        self.journal = journal

    def ip(self, pod: int) -> str:
        return self.plan.pod_cidr(0).removesuffix("0/24") + str(pod + 2)

    async def backend(self, pod: int, serve: Callable[..., Any] | None = None, port: int = 8080) -> asyncio.Server:
        """Start a server on the address of pod number `pod`; by default it says its number and echoes."""

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"pod-{pod}\n".encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve or echo, self.ip(pod), port)
        self.stack.callback(server.close)
        return server

    async def udp_backend(self, pod: int, port: int = 5353) -> Any:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(f"pod-{pod}"), local_addr=(self.ip(pod), port))
        self.stack.callback(transport.close)
        return transport

    async def service(self, name: str, pods: list[int], *, protocol: str = "TCP", port: int = 8080,
                      **spec: Any) -> tuple[str, int]:
        """Create a Service on port 8000 with these ready pods; return where it answers."""
        ports = [{"port": 8000, "targetPort": port, "protocol": protocol}]
        made = await self.client.create("services", {"metadata": {"name": name}, "spec": {"ports": ports} | spec},
                                        "default")
        await self.client.create("endpointslices", self.slice(name, pods, protocol, port), "default")
        await self.settled()
        return made["spec"]["clusterIP"], 8000

    def slice(self, name: str, pods: list[int], protocol: str = "TCP", port: int = 8080,
              conditions: dict[int, dict[str, bool]] | None = None) -> dict[str, Any]:
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": f"{name}-1", "namespace": "default",
                             "labels": {"kubernetes.io/service-name": name}},
                "ports": [{"port": port, "protocol": protocol}],
                "endpoints": [{"addresses": [self.ip(pod)], "conditions": (conditions or {}).get(pod, {"ready": True}),
                               "targetRef": {"kind": "Pod", "namespace": "default", "name": f"pod-{pod}"}}
                              for pod in pods]}

    async def set_pods(self, name: str, pods: list[int], **options: Any) -> None:
        await self.client.patch("endpointslices", f"{name}-1", {"endpoints": self.slice(name, pods, **options)[
            "endpoints"]}, "default")
        await self.settled()

    async def settled(self) -> None:
        """Wait until the proxy has seen all that was written, and has nothing left to do."""
        kinds = ("services", "endpointslices")
        written = {item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
                   for kind in kinds for item in (await self.client.list(kind))["items"]}
        informers = (self.proxy._services, self.proxy._slices)

        def seen() -> bool:
            held = {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for i in informers for o in i.list()}
            queue = self.proxy._queue
            return held == written and all(i.synced for i in informers) and not queue._dirty and not queue._processing

        await until(seen)

    @staticmethod
    async def name_at(address: tuple[str, int], source: str = "127.0.0.1") -> str:
        """Connect and return the first line: who answered."""
        reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
        line = (await asyncio.wait_for(reader.readline(), 5)).decode().strip()
        writer.close()
        return line


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, journal, claim = RealClock(), Journal(), host.claim()
    etcd = EmbeddedEtcd(None, clock)
    api = ApiServer(etcd, clock=clock, journal=journal, service_cidr=claim.plan.service_cidr)
    await etcd.start()
    await api.start()
    async with AsyncExitStack() as stack:
        admin = User("kubernetes-admin", ("system:masters", "system:authenticated"))
        made = World(Client(InProcess(api.handle, admin)), claim.plan, journal, stack)
        await made.proxy.start()
        yield made
        await made.proxy.stop()
    await api.stop()
    await etcd.stop()
    claim.release()
