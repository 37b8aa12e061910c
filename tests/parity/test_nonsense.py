"""Whatever a client sends, the answer is a clear one and the cluster goes on."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from .recording import cases, is_ours
from .replay import Send, in_process
from .world import control_plane

JUNK: tuple[Any, ...] = (None, "", 0, -1, [], {}, "x", True, 1.5, 2**40, "é", [None], [{}], {"a": None}, [""],
                         "a" * 300, "1Gi", {"a": 1}, "Bad_!")
NAMED_BY_SPEC = frozenset({"CustomResourceDefinition"})
LIMITING = frozenset({"LimitRange", "ResourceQuota"})
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield (*path, key)
        yield from places(part, (*path, key))


def spoiled(obj: Any, chance: random.Random) -> Any:
    """Return a copy with one or two things replaced by nonsense, or gone."""
    out = copy.deepcopy(obj)
    for _ in range(chance.choice((1, 1, 2))):
        found = list(places(out))
        if not found:
            break
        *way, last = chance.choice(found)
        inside = out
        for key in way:
            inside = inside[key]
        if chance.random() < 0.15:
            del inside[last]
        else:
            inside[last] = copy.deepcopy(chance.choice(JUNK))
    return out


@pytest.mark.parametrize("seed", range(3))
async def test_nonsense_is_refused_and_nothing_breaks(seed: int) -> None:
    """Spoiled creates, updates, patches and applies are answered below 500; afterwards a sound object still gets in."""
    recorded = [c["steps"][0]["request"] for c in cases("defaults") if is_ours(c["steps"][0]["request"])]
    recorded.sort(key=lambda request: request["body"]["kind"] in LIMITING)  # they would keep the others out
    chance = random.Random(seed)
    async with control_plane() as (server, _):
        send = in_process(server.handle)
        stored = [await put_in(send, request, f"n{i}") for i, request in enumerate(recorded)]
        for _ in range(400):
            path, written = chance.choice(stored)
            request: dict[str, Any] = {"method": "PUT", "path": path, "contentType": "application/json"}
            match chance.randrange(3):
                case 0:
                    sound = (await send({"method": "GET", "path": path})).body
                case 1:
                    sound = written
                    request |= {"method": "PATCH", "contentType": chance.choice(PATCHES),
                                "path": f"{path}?fieldManager=f"}
                case _:
                    sound = written
                    request |= {"method": "POST", "path": f"{path.rpartition('/')[0]}?dryRun=All"}
            request["body"] = spoiled(sound, chance)
            answer = await send(request)
            assert answer.status < 500, (request, answer.body)
        await put_in(send, recorded[0], "after")


async def put_in(send: Send, request: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Create a recorded object under a name of its own; return its path and what was written."""
    body = copy.deepcopy(request["body"])
    name = body["metadata"]["name"] = body["metadata"]["name"] if body["kind"] in NAMED_BY_SPEC else name
    collection = request["path"].partition("?")[0]
    answer = await send({"method": "POST", "path": collection, "contentType": "application/json", "body": body})
    assert answer.status == 201, answer.body
    return f"{collection}/{name}", body
