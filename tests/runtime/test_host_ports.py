"""hostPort without an engine: a relay for each port of a sandbox."""

from __future__ import annotations

import asyncio
import socket

import pytest

from kubelab.machinery.clock import RealClock
from kubelab.node.runtime.host_ports import HostPorts
from kubelab.node.runtime.protocol import PodRef, PortMapping, RuntimeFailure, Sandbox

POD = Sandbox("s1", PodRef("default", "web", "u1", "node-1"), "127.0.0.2")


async def test_a_host_port_leads_to_the_pod_as_long_as_its_sandbox_stands() -> None:
    """What comes to the node's port arrives at the pod's; a port that is taken is refused; closing frees it."""
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"from the pod: " + await reader.read(100))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.2", 0)
    mapping = PortMapping(server.sockets[0].getsockname()[1], _free_port())
    ports = HostPorts("127.0.0.3", 0, RealClock())
    await ports.open(POD, (mapping, PortMapping(81)))
    reader, writer = await asyncio.open_connection("127.0.0.3", mapping.host_port)
    writer.write(b"hello")
    assert await reader.read() == b"from the pod: hello"
    with pytest.raises(RuntimeFailure, match=f"host port 127.0.0.3:{mapping.host_port}/TCP: Address already in use"):
        await ports.open(Sandbox("s2", POD.pod, "127.0.0.4"), (mapping,))
    ports.close("s1")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.3", mapping.host_port)
    writer.close()
    server.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.3", 0))
        return int(sock.getsockname()[1])
