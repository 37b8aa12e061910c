"""Whatever a client sends over the wire, in whatever combination, is answered clearly and leaves whole objects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from random import Random
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.units import CATALOGUE
from kubelab.units.catalogue import Kind

from ..security.wire import ADMIN, Answer, Caller, caller, server
from .nonsense import a_query, an_object, spoiled

KINDS = [kind for kind in CATALOGUE if "create" in kind.verbs]
MEDIA = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
         "application/json-patch+json", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True, database=None,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
STEPS = 12  # requests an example
OPERATIONS = ("add", "remove", "replace", "copy", "move", "test", "append")
SIGNS = b'{}[]",:\\\x00\xff\n#&*!|>-0eu'
DELETE = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": "x"}}
NEVER = {kind.plural for kind in KINDS if kind.plural.endswith("webhookconfigurations")}  # they would stop the rest


class World:
    """A server and its administrator on a loop of their own, for tests that are not coroutines."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self._server = server()
        self.api: ApiServer = self.runner.run(self._server.__aenter__())
        self._caller = caller(self.api, *ADMIN)
        self.admin: Caller = self.runner.run(self._caller.__aenter__())

    def close(self) -> None:
        self.runner.run(self._caller.__aexit__(None, None, None))
        self.runner.run(self._server.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def path_of(kind: Kind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/default/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


def is_clear(answer: Answer, what: object) -> None:
    """Hold an answer against what every answer must be: no fault of ours, and a Status that agrees with its code."""
    no_backend = answer.status == 503 and "/proxy" in str(what)  # no kubelet, pod or endpoint is behind these names
    assert answer.status < 500 or answer.status == 504 or no_backend, (what, answer)
    if answer.status >= 400:
        assert isinstance(answer.body, dict) and answer.body.get("kind") == "Status", (what, answer)
        assert answer.body["code"] == answer.status and answer.message, (what, answer)


async def is_whole(world: World, kind: Kind, name: str) -> dict[str, object] | None:
    """Return the stored object, having checked that a read, the cache and the store say the same of it."""
    shown = await world.admin.get(f"{path_of(kind)}/{name}")
    collection = world.api.storage.of(kind.group, kind.plural)
    body = collection.objects.get(f"default/{name}" if kind.namespaced else name)
    if shown.status == 404:
        assert body is None
        return None
    assert shown.status == 200 and body is not None and shown.body == body.obj == orjson.loads(body.raw)
    assert shown.body["metadata"]["name"] == name and shown.body["metadata"]["uid"] and shown.body["kind"] == kind.kind
    return dict(shown.body)


async def step(world: World, kind: Kind, name: str, chance: Random) -> None:
    """Send one spoiled write and see that it is refused whole or done whole."""
    before = await is_whole(world, kind, name)
    sound = before if before is not None and chance.random() < 0.7 else an_object(kind, name, chance)
    body = spoiled(sound, chance) if chance.random() < 0.8 else sound
    query = f"?{urlencode(a_query(chance))}" if chance.random() < 0.4 else ""
    sub = f"/{chance.choice([*kind.subresources])}" if kind.subresources and chance.random() < 0.15 else ""
    path, media = path_of(kind), "application/json"
    match chance.randrange(10):
        case 0 | 1 | 2:
            method = "POST"
        case 3 | 4:
            method, path = "PUT", f"{path}/{name}{sub}"
        case 9:
            method, path = "DELETE", f"{path}/{name}"
            body = None if chance.random() < 0.5 else spoiled(DELETE, chance)
        case _:
            method, path, media = "PATCH", f"{path}/{name}{sub}", chance.choice(MEDIA)
            query = query or "?fieldManager=f&force=true"
            if media == "application/json-patch+json":
                body = spoiled([{"op": chance.choice(OPERATIONS), "path": place, "from": "/metadata", "value": "x"}
                                for place in ("/metadata/labels/a", "/spec", "/data")], chance)
    text = json.dumps(body) if body is not None else None  # it writes what the strict encoder refuses: NaN, half a pair
    answer = await world.admin.send(method, path + query, text, media=media)
    is_clear(answer, (method, path + query, media, body))
    after = await is_whole(world, kind, name)
    if answer.status >= 400:
        assert after == before, (method, path, body, answer.message)
    elif method == "POST" and "dryRun" not in query and answer.body["metadata"]["name"] == name:
        assert after == answer.body


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_spoiled_writes_are_refused_whole_or_done_whole(world: World, seed: int) -> None:
    """Creates, updates, patches, applies and deletes of every kind with junk in them: never a 500, never half."""
    async def all_of_them() -> None:
        chance = Random(seed)
        for _ in range(STEPS):
            kind = chance.choice(KINDS)
            if kind.plural in NEVER:
                continue
            name = f"fuzz-{chance.randrange(3)}"
            async with asyncio.timeout(10):
                await step(world, kind, name, chance)

    world.runner.run(all_of_them())


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_spoiled_queries_are_answered(world: World, seed: int) -> None:
    """Lists, gets and watches with selectors, limits, tokens and versions made of nonsense are clear answers."""
    async def all_of_them() -> None:
        chance = Random(seed)
        for _ in range(STEPS):
            kind = chance.choice(KINDS)
            query = [*a_query(chance), *a_query(chance)]
            if chance.random() < 0.2:
                query = [("watch", "1"), *(p for p in query if p[0] != "timeoutSeconds"), ("timeoutSeconds", "1")]
            accept = chance.choice(("application/json", "*/*", "application/yaml", "text/html",
                                    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"))
            tail = chance.choice(("", "", "", "/x", "/%00", "/..%2f", "/x/status", "/x/nope"))
            path = f"{path_of(kind)}{tail}?{urlencode(query)}"
            if query[:1] == [("watch", "1")]:
                async with asyncio.timeout(10), world.admin.http.get(world.api.url + path) as got:
                    assert got.status < 500 or got.status == 504, (path, await got.text())
                continue
            async with asyncio.timeout(10):
                answer = await world.admin.get(path, Accept=accept)
            if "yaml" in accept:
                assert answer.status < 500 or answer.status == 504, (path, answer)
            else:
                is_clear(answer, path)

    world.runner.run(all_of_them())


@EXAMPLES
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 200))
def test_spoiled_text_is_refused(world: World, seed: int, cut: int) -> None:
    """Bytes that are almost JSON, YAML or protobuf are refused or taken, and never break the server."""
    async def all_of_them() -> None:
        chance = Random(seed)
        for _ in range(STEPS):
            kind = chance.choice(KINDS)
            text = bytearray(json.dumps(an_object(kind, "text", chance)).encode())
            for _ in range(chance.choice((1, 2, 5))):
                at = chance.randrange(len(text))
                text[at:at + chance.choice((0, 1, 1, 3))] = bytes(chance.choices(SIGNS, k=chance.choice((0, 1, 2))))
            data = bytes(text[:-cut] if cut % 5 == 0 and cut else text)
            media = chance.choice(MEDIA[4:])
            if "protobuf" in media:
                data = b"k8s\x00" + data
            async with asyncio.timeout(10):
                answer = await world.admin.post(f"{path_of(kind)}?dryRun=All", data, media)
            is_clear(answer, (kind.plural, media, data))

    world.runner.run(all_of_them())


def test_afterwards_the_server_is_sound(world: World) -> None:
    """After all of this every kind can still be listed, and a new object gets in."""
    async def look() -> None:
        for kind in KINDS:
            answer = await world.admin.get(path_of(kind))
            assert answer.status == 200, (kind.plural, answer)
        made = await world.admin.post(path_of(next(k for k in KINDS if k.plural == "configmaps")),
                                      {"metadata": {"generateName": "sound-"}})
        assert made.status == 201, made

    world.runner.run(look())
