"""HTTPS: requests, errors, watches and streams over a real socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from kubelab.client import kubeconfig
from kubelab.client.client import Client
from kubelab.client.pki import Pki
from kubelab.client.transport import Https, InProcess, Unreachable, lines
from kubelab.machinery.errors import ApiError, not_found
from kubelab.machinery.request import Request, Response, User


async def _list(request: web.Request) -> web.StreamResponse:
    if request.query.get("watch"):
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        for i in range(3):
            obj = {"metadata": {"name": f"p{i}", "resourceVersion": str(i)}, "text": "ä" * 100}
            line = orjson.dumps({"type": "ADDED", "object": obj}) + b"\n"
            await answer.write(line[:50])
            await answer.write(line[50:])
        return answer
    items = [{"metadata": {"name": "p", "resourceVersion": "1"}, "seen": request.headers.get("Authorization", "")}]
    return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"},
                              "items": items})


async def _missing(request: web.Request) -> web.Response:
    return web.json_response(not_found("", "pods", "x").status, status=404)


async def _create(request: web.Request) -> web.Response:
    assert request.content_type == "application/json"
    return web.json_response(await request.json(), status=201)


async def _log(request: web.Request) -> web.Response:
    return web.Response(text="one\ntwo\n")


async def _exec(request: web.Request) -> web.StreamResponse:
    if request.query.getall("command") == ["no"]:
        return web.json_response(ApiError(400, "BadRequest", "container c is not valid for pod p").status, status=400)
    socket_ = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
    await socket_.prepare(request)
    await socket_.send_bytes(b"\x01" + " ".join(request.query.getall("command")).encode())
    await socket_.close()
    return socket_


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_get("/api/v1/pods", _list)
    app.router.add_get("/api/v1/namespaces/default/pods/x", _missing)
    app.router.add_post("/api/v1/namespaces/default/pods", _create)
    app.router.add_get("/api/v1/namespaces/default/pods/p/log", _log)
    app.router.add_get("/api/v1/namespaces/default/pods/p/exec", _exec)
    async with TestServer(app) as made:
        yield made


@pytest.fixture
async def client(server: TestServer) -> AsyncIterator[Client]:
    made = Client(Https(str(server.make_url("")), token="t0ken"))
    yield made
    await made.close()


async def test_verbs(client: Client) -> None:
    """JSON goes out and comes back; items of a list are told their kind; a token is sent."""
    found = await client.list("pods")
    assert found["items"][0]["kind"] == "Pod"
    assert found["items"][0]["seen"] == "Bearer t0ken"
    assert (await client.create("pods", {"metadata": {"name": "n"}}))["metadata"] == {"name": "n"}
    with pytest.raises(ApiError, match='pods "x" not found') as missing:
        await client.get("pods", "x")
    assert missing.value.details == {"name": "x", "kind": "pods"}


async def test_a_watch_over_the_wire(client: Client) -> None:
    """Lines cut anywhere come out as whole events, and the end of the stream ends the loop."""
    names = [event.obj["metadata"]["name"] async for event in client.watch("pods")]
    assert names == ["p0", "p1", "p2"]


async def test_raw_stream_and_websocket(client: Client) -> None:
    """raw gives JSON or bytes, stream gives chunks, websocket gives frames; a refusal says why."""
    assert (await client.raw("GET", "/api/v1/pods?limit=1"))["kind"] == "PodList"
    path = "/api/v1/namespaces/default/pods/p"
    assert await client.raw("GET", f"{path}/log") == b"one\ntwo\n"
    assert b"".join([chunk async for chunk in client.stream("GET", f"{path}/log")]) == b"one\ntwo\n"
    stream = await client.websocket(f"{path}/exec?command=echo&command=a%20b", ["v5.channel.k8s.io"])
    message = await stream.receive()
    assert (message.type, message.data) == (WSMsgType.BINARY, b"\x01echo a b")
    await stream.close()
    with pytest.raises(ApiError, match="container c is not valid for pod p"):
        await client.websocket(f"{path}/exec?command=no", ["v5.channel.k8s.io"])


async def test_nobody_there() -> None:
    """A refused connection says where it went and what to do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = Client(Https(f"http://127.0.0.1:{port}"))
    with pytest.raises(Unreachable, match="kubelab up"):
        await client.list("pods")
    await client.close()


async def test_client_certificates_from_a_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig written for a cluster's CA makes a client that the server knows by its certificate."""
    pki = Pki.open(None)

    async def who(request: web.Request) -> web.Response:
        assert request.transport is not None
        subject = request.transport.get_extra_info("ssl_object").getpeercert()["subject"]
        return web.json_response({"kind": "X", "subject": str(subject)})

    app = web.Application()
    app.router.add_get("/version", who)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=pki.server_context(["localhost"], ["127.0.0.1"]))
    path = tmp_path / "config"
    kubeconfig.write(path, f"https://127.0.0.1:{server.port}", pki.ca_pem, *pki.issue_client("ann", ["devs"]))
    client = kubeconfig.connect(path)
    said = (await client.raw("GET", "/version"))["subject"]
    assert "ann" in said and "devs" in said
    await client.close()
    stranger = Client(Https(f"https://127.0.0.1:{server.port}"))
    with pytest.raises(Unreachable, match="right kubeconfig"):
        await stranger.raw("GET", "/version")
    await stranger.close()
    await server.close()


async def test_in_process_streams() -> None:
    """In process a body that comes in chunks is passed through, and a plain one is one chunk."""
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def handle(request: Request) -> Response:
        return Response(200, b"plain") if request.path == "/plain" else Response(200, chunks=chunks())

    client = Client(InProcess(handle, User("u")))
    assert [chunk async for chunk in client.stream("GET", "/log")] == [b"one", b"two"]
    assert [chunk async for chunk in client.stream("GET", "/plain")] == [b"plain"]
    assert await client.raw("GET", "/log") == b"onetwo"
    with pytest.raises(Unreachable, match="kubeconfig"):
        await client.websocket("/exec", ())


async def test_lines() -> None:
    """Lines come whole whatever the chunks were; empty ones and an unfinished last one are dropped."""
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"a", b"b\nc", b"", b"d\n\ne\nf", b"g"):
            yield chunk

    assert [line async for line in lines(chunks())] == [b"ab\n", b"cd\n", b"e\n"]
