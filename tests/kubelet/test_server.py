from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from kubelab.client.pki import Pki
from kubelab.node.kubelet import spdy
from kubelab.node.kubelet.channels import exit_status
from kubelab.node.kubelet.log_route import log_options
from kubelab.node.kubelet.routes import HttpError
from kubelab.node.kubelet.server import KubeletServer
from kubelab.node.kubelet.spdy import Framer
from kubelab.node.runtime.hollow import HollowRuntime
from kubelab.node.runtime.protocol import RuntimeFailure

from .conftest import World, ready

PKI = Pki.open(None)


class Cat:
    """A process that says its name, then gives back what it is told, and ends with code 3."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.said.put_nowait((2, b"cat"))
        self.sizes: list[tuple[int, int]] = []
        self.sized = asyncio.Event()
        self.closed = asyncio.Event()

    async def write_stdin(self, data: bytes) -> None:
        self.said.put_nowait((1, data))

    async def close_stdin(self) -> None:
        self.said.put_nowait(None)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while (part := await self.said.get()) is not None:
            yield part

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))
        self.sized.set()

    async def wait(self) -> int:
        return 3

    async def close(self) -> None:
        self.closed.set()


class Echo:
    """A connection that gives back what it gets."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self, limit: int = 65536) -> bytes:
        return await self.queue.get()

    async def write(self, data: bytes) -> None:
        self.queue.put_nowait(data)

    async def close_write(self) -> None:
        self.queue.put_nowait(b"")

    async def close(self) -> None:
        """Nothing is held."""


class Speaking(HollowRuntime):
    """A hollow runtime whose exec runs `Cat` and whose ports echo."""

    @cached_property
    def cat(self) -> Cat:
        return Cat()

    async def exec(self, container_id: str, command: Any, *, tty: bool = False, stdin: bool = False) -> Any:
        if command[0] != "cat":
            raise RuntimeFailure("InternalError", f"exec: {command[0]}: not found")
        return self.cat

    async def port_forward(self, sandbox_id: str, port: int) -> Any:
        return Echo()


class Caller:
    """What the API server is to the kubelet."""

    def __init__(self, world: World, server: KubeletServer, session: aiohttp.ClientSession) -> None:
        self.world, self.server, self.session = world, server, session

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.server.port}{path}"

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url(path)) as answer:
            return answer.status, await answer.text()


def client_tls(user: str | None, *groups: str) -> ssl.SSLContext:
    return PKI.client_context(user, groups) if user else ssl.create_default_context(cadata=PKI.ca_pem.decode())


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    await world.kubelet.close()
    world.runtime = Speaking("node-1", world.clock)
    server = KubeletServer("127.0.0.1", 0, PKI.server_context(["node-1"], ["127.0.0.1"]))
    world.kubelet = world.make_kubelet(server=server)
    await world.kubelet.start()
    await world.run("web")
    await world.until("web", ready)
    connector = aiohttp.TCPConnector(ssl=client_tls("kube-apiserver-kubelet-client", "system:masters"))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Caller(world, server, session)


async def test_the_node_says_where_its_kubelet_listens(caller: Caller) -> None:
    """The API server finds the kubelet by the node's address and port."""
    node = await caller.world.admin.get("nodes", "node-1")
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == caller.server.port
    assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}


@pytest.mark.parametrize("user", [None, "system:node:node-2"])
async def test_only_the_api_server_is_answered(caller: Caller, user: str | None) -> None:
    """No certificate, or one of somebody else in the cluster, is 401."""
    connector = aiohttp.TCPConnector(ssl=client_tls(user, "system:nodes"))
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(caller.url("/pods")) as answer:
            assert answer.status == 401


async def test_without_tls_it_stays_on_loopback() -> None:
    """A server without a certificate never listens where others could reach it."""
    with pytest.raises(ValueError, match="needs TLS"):
        await KubeletServer("0.0.0.0", 0).start()


async def test_logs_come_as_text(caller: Caller) -> None:
    """The log of a container, whole or limited."""
    status, text = await caller.get("/containerLogs/default/web/c")
    assert (status, "no process runs behind it" in text) == (200, True)
    assert await caller.get("/containerLogs/default/web/c?limitBytes=6") == (200, "hollow")


@pytest.mark.parametrize(("path", "status", "message"), [
    ("/containerLogs/default/nope/c", 404, 'pod "nope" not found'),
    ("/containerLogs/default/web/x", 404, "container x is not valid for pod web"),
    ("/containerLogs/default/web/c?previous=true", 400, 'previous terminated container "c" in pod "web" not found'),
    ("/containerLogs/default/web/c?tailLines=x", 400, "invalid literal"),
    ("/nothing", 404, "404 page not found")])
