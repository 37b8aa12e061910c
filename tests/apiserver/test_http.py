"""The codec: the same answers over HTTPS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import ClientSession, TCPConnector

from kubelab.client.client import Client
from kubelab.client.pki import Pki
from kubelab.client.transport import Https
from kubelab.control_plane.apiserver.http import MAX_BODY
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import RealClock
from kubelab.machinery.journal import Journal

from .conftest import config_map, refused

PKI = Pki.open(None)
MAPS = "/api/v1/namespaces/default/configmaps"


@asynccontextmanager
async def server() -> AsyncIterator[ApiServer]:
    clock = RealClock()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    api = ApiServer(etcd, clock=clock, journal=Journal(), pki=PKI)
    await api.start()
    try:
        yield api
    finally:
        await api.stop()
        await etcd.stop()


@asynccontextmanager
async def session(api: ApiServer, context: ssl.SSLContext | None = None) -> AsyncIterator[ClientSession]:
    context = context or PKI.client_context("kubernetes-admin", ("system:masters",))
    async with ClientSession(api.url, connector=TCPConnector(ssl=context)) as made:
        yield made


async def test_a_client_certificate_says_who_asks() -> None:
    """CN and O of the certificate are user and groups; without one the user is anonymous."""
    async with server() as api:
        client = Client(Https(api.url, ssl_context=PKI.client_context("u", ("g",))))
        error = await refused(client.list("pods"))
        assert 'User "u" cannot list resource "pods"' in error.message
        await client.close()
        bare = ssl.create_default_context(cadata=PKI.ca_pem.decode())
        async with session(api, bare) as http:
            paths = ("/version", "/readyz", "/api/v1/pods")
            assert [(await http.get(path)).status for path in paths] == [200, 200, 403]
            wrong = await http.get("/api/v1/pods", headers={"Authorization": "Bearer nonsense"})
            assert wrong.status == 401


async def test_a_token_of_a_service_account_is_accepted() -> None:
    """TokenRequest issues what the bearer then is, also after a SubjectAccessReview of it."""
    async with server() as api, session(api) as admin:
        made = await admin.post("/api/v1/namespaces/default/serviceaccounts/default/token", json={})
        token = (await made.json())["status"]["token"]
        bare = ssl.create_default_context(cadata=PKI.ca_pem.decode())
        async with session(api, bare) as http:
            who = await http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={},
                                  headers={"Authorization": f"Bearer {token}"})
            user = (await who.json())["status"]["userInfo"]["username"]
        assert user == "system:serviceaccount:default:default"


async def test_impersonation_needs_the_right_to_it() -> None:
    """kubectl --as acts as another for those who may, and with all groups that were named."""
    async with server() as api, session(api) as admin:
        headers = [("Impersonate-User", "u"), ("Impersonate-Group", "g1"), ("Impersonate-Group", "g2")]
        who = await admin.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={}, headers=headers)
        assert (await who.json())["status"]["userInfo"]["groups"] == ["g1", "g2", "system:authenticated"]
        async with session(api, PKI.client_context("u", ())) as http:
            assert (await http.get("/api/v1/pods", headers={"Impersonate-User": "admin"})).status == 403


async def test_a_watch_streams_frames() -> None:
    """Each event is a line of JSON, and the stream ends cleanly with timeoutSeconds."""
    async with server() as api, session(api) as http:
        response = await http.get(f"{MAPS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name=a")
        await http.post(MAPS, json=config_map("a"))
        lines = [orjson.loads(line) async for line in response.content]
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in lines] == [("ADDED", "a")]


async def test_a_client_that_hangs_up_ends_its_watch() -> None:
    """Nothing is left of a watch whose connection is gone."""
    async with server() as api:
        ended = asyncio.Event()
        async with session(api) as http:
            await http.get("/api/v1/pods?watch=1")
            watcher, = api.storage.of("", "pods").fanout
            watcher.on_close.append(ended.set)
        async with asyncio.timeout(5):
            await ended.wait()
        assert list(api.storage.of("", "pods").fanout) == []


async def test_a_body_has_a_limit() -> None:
    """More than three megabytes are 413, announced or not."""
    async with server() as api, session(api) as http:
        body = orjson.dumps(config_map("a", a="x" * MAX_BODY))
        assert (await http.post(MAPS, data=body)).status == 413

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        assert (await http.post(MAPS, data=chunks())).status == 413
        assert (await http.post(MAPS, json=config_map("b"))).status == 201


async def test_yaml_in_and_out() -> None:
    """A YAML body is accepted, and YAML is answered where it is asked for."""
    async with server() as api, session(api) as http:
        text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n"
        yaml = "application/yaml"
        made = await http.post(MAPS, data=text, headers={"Content-Type": yaml, "Accept": yaml})
        assert (made.status, made.content_type) == (201, "application/yaml")
        assert "name: a" in await made.text()


async def test_what_may_be_kept_says_so_once() -> None:
    """Answers are not to be kept, but for documents that say themselves for how long they hold."""
    async with server() as api, session(api) as http:
        kept = await http.get("/apis", headers={
            "Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"})
        assert kept.headers.getall("Cache-Control") == ["public"]
        assert (await http.get(MAPS)).headers.getall("Cache-Control") == ["no-cache, private"]
        moved = await http.get("/openapi/v3/apis/apps/v1?hash=OLD")  # and followed
        assert (moved.status, moved.headers.getall("Cache-Control")) == (200, ["public, immutable"])


async def test_stop_leaves_no_connection() -> None:
    """Open watches end and the port is free when the server has stopped."""
    async with server() as api, session(api) as http:
        response = await http.get("/api/v1/pods?watch=1")
        await api.stop()
        assert await response.content.read() == b""


async def test_json_is_indented_for_people() -> None:
    """A browser, curl and ?pretty=true get lines to read; what they say is the same."""
    async with server() as api, session(api) as http:
        plain = await (await http.get("/api/v1/namespaces/default")).read()
        for query, agent in (("?pretty=true", "x"), ("", "curl/8.5"), ("", "Mozilla/5.0 (X11)")):
            answer = await http.get(f"/api/v1/namespaces/default{query}", headers={"User-Agent": agent})
            pretty = await answer.read()
            assert pretty.startswith(b'{\n  "kind": "Namespace"') and orjson.loads(pretty) == orjson.loads(plain)
        answer = await http.get("/api/v1/namespaces/default?pretty=false", headers={"User-Agent": "curl/8.5"})
        assert await answer.read() == plain


async def test_every_answer_has_an_audit_id() -> None:
    """The client's own, or a new one; also where nobody keeps an audit log, and where nothing is found."""
    async with server() as api, session(api) as http:
        assert (await http.get("/version", headers={"Audit-ID": "mine"})).headers["Audit-Id"] == "mine"
        missing = [(await http.get(f"{MAPS}/nope")).headers["Audit-Id"] for _ in range(2)]
        assert len(set(missing)) == 2


async def test_each_warning_is_a_header_of_its_own() -> None:
    """As client-go reads them."""
    async with server() as api, session(api) as http:
        answer = await http.post(f"{MAPS}?dryRun=All", json=config_map("a") | {"x": 1, "y": 2})
        assert answer.headers.getall("Warning") == [f'299 - "unknown field \\"{name}\\""' for name in "xy"]


async def test_what_etcd_could_not_take_is_too_large() -> None:
    """A body within the limit of requests may still be too large to be stored."""
    async with server() as api, session(api) as http:
        event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "message": "x" * 1_600_000}
        answer = await http.post("/api/v1/namespaces/default/events", json=event)
        assert (answer.status, (await answer.json())["message"]) == (
            413, "Request entity too large: etcdserver: request is too large")


async def test_events_are_not_told_in_yaml() -> None:
    """A watch has no such form, and its client is told which it has."""
    async with server() as api, session(api) as http:
        answer = await http.get(f"{MAPS}?watch=1", headers={"Accept": "application/yaml"})
        assert answer.status == 406 and "application/json;stream=watch" in await answer.text()
