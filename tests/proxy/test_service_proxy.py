"""kube-proxy: ClusterIPs and NodePorts that answer, with the pods that are ready at that moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest


async def test_connections_go_round(world: Any) -> None:
    """Connections are spread evenly over the ready pods, and counted."""
    for pod in range(3):
        await world.backend(pod)
    address = await world.service("web", [0, 1, 2])
    names = Counter([await world.name_at(address) for _ in range(9)])
    assert names == {"pod-0": 3, "pod-1": 3, "pod-2": 3}
    counted = world.proxy.counters.services["default/web"]
    assert counted.connections == 9 and counted.bytes_out == 9 * 6
    assert [entry.verb for entry in world.journal.entries() if entry.subject == "services/default/web"
            and entry.verb == "connect"]


async def test_no_endpoints_refuse(world: Any) -> None:
    """A Service without ready pods refuses at once; it answers as soon as there is one, and refuses again without."""
    await world.backend(0)
    address = await world.service("web", [])
    with pytest.raises(ConnectionRefusedError):
        await world.name_at(address)
    await world.set_pods("web", [0])
    assert await world.name_at(address) == "pod-0"
    await world.set_pods("web", [0], conditions={0: {"ready": False}})
    with pytest.raises(ConnectionRefusedError):
        await world.name_at(address)


async def test_a_pod_that_ends_keeps_its_connections(world: Any) -> None:
    """An open connection outlives its endpoint's removal; who still serves stands in while nobody is ready."""
    for pod in range(2):
        await world.backend(pod)
    address = await world.service("web", [0])
    reader, writer = await asyncio.open_connection(*address)
    assert await reader.readline() == b"pod-0\n"
    await world.set_pods("web", [1])
    assert await world.name_at(address) == "pod-1"
    writer.write(b"still here\n")
    assert await reader.readline() == b"still here\n"
    writer.close()
    ending = {"ready": False, "serving": True, "terminating": True}
    await world.set_pods("web", [0], conditions={0: ending})
    assert await world.name_at(address) == "pod-0"


async def test_a_dead_endpoint_costs_nobody_a_request(world: Any) -> None:
    """When an endpoint refuses, the connection is offered to the next one before the client notices."""
    await world.backend(1)
    address = await world.service("web", [0, 1])  # nobody listens at pod 0
    assert {await world.name_at(address) for _ in range(4)} == {"pod-1"}
    await world.set_pods("web", [0])
    with pytest.raises(ConnectionResetError):
        await world.name_at(address)


async def test_half_closed_connections_work(world: Any) -> None:
    """A client that has said everything still gets the whole answer, however long."""

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read()
        writer.write(b"x" * 3_000_000 + str(len(said)).encode())
        await writer.drain()
        writer.close()

    await world.backend(0, count)
    address = await world.service("web", [0])
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"y" * 2_000_000)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    assert len(answer) == 3_000_007 and answer.endswith(b"2000000")
    writer.close()
    await writer.wait_closed()
    counter = world.proxy.counters.services["default/web"]
    assert (counter.bytes_in, counter.bytes_out, counter.active) == (2_000_000, 3_000_007, 0)


async def test_a_slow_reader_holds_the_writer(world: Any) -> None:
    """Back-pressure: a client that does not read makes the pod wait instead of filling the proxy's memory."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < 200_000_000:
            writer.write(b"z" * 65536)
            await writer.drain()
            sent += 65536

    await world.backend(0, flood)
    address = await world.service("web", [0])
    _, writer = await asyncio.open_connection(*address, limit=1024)
    before = -1
    while sent != before:  # until it stands still
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 50_000_000
    writer.transport.abort()


async def test_client_ip_affinity(world: Any) -> None:
    """With sessionAffinity ClientIP a client stays with its pod; another client may get another one."""
    for pod in range(3):
        await world.backend(pod)
    address = await world.service("web", [0, 1, 2], sessionAffinity="ClientIP")
    clients = [world.ip(pod) for pod in range(10, 16)]
    first = {client: await world.name_at(address, client) for client in clients}
    assert len(set(first.values())) == 3
    for client in clients:
        assert await world.name_at(address, client) == first[client]
    gone = first[clients[0]]
    await world.set_pods("web", [pod for pod in range(3) if f"pod-{pod}" != gone])
    assert await world.name_at(address, clients[0]) != gone


async def test_pods_see_who_calls(world: Any) -> None:
    """A pod sees the client pod's address, as behind a real kube-proxy, not the proxy's."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("peername")[0].encode() + b"\n")
        writer.close()

    await world.backend(0, peer)
    address = await world.service("web", [0])
    assert await world.name_at(address, world.ip(7)) == world.ip(7)