async def test_what_is_not_there_is_said_so(caller: Caller, path: str, status: int, message: str) -> None:
    """Errors come with the status and words that the API server passes on."""
    code, text = await caller.get(path)
    assert (code, message in text) == (status, True)


async def test_exec_speaks_channels_and_ends_with_the_exit_code(caller: Caller) -> None:
    """Input, output, errors, sizes and the closing of input go by channels; the Status is last."""
    url = caller.url("/exec/default/web/c?command=cat&input=1&output=1&error=1")
    async with caller.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.send_bytes(b'\x04{"Width":80,"Height":24}')
        await socket.send_bytes(b"\x04nonsense")
        await socket.send_bytes(b"\x00hello")
        assert await socket.receive_bytes() == b"\x02cat"
        assert await socket.receive_bytes() == b"\x01hello"
        await socket.send_bytes(b"\xff\x00")
        last = await socket.receive_bytes()
        assert last[0] == 3
        assert orjson.loads(last[1:]) == exit_status(3)
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
    assert caller.world.runtime.cat.sizes == [(80, 24)]


async def spdy_connection(caller: Caller, path: str, protocols: str) -> tuple[asyncio.StreamReader, Any, bytes]:
    """Ask the kubelet to speak SPDY on this connection; return its ends and the answer's head."""
    tls = client_tls("kube-apiserver-kubelet-client", "system:masters")
    reader, writer = await asyncio.open_connection("127.0.0.1", caller.server.port, ssl=tls)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                 f"X-Stream-Protocol-Version: {protocols}\r\n\r\n".encode())
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def everything(reader: asyncio.StreamReader) -> dict[int, bytes]:
    """Read until the connection ends; return what each stream said."""
    back, said = Framer(), defaultdict[int, bytes](bytes)
    while data := await asyncio.wait_for(reader.read(65536), 5):
        for frame in back.feed(data):
            if frame.type == spdy.DATA:
                said[frame.stream_id] += frame.data
    return said


@pytest.mark.parametrize(("protocols", "ended"), [
    ("v5.channel.k8s.io, v4.channel.k8s.io", orjson.dumps(exit_status(3))),
    ("v2.channel.k8s.io", b"command terminated with non-zero exit code: exit status 3")])
async def test_exec_over_spdy_gives_each_channel_a_stream(caller: Caller, protocols: str, ended: bytes) -> None:
    """Older clients open a stream each for error, input and output; how the command ended comes on the first."""
    path = "/exec/default/web/c?command=cat&input=1&output=1&error=1"
    reader, writer, head = await spdy_connection(caller, path, protocols)
    assert b"X-Stream-Protocol-Version: " + protocols.split(", ")[-1].encode() in head
    client = Framer()
    for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")):
        writer.write(client.syn_stream(number, {"streamType": kind}))
    writer.write(client.syn_stream(9, {"streamType": "stdout"}))  # a second one is refused
    writer.write(spdy.data_frame(3, b"hello") + spdy.data_frame(3, b"", fin=True))
    said = await everything(reader)
    assert (said[1], said[5], said[7], said[9]) == (ended, b"hello", b"cat", b"")
    writer.close()


async def test_exec_over_spdy_sizes_the_terminal(caller: Caller) -> None:
    """With a terminal there is a stream of sizes, one JSON a line, and none of errors."""
    reader, writer, _ = await spdy_connection(caller, "/exec/default/web/c?command=cat&input=1&output=1&tty=1",
                                              "v4.channel.k8s.io")
    client = Framer()
    for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout"), (7, "resize")):
        writer.write(client.syn_stream(number, {"streamType": kind}))
    writer.write(spdy.data_frame(7, b'{"Width":100,"Hei') + spdy.data_frame(7, b'ght":30}\n{"Width":90,"Height":20}\n'))
    async with asyncio.timeout(5):
        await caller.world.runtime.cat.sized.wait()
    writer.write(spdy.data_frame(3, b"", fin=True))
    assert orjson.loads((await everything(reader))[1]) == exit_status(3)
    assert caller.world.runtime.cat.sizes == [(100, 30), (90, 20)]
    writer.close()


async def test_a_client_that_leaves_takes_its_command_with_it(caller: Caller) -> None:
    """When the connection breaks, the process that exec began is let go."""
    reader, writer, _ = await spdy_connection(caller, "/exec/default/web/c?command=cat&input=1&output=1",
                                              "v4.channel.k8s.io")
    client = Framer()
    for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout")):
        writer.write(client.syn_stream(number, {"streamType": kind}))
    writer.write(spdy.data_frame(3, b"hello"))
    async with asyncio.timeout(5):
        while b"hello" not in await reader.read(65536):
            continue
        writer.close()
        await caller.world.runtime.cat.closed.wait()


