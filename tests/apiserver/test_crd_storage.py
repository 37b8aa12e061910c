"""Several versions of a custom resource over one store: renamed, or converted by a webhook."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from kubelab.client.pki import Pki
from kubelab.machinery.meta import copy_obj

from .conftest import World, drain
from .crds import ANYTHING, CRDS, WIDGETS, crd, of_spec, version, widget
from .test_crd import body, patch

WIDGETS_2 = WIDGETS.replace("/v1/", "/v2/")


async def test_without_conversion_only_the_version_changes(world: World) -> None:
    """An object written in one version is read, listed, watched and written in the other."""
    await world.send("POST", CRDS, crd(version("v1"), version("v2", storage=False)))
    watcher = await world.watch(WIDGETS_2)
    await world.send("POST", WIDGETS, widget(spec={"a": 1}))
    assert body(await world.send("GET", f"{WIDGETS_2}/w"))["apiVersion"] == "example.com/v2"
    made = body(await world.send("POST", WIDGETS_2, widget("x", "example.com/v2")), 201)
    assert made["apiVersion"] == "example.com/v2"
    assert {o["apiVersion"] for o in body(await world.send("GET", WIDGETS))["items"]} == {"example.com/v1"}
    assert drain(watcher) == [("ADDED", "w"), ("ADDED", "x")]
    stored = (await world.etcd.range(b"/registry/example.com/widgets/default/x")).kvs[0].value
    assert orjson.loads(stored)["apiVersion"] == "example.com/v1"


async def test_another_version_becomes_the_stored_one(world: World) -> None:
    """storedVersions remembers both; the old one may not be dropped while it is there; objects are read in the new."""
    await world.send("POST", CRDS, crd(version("v1"), version("v2", storage=False)))
    await world.send("POST", WIDGETS, widget())
    path = f"{CRDS}/widgets.example.com"
    await patch(world, path, {"spec": {"versions": [version("v1", storage=False), version("v2")]}})
    assert body(await world.send("GET", path))["status"]["storedVersions"] == ["v1", "v2"]
    assert body(await world.send("GET", f"{WIDGETS_2}/w"))["apiVersion"] == "example.com/v2"
    refused = body(await patch(world, path, {"spec": {"versions": [version("v2")]}}), 422)
    assert "status.storedVersions[0]" in refused["message"]
    await patch(world, path, {"spec": {"versions": [version("v1", storage=False, served=False), version("v2")]}})
    assert (await world.send("GET", WIDGETS)).status == 404
    served = body(await world.send("GET", "/apis/example.com"))["versions"]
    assert [v["version"] for v in served] == ["v2"]
    assert "apis/example.com/v1" not in body(await world.send("GET", "/openapi/v3"))["paths"]


async def test_versions_are_listed_by_their_rank(world: World) -> None:
    """v2 before v1 before v1beta1, whatever the definition's order."""
    names = ("v1beta1", "v1", "v2", "v2alpha1")
    await world.send("POST", CRDS, crd(*(version(n, storage=n == "v1") for n in names)))
    found = body(await world.send("GET", "/apis/example.com"))
    assert [v["version"] for v in found["versions"]] == ["v2", "v1", "v1beta1", "v2alpha1"]
    assert found["preferredVersion"]["version"] == "v2"


class Webhook:
    """Calls the field `host` of v1 `address` in v2; counts, and fails while it is told to."""

    def __init__(self) -> None:
        self.calls, self.failing, self.url = 0, False, ""

    async def answer(self, request: web.Request) -> web.Response:
        self.calls += 1
        review = await request.json()
        wanted, converted = review["request"]["desiredAPIVersion"], []
        for obj in review["request"]["objects"]:
            old, new = ("host", "address") if wanted.endswith("v2") else ("address", "host")
            spec = {new if key == old else key: value for key, value in obj.get("spec", {}).items()}
            converted.append({**obj, "apiVersion": wanted, "spec": spec})
        result = {"status": "Failed", "message": "not today"} if self.failing else {"status": "Success"}
        return web.json_response({**review, "response": {"uid": review["request"]["uid"], "result": result,
                                                         "convertedObjects": [] if self.failing else converted}})


@asynccontextmanager
async def serving(hook: Webhook, context: ssl.SSLContext) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/convert", hook.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    assert site._server is not None
    hook.url = f"https://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/convert"  # type: ignore[attr-defined]
    yield
    await runner.cleanup()