async def test_node_ports(world: Any) -> None:
    """A NodePort answers on each node's address and, when it is free there, on 127.0.0.1."""
    await world.backend(0)
    await world.service("web", [0], type="NodePort")
    port = (await world.client.get("services", "web"))["spec"]["ports"][0]["nodePort"]
    for ip in (world.plan.node_ip(0), "127.0.0.1"):
        assert await world.name_at((ip, port)) == "pod-0"


async def test_udp_flows(world: Any) -> None:
    """Datagrams of one client go to one pod and the answers come back; when its pod goes the next one answers."""
    for pod in range(2):
        await world.udp_backend(pod)
    address = await world.service("dns", [0, 1], protocol="UDP", port=5353)
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            answers.put_nowait(data)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=address)
    first = []
    for _ in range(3):
        transport.sendto(b"q")
        first.append(await asyncio.wait_for(answers.get(), 5))
    assert len(set(first)) == 1
    gone = int(first[0][4:5])
    await world.set_pods("dns", [1 - gone], protocol="UDP", port=5353)
    transport.sendto(b"q")
    assert await asyncio.wait_for(answers.get(), 5) == f"pod-{1 - gone}:q".encode()
    transport.close()


async def test_a_deleted_service_is_gone(world: Any) -> None:
    """Deleting a Service closes its sockets; so does stopping the proxy, and a start opens them again."""
    await world.backend(0)
    address = await world.service("web", [0])
    kept = await world.service("kept", [0])
    await world.client.delete("services", "web")
    await world.settled()
    with pytest.raises(ConnectionRefusedError):
        await world.name_at(address)
    await world.proxy.stop()
    with pytest.raises(ConnectionRefusedError):
        await world.name_at(kept)
    await world.proxy.start()
    await world.settled()
    assert await world.name_at(kept) == "pod-0"


async def test_a_taken_port_is_an_event(world: Any) -> None:
    """An address that cannot be listened on is an Event on the Service, and works once it is free."""
    await world.backend(0)
    await world.service("web", [0], type="NodePort")
    service = await world.client.get("services", "web")
    port = service["spec"]["ports"][0]["nodePort"]
    await world.client.delete("services", "web")
    await world.settled()
    blocker = await asyncio.start_server(lambda r, w: w.close(), world.plan.node_ip(0), port)
    await world.client.create("services", {"metadata": {"name": "web"}, "spec": {
        "type": "NodePort", "ports": [{"port": 8000, "targetPort": 8080, "nodePort": port}]}}, "default")
    await world.settled()
    await world.proxy._recorder.flush()
    events = (await world.client.list("events", "default"))["items"]
    message = next(e["message"] for e in events if e["reason"] == "FailedToListen")
    assert message == f"cannot listen on {world.plan.node_ip(0)}:{port}/TCP: Address already in use"
    blocker.close()
    await blocker.wait_closed()
    await world.proxy.sync("default/web")
    assert await world.name_at((world.plan.node_ip(0), port)) == "pod-0"


async def test_real_address(world: Any) -> None:
    """`real_address` says where a Service port can be connected to, and says what is missing when there is none."""
    ip, _ = await world.service("web", [0])
    assert world.proxy.real_address("default", "web", 8000) == (ip, 8000)
    with pytest.raises(LookupError, match='there is no Service "nope"'):
        world.proxy.real_address("default", "nope", 80)
    with pytest.raises(LookupError, match="has no cluster IP and port 99"):
        world.proxy.real_address("default", "web", 99)