async def test_a_command_that_cannot_start_is_an_internal_error(caller: Caller) -> None:
    """The reason comes as a Status on the error channel, as kubectl expects it."""
    url = caller.url("/exec/default/web/c?command=nope&output=1")
    async with caller.session.ws_connect(url, protocols=["v4.channel.k8s.io"]) as socket:
        status = orjson.loads((await socket.receive_bytes())[1:])
    assert status["message"] == "Internal error occurred: error executing command in container: exec: nope: not found"


async def test_exec_wants_an_upgrade_and_a_running_container(caller: Caller) -> None:
    """A plain GET, an unknown subprotocol and an ended container are refused before the upgrade."""
    assert (await caller.get("/exec/default/web/c?command=cat"))[0] == 400
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await caller.session.ws_connect(caller.url("/exec/default/web/c?command=cat"), protocols=["x"])
    await caller.world.run("job", annotations={"hollow.kubelab.io/exit-code": "0"}, restartPolicy="Never")
    await caller.world.clock.step(0.1)
    await caller.world.until("job", lambda p: p["status"]["phase"] == "Succeeded")
    assert await caller.get("/exec/default/job/c?command=cat") == (500, 'container not found ("c")\n')
    assert await caller.get("/attach/default/job/c") == (500, "container c not found in pod job_default\n")


async def test_statistics_name_every_running_container(caller: Caller) -> None:
    """The summary and the resource metrics hold the pod's container."""
    _, text = await caller.get("/stats/summary")
    pods = orjson.loads(text)["pods"]
    assert [(p["podRef"]["name"], [c["name"] for c in p["containers"]]) for p in pods] == [("web", ["c"])]
    _, text = await caller.get("/metrics/resource")
    assert 'container_memory_working_set_bytes{container="c",namespace="default",pod="web"}' in text


def test_log_options_are_read_as_kubernetes_writes_them() -> None:
    """sinceSeconds counts back from now, sinceTime is a time."""
    assert log_options({"sinceSeconds": "10", "follow": "true"}, 100.0) == {
        "follow": True, "timestamps": False, "since_s": 90.0}
    assert log_options({"sinceTime": "1970-01-01T00:01:00Z"}, 0)["since_s"] == 60.0
    with pytest.raises(HttpError):
        log_options({"sinceTime": "yesterday"}, 0)


async def test_one_server_serves_many_hollow_nodes(world: World, tmp_path: Path) -> None:
    """The socket opens with the first kubelet and closes with the last."""
    server = KubeletServer("127.0.0.1", 0)
    await server.add(world.kubelet)
    other: Any = type("Other", (), {"node_name": "node-2", "worker": lambda *a: None})()
    await server.add(other)
    await world.run("web")
    await world.until("web", ready)
    assert server.target(["default", "web", "c"], container=True).kubelet is world.kubelet
    await server.remove(world.kubelet)
    assert server.state == "running"
    await server.remove(other)
    assert server.state == "stopped"


async def echo_over_spdy(send: Any, receive: Any) -> bytes:
    """Open a pair of streams, send 200 kB, and return what came back until the data stream ended."""
    client, back = Framer(), Framer()
    head = {"port": "80", "requestID": "0"}
    await send(client.syn_stream(1, head | {"streamType": "error"}) + spdy.data_frame(1, b"", fin=True)
               + client.syn_stream(3, head | {"streamType": "data"}))
    for i in range(20):
        await send(spdy.data_frame(3, bytes([i]) * 10_000, fin=i == 19))
    got = bytearray()
    while True:
        for frame in back.feed(await receive()):
            if frame.type == spdy.DATA and frame.stream_id == 3:
                got += frame.data
                if frame.fin:
                    return bytes(got)


WANTED = b"".join(bytes([i]) * 10_000 for i in range(20))


async def test_port_forward_inside_a_websocket(caller: Caller) -> None:
    """kubectl's first choice: SPDY bytes in binary messages."""
    url = caller.url("/portForward/default/web")
    async with caller.session.ws_connect(url, protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        assert socket.protocol == "SPDY/3.1+portforward.k8s.io"
        assert await asyncio.wait_for(echo_over_spdy(socket.send_bytes, socket.receive_bytes), 5) == WANTED


async def test_port_forward_on_the_bare_connection(caller: Caller) -> None:
    """kubectl's fall-back: the connection is upgraded to SPDY/3.1."""
    tls = client_tls("kube-apiserver-kubelet-client", "system:masters")
    reader, writer = await asyncio.open_connection("127.0.0.1", caller.server.port, ssl=tls)
    writer.write(b"POST /portForward/default/web HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                 b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"X-Stream-Protocol-Version: portforward.k8s.io" in head

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    assert await asyncio.wait_for(echo_over_spdy(send, lambda: reader.read(65536)), 5) == WANTED
    writer.close()