@pytest.fixture
async def hook(world: World) -> AsyncIterator[Webhook]:
    """A conversion webhook, and a definition that names it."""
    pki, made = Pki.open(None), Webhook()
    async with serving(made, pki.server_context(["localhost"], ["127.0.0.1"])):
        client = {"url": made.url, "caBundle": base64.b64encode(pki.ca_pem).decode()}
        definition = crd(
            version("v1", of_spec(host={"type": "string"}), selectableFields=[{"jsonPath": ".spec.host"}]),
            version("v2", of_spec(address={"type": "string"}), storage=False,
                    selectableFields=[{"jsonPath": ".spec.address"}]),
            conversion={"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}})
        body(await world.send("POST", CRDS, definition), 201)
        yield made


async def test_a_webhook_converts_reads_and_writes(world: World, hook: Webhook) -> None:
    """Get, list, create and patch in the version that is not stored."""
    await world.send("POST", WIDGETS, widget(spec={"host": "h"}))
    assert body(await world.send("GET", f"{WIDGETS_2}/w"))["spec"] == {"address": "h"}
    made = body(await world.send("POST", WIDGETS_2, widget("x", "example.com/v2", spec={"address": "a"})), 201)
    assert made["spec"] == {"address": "a"}
    assert body(await world.send("GET", f"{WIDGETS}/x"))["spec"] == {"host": "a"}
    body(await patch(world, f"{WIDGETS_2}/x", {"spec": {"address": "b"}}))
    found = {o["metadata"]["name"]: o["spec"] for o in body(await world.send("GET", WIDGETS_2))["items"]}
    assert found == {"w": {"address": "h"}, "x": {"address": "b"}}


async def test_watches_and_field_selectors_are_of_the_version_asked_for(world: World, hook: Webhook) -> None:
    """A watch in v2 hears of what v1 wrote, selected by v2's field."""
    watcher = await world.watch(f"{WIDGETS_2}?fieldSelector=spec.address=h")
    await world.send("POST", WIDGETS, widget("no", spec={"host": "other"}))
    await world.send("POST", WIDGETS, widget("yes", spec={"host": "h"}))
    async with asyncio.timeout(5):
        event = await watcher.__anext__()
    assert (event.type, event.obj["metadata"]["name"], event.obj["spec"]) == ("ADDED", "yes", {"address": "h"})
    await patch(world, f"{WIDGETS}/yes", {"spec": {"host": "moved"}})
    async with asyncio.timeout(5):
        assert (await watcher.__anext__()).type == "DELETED"


async def test_mixed_versions_in_the_store_are_listed_in_one(world: World, hook: Webhook) -> None:
    """Objects stored as v1 and as v2 come as v2."""
    await world.send("POST", WIDGETS, widget("first", spec={"host": "1"}))
    path = f"{CRDS}/widgets.example.com"
    definition = copy_obj(body(await world.send("GET", path)))
    for each in definition["spec"]["versions"]:
        each["storage"] = each["name"] == "v2"
    body(await world.send("PUT", path, orjson.dumps(definition)))
    await world.send("POST", WIDGETS, widget("second", spec={"host": "2"}))
    found = await world.etcd.range(b"/registry/example.com/widgets/", b"/registry/example.com/widgets0")
    stored: list[Any] = [orjson.loads(kv.value)["apiVersion"] for kv in found.kvs]
    assert stored == ["example.com/v1", "example.com/v2"]
    listed = body(await world.send("GET", WIDGETS_2))["items"]
    assert [o["spec"] for o in listed] == [{"address": "1"}, {"address": "2"}]


async def test_a_webhook_that_fails_is_told_and_asked_again(world: World, hook: Webhook) -> None:
    """Reads in its version fail with its message; those of the stored version go on."""
    hook.failing = True
    body(await world.send("POST", WIDGETS, widget(spec={"host": "h"})), 201)
    refused = body(await world.send("GET", f"{WIDGETS_2}/w"), 500)
    assert "conversion webhook for example.com/v1, Kind=Widget failed: not today" in refused["message"]
    body(await world.send("GET", f"{WIDGETS}/w"))
    hook.failing = False
    body(await world.send("GET", f"{WIDGETS_2}/w"))


async def test_watches_end_when_the_definition_changes(world: World) -> None:
    """A new schema closes open watches; whoever comes back from an old revision is told to list."""
    await world.send("POST", CRDS, crd())
    await world.send("POST", WIDGETS, widget())
    watcher = await world.watch(WIDGETS)
    other = version(schema={**ANYTHING, "title": "x"})
    await patch(world, f"{CRDS}/widgets.example.com", {"spec": {"versions": [other]}})
    assert watcher.closed
    assert drain(await world.watch(WIDGETS)) == [("ADDED", "w")]


async def test_a_deprecated_version_warns(world: World) -> None:
    """Every answer in it says what to use instead, or what its definition says."""
    old = version("v1beta1", storage=False, deprecated=True)
    await world.send("POST", CRDS, crd(old, version("v1")))
    path = WIDGETS.replace("/v1/", "/v1beta1/")
    warned = (await world.send("GET", path)).headers["warning"]
    assert warned == '299 - "example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"'
    await patch(world, f"{CRDS}/widgets.example.com", {"spec": {"versions": [
        {**old, "deprecationWarning": "gone soon"}, version("v1")]}})
    assert (await world.send("GET", path)).headers["warning"] == '299 - "gone soon"'
    assert "warning" not in (await world.send("GET", WIDGETS)).headers
