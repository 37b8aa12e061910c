"""Clients that are idle, slow, greedy or many: they cost little, they end, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time

import psutil
import pytest

from kubelab.control_plane.apiserver import http, limits
from kubelab.control_plane.apiserver.server import ApiServer

from .wire import ADMIN, MAPS, Caller, admin_context, caller, config_map, connect, server

GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def resident_mb() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


async def median_s(client: Caller, times: int = 30) -> float:
    waits = []
    for _ in range(times):
        begun = time.monotonic()
        assert (await client.get(f"{MAPS}/kube-root-ca.crt")).status == 200
        waits.append(time.monotonic() - begun)
    return sorted(waits)[times // 2]


Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def many(api: ApiServer, number: int, data: bytes = b"") -> list[Link]:
    """Open connections that then keep still; sessions are not made for each, as a client's TLS is not what we test."""
    context, open_ = admin_context(), list[Link]()
    for _ in range(number // 50):
        open_ += await asyncio.gather(*(connect(api, context) for _ in range(50)))
    for _, writer in open_:
        writer.write(data)
    return open_


async def test_a_thousand_watches_of_one_client() -> None:
    """1,000 watches are told of a write in time, and end with their connections."""
    async with server() as api, caller(api, *ADMIN) as admin:
        watching = await many(api, 1000, GET % f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dw".encode())
        fanout = api.storage.of("", "configmaps").fanout
        async with asyncio.timeout(20):
            while sum(1 for _ in fanout) < 1000:  # noqa: ASYNC110 - the server keeps no event for this
                await asyncio.sleep(0.02)
        assert (await admin.post(MAPS, config_map("w"))).status == 201
        async with asyncio.timeout(10):
            await asyncio.gather(*(reader.readuntil(b'"ADDED"') for reader, _ in watching))
        assert await median_s(admin) < 0.05
        for _, writer in watching:
            writer.transport.abort()
        async with asyncio.timeout(10):
            while sum(1 for _ in fanout):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(5):
            while await reader.read(65536):
                pass
    except ConnectionError:
        pass
    return True


async def test_who_sends_a_head_slowly_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has not brought a whole head in time is closed, however busily it drips."""
    monkeypatch.setattr(limits, "IDLE_S", 0.5)
    async with server() as api, caller(api, *ADMIN) as admin:
        slow = await many(api, 100)
        for part in (b"GET /ver", b"sion HTTP/1.1\r\n", b"Host: localhost\r\n", b"X-A: b\r\n"):
            for _, writer in slow:
                writer.write(part)
            assert (await admin.get("/version")).status == 200
            await asyncio.sleep(0.05)
        assert all(await asyncio.gather(*(closed(reader) for reader, _ in slow)))
        assert (await admin.get("/version")).status == 200


async def test_who_does_not_shake_hands_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that never gets through TLS is closed."""
    monkeypatch.setattr(limits, "HANDSHAKE_S", 0.3)
    async with server() as api:
        reader, writer = await asyncio.open_connection(api.host, api.port)
        writer.write(b"\x16\x03\x01")
        assert await closed(reader)


async def test_who_does_not_read_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for long lists again and again without reading one fills no memory: the connection ends."""
    monkeypatch.setattr(limits, "WRITE_S", 0.5)
    async with server() as api, caller(api, *ADMIN) as admin:
        for i in range(4):
            assert (await admin.post(MAPS, config_map(f"big{i}", a="x" * 900_000))).status == 201
        before = resident_mb()
        reader, writer = await connect(api, admin_context())
        writer.transport.pause_reading()
        writer.write((GET % MAPS.encode()) * 200)
        await asyncio.sleep(0.4)
        assert (await admin.get("/version")).status == 200
        assert resident_mb() - before < 60
        await asyncio.sleep(0.6)
        writer.transport.resume_reading()
        assert await closed(reader)


async def test_a_watcher_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch whose events pile up unread ends; the writer never waits for it."""
    monkeypatch.setattr(http, "MAX_BEHIND", 4 * 1024 * 1024)
    async with server() as api, caller(api, *ADMIN) as admin:
        _, writer = await connect(api, admin_context())
        writer.transport.pause_reading()
        writer.write(GET % f"{MAPS}?watch=1".encode())
        fanout = api.storage.of("", "configmaps").fanout
        async with asyncio.timeout(20):
            while sum(1 for _ in fanout) < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            turn = 0
            while sum(1 for _ in fanout):
                turn += 1
                await admin.send("PUT" if turn > 1 else "POST", MAPS + ("/big" if turn > 1 else ""),
                                 config_map("big", a=str(turn) + "x" * 900_000))
                assert turn < 40
        writer.close()


async def test_a_flood_of_one_client_leaves_room_for_others() -> None:
    """While one client keeps 200 requests in flight, another one's are answered; the figure is printed."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api, "flood", "system:masters") as flood:
        calm, stop = await median_s(admin), False

        async def pour() -> None:
            while not stop:
                await flood.get(MAPS)

        pouring = [asyncio.ensure_future(pour()) for _ in range(200)]
        await asyncio.sleep(0.5)
        busy = await median_s(admin, 10)
        stop = True
        await asyncio.gather(*pouring)
        print(f"GET of another client: {1000 * calm:.1f} ms alone, {1000 * busy:.1f} ms beside a flood of 200")
        assert busy < 1.5
