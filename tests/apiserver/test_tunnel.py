"""Tunnels to kubelets, pods and services, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

from kubelab.client.outbound import Outbound
from kubelab.client.pki import Pki
from kubelab.client.tunnel import Target, Tunnel
from kubelab.control_plane.apiserver.connect import Connect, kubelet_of
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, Request, Response
from kubelab.machinery.routes import request_info
from kubelab.units.pods.connections import check_log_options, container_of, split_name

PKI = Pki.open(None)


class Kubelet:
    """Echoes WebSockets and raw upgrades, serves a log, refuses what is called "no"."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], str]] = []

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        subject = str(tls.getpeercert()["subject"]) if tls is not None else ""
        self.seen.append((request.raw_path, dict(request.headers), subject))
        if "/no" in request.path:
            return web.Response(status=404, text="container not found\n")
        if request.headers.get("Upgrade") == "websocket":
            return await self._echo_websocket(request)
        if request.headers.get("Upgrade") == "SPDY/3.1":
            return await self._echo_raw(request)
        if request.path.startswith("/containerLogs"):
            return await self._log(request)
        return web.Response(text=f"{request.method} {request.raw_path} {(await request.read()).decode()}",
                            headers={"Location": "/elsewhere", "X-App": "yes"})

    async def _echo_websocket(self, request: BaseRequest) -> web.StreamResponse:
        stream = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await stream.prepare(request)
        async for message in stream:
            if message.data == b"bye":
                break
            await stream.send_bytes(message.data)
        await stream.close()
        return stream

    async def _echo_raw(self, request: BaseRequest) -> web.StreamResponse:
        """Say 101 and echo until the client hangs up, as a SPDY server does."""
        transport, ended = request.transport, asyncio.get_running_loop().create_future()
        assert transport is not None

        class Echo:
            def feed_data(self, data: bytes) -> tuple[bool, bytes]:
                transport.write(data)
                return False, b""

            def feed_eof(self) -> None:
                ended.set_result(None)

        transport.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhi ")
        request.protocol.set_parser(Echo())  # type: ignore[arg-type]
        await ended
        raise ConnectionResetError

    async def _log(self, request: BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_type = "text/plain"
        await answer.prepare(request)
        for line in (b"one\n", b"two\n"):
            await answer.write(line)
        return answer


class World:
    """A kubelet, an API server in front of it, and the objects between them."""

    def __init__(self, kubelet: Kubelet, kubelet_port: int, pod_port: int) -> None:
        self.kubelet = kubelet
        node = {"metadata": {"name": "n1"}, "status": {
            "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}}}}
        pod = {"metadata": {"name": "web"}, "spec": {"nodeName": "n1", "containers": [
            {"name": "c", "ports": [{"containerPort": pod_port}]}]}, "status": {"podIP": "127.0.0.1"}}
        self.objects: dict[tuple[str, str, str], Obj] = {
            ("nodes", "", "n1"): node, ("pods", "shop", "web"): pod,
            ("pods", "shop", "new"): {"metadata": {"name": "new"}, "spec": {"containers": [{"name": "c"}]}},
            ("services", "shop", "svc"): {"spec": {"ports": [{"name": "http", "port": 80}]}},
            ("endpoints", "shop", "svc"): {"subsets": [{"addresses": [{"ip": "127.0.0.1"}],
                                                        "ports": [{"name": "http", "port": pod_port}]}]}}
        self.outbound = Outbound()
        tunnel = Tunnel(self.outbound, lambda: PKI.client_context("kube-apiserver-kubelet-client", ["system:masters"]))
        self.connect = Connect(tunnel, lambda *key: self.objects.get(key))
        self.url = ""

    async def handle(self, wire: BaseRequest) -> Any:
        path, _, _ = wire.raw_path.partition("?")
        headers = {name.lower(): value for name, value in wire.headers.items()}
        request = Request(wire.method, path, dict(wire.query), headers, await wire.read(), wire=wire)
        try:
            response = await self.connect.serve(request, request_info(wire.method, path, request.query))
        except ApiError as error:
            return web.json_response(error.status, status=error.code)
        if response.answered is not None:
            return response.answered
        body = response.body if isinstance(response.body, bytes) else b""
        if response.chunks is not None:
            body = b"".join([chunk async for chunk in response.chunks])
        return web.Response(status=response.status, body=body, headers=response.headers)

    async def ask(self, path: str, query: dict[str, str] | None = None) -> Response:
        """Send a request in process."""
        request = Request("GET", path, query or {}, {})
        return await self.connect.serve(request, request_info("GET", path, request.query))


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    """Run a kubelet over TLS, an application in a pod, and an API server's connecting part in front of both."""
    kubelet = Kubelet()
    secure, plain = TestServer(web.Application()), TestServer(web.Application())
    for server in (secure, plain):
        server.app.router.add_route("*", "/{path:.*}", kubelet.handle)
    await secure.start_server(ssl=PKI.server_context(["n1"], ["127.0.0.1"]))
    await plain.start_server()
    world = World(kubelet, int(secure.port or 0), int(plain.port or 0))
    front = Server(world.handle, handler_cancellation=True)
    listener = await asyncio.get_running_loop().create_server(front, "127.0.0.1", 0)
    world.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield world
    finally:
        listener.close()
        await front.shutdown(0.1)
        await world.outbound.close()
        await secure.close()
        await plain.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as made:
        yield made


PODS = "/api/v1/namespaces/shop/pods"


async def test_exec_is_a_pipe(world: World) -> None:
    """A WebSocket reaches the kubelet with every command word, as the API server, and without the caller's token."""
    async with ClientSession(headers={"Authorization": "Bearer mine"}) as session:
        async with session.ws_connect(f"{world.url}{PODS}/web/exec?command=sh&command=-c&stdin=true&tty=false",
                                      protocols=("v5.channel.k8s.io",)) as stream:
            assert stream.protocol == "v5.channel.k8s.io"
            for size in (1, 1000, 300_000):
                await stream.send_bytes(b"\x00" * size)
                message = await stream.receive()
                assert (message.type, len(message.data)) == (WSMsgType.BINARY, size)
            await stream.send_bytes(b"bye")
            assert (await stream.receive()).type is WSMsgType.CLOSE
    path, headers, subject = world.kubelet.seen[-1]
    assert path == "/exec/shop/web/c?input=1&command=sh&command=-c"
    assert "Authorization" not in headers
    assert "kube-apiserver-kubelet-client" in subject


async def test_port_forward_over_a_bare_upgrade(world: World) -> None:
    """A POST that upgrades to SPDY becomes a pipe too; bytes that came with the 101 are not lost."""
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {PODS}/web/portforward HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                 "Content-Length: 0\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    writer.write(b"there")
    assert await reader.readexactly(8) == b"hi there"
    big = b"x" * 2_000_000
    writer.write(big)
    assert await reader.readexactly(len(big)) == big
    writer.close()
    assert world.kubelet.seen[-1][0] == "/portForward/shop/web?"


def test_the_same_on_uvloop() -> None:
    """Pipes work on uvloop as well, whose transports are not asyncio's."""
    uvloop = pytest.importorskip("uvloop")

    async def scenario() -> None:
        async with running() as world:
            await test_exec_is_a_pipe(world)
            await test_port_forward_over_a_bare_upgrade(world)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_refused_upgrade_is_no_tunnel(world: World) -> None:
    """When the kubelet does not say 101, its answer is passed on and the connection is not given away."""
    world.objects["pods", "shop", "no"] = {**world.objects["pods", "shop", "web"], "metadata": {"name": "no"}}
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    ask = f"GET {PODS}/no/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n".encode()
    for _ in range(2):  # the second request is the API server's again
        writer.write(ask)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 ")
        assert await reader.readexactly(20) == b"container not found\n"
    assert len(world.kubelet.seen) == 2
    writer.close()


async def test_logs(world: World) -> None:
    """A log is fetched from the kubelet with the options it knows; a pod without a node has an empty one."""
    answer = await world.ask(f"{PODS}/web/log", {"tailLines": "5", "follow": "true", "container": "c", "pretty": "x"})
    assert answer.chunks is not None
    assert b"".join([chunk async for chunk in answer.chunks]) == b"one\ntwo\n"
    assert world.kubelet.seen[-1][0] == "/containerLogs/shop/web/c?follow=true&tailLines=5"
    assert (await world.ask(f"{PODS}/new/log")).body == b""
    with pytest.raises(ApiError, match="container x is not valid for pod web"):
        await world.ask(f"{PODS}/web/log", {"container": "x"})


async def test_what_cannot_be_reached_is_said(world: World) -> None:
    """A missing pod, a pod without node, a request without upgrade and a dead kubelet each have their own answer."""
    for path, code, words in ((f"{PODS}/none/log", 404, 'pods "none" not found'),
                              (f"{PODS}/new/exec", 400, "pod new does not have a host assigned"),
                              (f"{PODS}/web/exec", 400, "Upgrade request required")):
        with pytest.raises(ApiError, match=words) as refused:
            await world.ask(path)
        assert refused.value.code == code


DEAD = r"dial tcp 127\.0\.0\.1:1: connect: connection refused"
ANSWERING_NOBODY: list[tuple[Obj, str]] = [
    ({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
      "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}, DEAD),
    ({"addresses": [{"type": "InternalIP", "address": "not an address"}]}, "dial tcp not an address:10250: "),
    ({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
      "daemonEndpoints": {"kubeletEndpoint": {"Port": 1 << 40}}}, f"dial tcp 127.0.0.1:{1 << 40}: "),
    ({"addresses": [{"type": "Lab", "address": "x"}]}, r"no preferred addresses found; known addresses: \[{Lab x}\]"),
    ({}, r"no preferred addresses found; known addresses: \[\]")]


@pytest.mark.parametrize(("status", "words"), ANSWERING_NOBODY)
async def test_a_node_without_a_reachable_kubelet_is_unavailable(world: World, status: Obj, words: str) -> None:
    """Its proxy and the logs of its pods say 503 and why, whatever its status calls its address."""
    world.objects["nodes", "", "n1"]["status"] = status
    for path in ("/api/v1/nodes/n1/proxy/healthz", f"{PODS}/web/log"):
        with pytest.raises(ApiError, match=words) as refused:
            await world.ask(path)
        assert (refused.value.code, refused.value.reason) == (503, "ServiceUnavailable")


async def test_a_pod_or_service_that_does_not_answer_is_unavailable(world: World) -> None:
    """A closed port is 503 with the words of upstream; an address that is no pod's is never asked."""
    world.objects["endpoints", "shop", "svc"]["subsets"][0]["ports"][0]["port"] = 1
    for path in (f"{PODS}/web:1/proxy/", "/api/v1/namespaces/shop/services/svc/proxy/"):
        with pytest.raises(ApiError, match=f"error trying to reach service: {DEAD}") as refused:
            await world.ask(path)
        assert refused.value.code == 503
    for ip in ("", "169.254.169.254", "localhost", "0.0.0.0"):
        world.objects["pods", "shop", "web"]["status"]["podIP"] = ip
        with pytest.raises(ApiError, match="address not allowed") as refused:
            await world.ask(f"{PODS}/web/proxy/")
        assert refused.value.code == 400


async def test_a_stream_to_a_dead_kubelet_says_so(world: World) -> None:
    """exec is told which backend could not be dialled, as kubectl shows it."""
    world.objects["nodes", "", "n1"]["status"] = ANSWERING_NOBODY[0][0]
    async with ClientSession() as session, session.get(f"{world.url}{PODS}/web/exec?command=x", headers={
            "Connection": "Upgrade", "Upgrade": "SPDY/3.1"}) as answer:
        assert answer.status == 500 and "error dialing backend: dial tcp 127.0.0.1:1" in await answer.text()


@pytest.mark.parametrize("where", ["pods/web", "services/svc", "services/http:svc:80", "services/svc:http"])
async def test_proxy(world: World, where: str) -> None:
    """Pods and services answer through the API server: verb, path, query and body arrive, Location leads back."""
    url = f"{world.url}/api/v1/namespaces/shop/{where}/proxy"
    async with ClientSession() as session, session.put(f"{url}/a%20b/c?x=1&x=2", data=b"body",
                                                       headers={"Authorization": "Bearer mine"}) as answer:
        assert await answer.text() == "PUT /a%20b/c?x=1&x=2 body"
        assert answer.headers["X-App"] == "yes"
        assert answer.headers["Location"].endswith("/proxy/elsewhere")
    assert "Authorization" not in world.kubelet.seen[-1][1]


async def test_proxy_details(world: World) -> None:
    """A missing slash is redirected, a node is proxied to its kubelet, and what is not there is 503 or 400."""
    base = "/api/v1/namespaces/shop"
    redirect = await world.ask(f"{base}/pods/web/proxy")
    assert (redirect.status, redirect.headers["location"]) == (301, f"{base}/pods/web/proxy/")
    answer = await world.ask("/api/v1/nodes/n1/proxy/healthz")
    assert answer.chunks is not None
    assert b"".join([chunk async for chunk in answer.chunks]) == b"GET /healthz "
    world.objects["endpoints", "shop", "svc"] = {}
    for path, code, words in ((f"{base}/services/svc/proxy/", 503, 'no endpoints available for service "svc"'),
                              (f"{base}/services/svc:81/proxy/", 503, 'no service port 81 found for service "svc"'),
                              (f"{base}/services/a:b:c:d/proxy/", 400, 'invalid service request "a:b:c:d"')):
        with pytest.raises(ApiError, match=words) as refused:
            await world.ask(path)
        assert refused.value.code == code


async def test_a_websocket_through_the_pod_proxy(world: World) -> None:
    """An application's own WebSocket passes the proxy."""
    async with ClientSession() as session, session.ws_connect(f"{world.url}{PODS}/web/proxy/ws") as stream:
        await stream.send_bytes(b"hello")
        assert (await stream.receive()).data == b"hello"


def test_which_container() -> None:
    """One container needs no name; of several, the choices are listed."""
    pod: Obj = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],
                                                    "initContainers": [{"name": "i"}]}}
    assert container_of(pod, "i") == "i"
    with pytest.raises(ApiError) as refused:
        container_of(pod, "")
    assert refused.value.message == ("a container name must be specified for pod p, choose one of: [a b] or one of the "
                                     "init containers: [i]")


@pytest.mark.parametrize(("options", "words"), [
    ({"tailLines": "-1"}, 'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than or equal'),
    ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
    ({"sinceTime": "x", "sinceSeconds": "1"}, "sinceTime: Forbidden: at most one of"),
    ({"tailLines": "many"}, "invalid syntax")])
def test_log_options(options: dict[str, str], words: str) -> None:
    """Numbers that make no sense are refused with their field."""
    with pytest.raises(ApiError, match=words):
        check_log_options("p", options)


def test_names_and_addresses() -> None:
    """`scheme:name:port` in its three forms, and a node's address by preference."""
    read: Callable[[str], tuple[str, str, str]] = lambda text: split_name(text, "pod")  # noqa: E731
    assert [read("a"), read("a:1"), read("https:a:1")] == [("", "a", ""), ("", "a", "1"), ("https", "a", "1")]
    node: Obj = {"status": {"addresses": [{"type": "Hostname", "address": "h"}]}}
    assert kubelet_of(node) == Target("h", 10250, tls=True, trusted=True)
    with pytest.raises(ApiError, match="no preferred addresses found"):
        kubelet_of({"status": {}})
