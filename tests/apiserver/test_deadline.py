"""How long a request may take, and how a server leaves."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.control_plane.apiserver import deadline
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Request, Response, User
from kubelab.machinery.routes import RequestInfo, request_info

from .conftest import World, config_map

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def _send(path: str, query: dict[str, str], method: str = "POST") -> Response:
    async def forever(request: Request, info: RequestInfo, user: User) -> Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    request = Request(method, path, query, wire=object())
    return await deadline.around(forever)(request, request_info(method, path, query), User("a"))


@pytest.mark.parametrize(("timeout", "code", "message"), [
    ("10ms", 504, "Timeout: request did not complete within requested timeout - context deadline exceeded"),
    ("soon", 400, 'invalid timeout specified in the request URL - time: invalid duration "soon"')])
async def test_timeout(timeout: str, code: int, message: str) -> None:
    """A client may ask for less than a minute; who waits longer is told so."""
    with pytest.raises(ApiError) as refused:
        await _send(CONFIG_MAPS, {"timeout": timeout})
    assert (refused.value.code, refused.value.status["message"]) == (code, message)


async def test_watches_last() -> None:
    """A watch is not ended by the deadline of requests."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await _send(CONFIG_MAPS, {"watch": "1", "timeout": "10ms"}, "GET")


async def test_leaving(world: World) -> None:
    """A server that is to stop is no longer ready, still alive, and answers until its delay is over."""
    world.server.shutdown_delay_s = 5
    watcher = await world.watch(CONFIG_MAPS)
    assert b"[+]shutdown ok" in (await world.send("GET", "/readyz?verbose")).body  # type: ignore[operator]
    stopping = asyncio.create_task(world.server.stop())
    while (await world.send("GET", "/readyz")).status == 200:  # noqa: ASYNC110  # the answer alone tells
        await asyncio.sleep(0)
    assert b"[-]shutdown failed" in (await world.send("GET", "/readyz?verbose")).body  # type: ignore[operator]
    assert (await world.send("GET", "/livez")).status == 200
    assert (await world.send("POST", CONFIG_MAPS, config_map("late"))).status == 201
    assert not watcher.closed
    await world.clock.step(5)
    await stopping
    assert watcher.closed
    assert (await world.send("GET", "/livez")).status == 503
