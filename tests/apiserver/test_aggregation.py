"""The aggregation layer, with a real extension server behind a Service."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from kubelab.client.client import Client
from kubelab.client.pki import Pki, load_cert_chain
from kubelab.client.transport import Https, InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj, Request, User
from kubelab.units.discovery import from_list

from .conftest import ADMIN

GROUP = "shop.example.com"
HOST = "127.99.0.7"  # the addresses of our pods are of this kind
ROOT = f"/apis/{GROUP}/v1"
DESCRIBED = f"/openapi/v3/apis/{GROUP}/v1?hash=ABC"
CARTS = f"{ROOT}/namespaces/default/carts"
RESOURCES: list[Obj] = [
    {"name": "carts", "singularName": "cart", "namespaced": True, "kind": "Cart", "verbs": ["get", "list", "watch"],
     "shortNames": ["ct"]},
    {"name": "carts/status", "singularName": "", "namespaced": True, "kind": "Cart", "verbs": ["get"]}]
SELECTION = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
             "spec": {"ports": [{"name": "https", "port": 443}]}}


@dataclass
class Shop:
    """An extension server that takes the front proxy's word, and nobody else's."""

    pki: Pki
    front_ca_pem: bytes
    port: int = 0
    heard: list[Any] = field(default_factory=list)

    async def start(self) -> web.AppRunner:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_cert_chain(context, *self.pki.issue_server(["shop.default.svc"], []))
        context.load_verify_locations(cadata=self.front_ca_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0, ssl_context=context)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == ROOT:
            return web.json_response({"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1", "resources": RESOURCES})
        if request.path == "/openapi/v3":
            return web.json_response({"paths": {f"apis/{GROUP}/v1": {"serverRelativeURL": DESCRIBED}}})
        self.heard.append(request.headers)
        if "watch" in request.query:
            stream = web.StreamResponse(headers={"content-type": "application/json"})
            await stream.prepare(request)
            await stream.write(b'{"type":"ADDED","object":{"kind":"Cart"}}\n')
            return stream
        if request.path.endswith("/missing"):
            return web.json_response({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
                                      "message": "no such cart"}, status=404)
        return web.json_response({"kind": "CartList", "apiVersion": f"{GROUP}/v1", "metadata": {}, "items": []})


@dataclass
class Scene:
    server: ApiServer
    admin: Client
    wire: Client
    shop: Shop

    def service(self) -> Obj:
        bundle = base64.b64encode(self.shop.pki.ca_pem).decode()
        return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"v1.{GROUP}"},
                "spec": {"group": GROUP, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                         "caBundle": bundle, "service": {"name": "shop", "namespace": "default", "port": 443}}}

    async def register(self) -> None:
        slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                  "metadata": {"name": "shop-1", "labels": {"kubernetes.io/service-name": "shop"}},
                  "endpoints": [{"addresses": [HOST], "conditions": {"ready": True}}],
                  "ports": [{"name": "https", "port": self.shop.port, "protocol": "TCP"}]}
        await self.admin.create("services", SELECTION)
        await self.admin.create("endpointslices", slice_)
        await self.admin.create("apiservices", self.service())
        await self.becomes("True")

    async def becomes(self, status: str) -> Obj:
        """Wait for the condition Available, and return it."""
        async for event in self.admin.watch("apiservices", field_selector=f"metadata.name=v1.{GROUP}"):
            for condition in (event.obj.get("status") or {}).get("conditions") or ():
                if condition["type"] == "Available" and condition["status"] == status:
                    return dict(condition)
        raise AssertionError("the watch ended")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    clock, pki = RealClock(), Pki.open(None)
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    server = ApiServer(etcd, clock=clock, journal=Journal(), pki=pki)
    await server.start()
    shop = Shop(Pki.open(None), pki.front_proxy.ca_pem)
    runner = await shop.start()
    wire = Https(server.url, ssl_context=pki.client_context("kubernetes-admin", ("system:masters",)))
    admin = Client(InProcess(server.handle, ADMIN, "test"), user_agent="test")
    yield Scene(server, admin, Client(wire, user_agent="test"), shop)
    await wire.close()
    await server.stop()
    await runner.cleanup()
    await etcd.stop()


async def test_requests(scene: Scene) -> None:
    """A request reaches the extension server with who sent it, whatever the client says it is."""
    await scene.register()
    for client in (scene.admin, scene.wire):
        lies = {"x-remote-user": "mallory", "x-remote-group": "system:nodes", "authorization": "Bearer x"}
        answer = await client.transport.request(_request(CARTS, lies))
        assert answer.status == 200
        heard = scene.shop.heard.pop()
        assert heard.getall("X-Remote-User") == ["kubernetes-admin"]
        groups = heard.getall("X-Remote-Group")
        assert "system:masters" in groups and "system:nodes" not in groups
        assert "Authorization" not in heard
    with pytest.raises(ApiError) as refused:
        await scene.wire.raw("GET", f"{CARTS}/missing")
    assert (refused.value.code, refused.value.status["message"]) == (404, "no such cart")


async def test_watch(scene: Scene) -> None:
    """A watch streams through."""
    await scene.register()
    lines = [line async for line in scene.wire.transport.stream(_request(CARTS, watch="1"))]
    assert b"".join(lines) == b'{"type":"ADDED","object":{"kind":"Cart"}}\n'


async def test_authorisation(scene: Scene) -> None:
    """Who may not, is refused here; the extension server never hears of it."""
    await scene.register()
    eve = Client(InProcess(scene.server.handle, User("eve", ("system:authenticated",)), "test"), user_agent="test")
    with pytest.raises(ApiError) as refused:
        await eve.raw("GET", f"{ROOT}/carts")
    assert refused.value.code == 403 and not scene.shop.heard


async def test_discovery(scene: Scene) -> None:
    """The group stands in both forms of discovery, and goes with its APIService."""
    await scene.register()
    groups = await scene.wire.raw("GET", "/apis")
    assert GROUP in [group["name"] for group in groups["groups"]]
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    items = (await scene.wire.raw("GET", "/apis", accept=accept))["items"]
    found = next(item for item in items if item["metadata"]["name"] == GROUP)
    assert found["versions"][0]["resources"] == from_list(GROUP, "v1", RESOURCES)
    assert (await scene.wire.raw("GET", ROOT))["resources"] == RESOURCES
    index = (await scene.wire.raw("GET", "/openapi/v3"))["paths"]
    assert index[f"apis/{GROUP}/v1"] == {"serverRelativeURL": DESCRIBED}
    await scene.admin.delete("apiservices", f"v1.{GROUP}")
    groups = await scene.wire.raw("GET", "/apis")
    assert GROUP not in [group["name"] for group in groups["groups"]]


async def test_unavailable(scene: Scene) -> None:
    """Without a Service behind it the APIService says what is missing, and its requests are refused."""
    await scene.admin.create("apiservices", scene.service())
    condition = await scene.becomes("False")
    assert (condition["reason"], condition["message"]) == ("ServiceNotFound",
                                                           'service/shop in "default" is not present')
    with pytest.raises(ApiError) as refused:
        await scene.wire.raw("GET", f"{ROOT}/carts")
    assert refused.value.code == 503


async def test_endpoints_are_followed(scene: Scene) -> None:
    """What becomes of the Service's endpoints is noticed at once, not at the next round half a minute later."""
    await scene.register()
    async with asyncio.timeout(10):
        await scene.admin.patch("endpointslices", "shop-1", {"endpoints": []}, "default")
        assert (await scene.becomes("False"))["reason"] == "MissingEndpoints"
        await scene.admin.patch("endpointslices", "shop-1", {"endpoints": [{"addresses": [HOST]}]}, "default")
        await scene.becomes("True")


async def test_published_authority(scene: Scene) -> None:
    """Extension servers find in kube-system whose word they may take."""
    config = await scene.admin.get("configmaps", "extension-apiserver-authentication", "kube-system")
    assert config["data"]["requestheader-client-ca-file"] == scene.shop.front_ca_pem.decode()
    assert config["data"]["requestheader-allowed-names"] == '["front-proxy-client"]'


def _request(path: str, headers: dict[str, str] | None = None, **query: str) -> Request:
    return Request("GET", path, query, headers or {})
