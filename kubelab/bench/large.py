"""The API server with twenty thousand objects and a thousand watchers."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import statistics
import time
from collections.abc import Iterator

from kubelab.bench import Figure, load
from kubelab.bench.api import CONFIGMAPS, configmap, endpoint, times

OBJECTS, LISTS, UPDATES, WATCHERS, EVENTS = 20_000, 8, 4_000, 1_000, 20


def measure() -> Iterator[Figure]:
    """Fill one namespace, then list it whole and by selector, update, stream it to an informer, fan out."""
    with load.cluster("--nodes", "0") as target:
        port, context = endpoint(target.kubeconfig)
        began_cpu_s, empty_mb = target.cpu_s(), target.resident_mb()
        figures = asyncio.run(_measure(port, context))
        yield from figures
        memory_mb, cpu_s = target.resident_mb() - empty_mb, target.cpu_s() - began_cpu_s
        yield Figure("memory for 20,000 objects and all of that", memory_mb, "MB", "505 MB when empty", 505, "less")
        yield Figure("CPU of the server for all of that", cpu_s, "s", "-", 60, "less")


async def _measure(port: int, context: ssl.SSLContext) -> list[Figure]:
    numbers = iter(range(OBJECTS))

    def create() -> bytes | None:
        number = next(numbers, None)
        labels = {"tenth": str(number % 10)} if number is not None else {}
        return None if number is None else load.request("POST", CONFIGMAPS, configmap(f"large-{number}", labels))

    creates = (await load.run(port, context, create, 32)).check(201)
    whole = (await load.run(port, context, times(load.request("GET", CONFIGMAPS), LISTS), 1)).check(200)
    some = load.request("GET", f"{CONFIGMAPS}?labelSelector=tenth%3D3")
    chosen = (await load.run(port, context, times(some, LISTS), 1)).check(200)
    updates = (await load.run(port, context, _updates(), 16)).check(200)
    start_s = await _watch_list(port, context)
    latencies = sorted(await _fan_out(port, context))
    return [
        Figure("create, 20,000 objects, 32 at once", creates.per_second, "/s", "1,380 /s", 1_380, "more"),
        Figure("create p99", creates.quantile_ms(0.99), "ms", "65 ms", 65, "less"),
        Figure("list 20,000 ConfigMaps", whole.quantile_ms(0.5), "ms", "10 × 15 to 22 ms", 150, "less"),
        Figure("list 2,000 of 20,000 by selector", chosen.quantile_ms(0.5), "ms", "10 × 23 to 27 ms", 230, "less"),
        Figure("update, 16 at once", updates.per_second, "/s", "-", 1_380, "more"),
        Figure("WatchList of 20,000 objects, to its bookmark", start_s, "s", "-", 1.0, "less"),
        Figure("create to watch event, median, 1,000 watchers", statistics.median(latencies) * 1000, "ms", "-", 60,
               "less"),
    ]


def _updates() -> load.Next:
    numbers = itertools.count()

    def one() -> bytes | None:
        number = next(numbers)
        return load.request("PUT", f"{CONFIGMAPS}/large-{number}", configmap(f"large-{number}", {"seen": "yes"})) \
            if number < UPDATES else None

    return one


async def _watch_list(port: int, context: ssl.SSLContext) -> float:
    """Return how long a client-go style informer takes from its request to "that was everything"."""
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    reader, writer = await _connect(port, context)
    began = time.perf_counter()
    writer.write(load.request("GET", f"{CONFIGMAPS}?{query}"))
    async with asyncio.timeout(60):
        while b"k8s.io/initial-events-end" not in await reader.readline():
            continue
    writer.close()
    return time.perf_counter() - began


async def _fan_out(port: int, context: ssl.SSLContext) -> list[float]:
    connections = []
    for _ in range(WATCHERS):
        reader, writer = await _connect(port, context)
        writer.write(load.request("GET", f"{CONFIGMAPS}?watch=true&labelSelector=timed%3Dyes"))
        await reader.readuntil(b"\r\n\r\n")
        connections.append((reader, writer))
    sent: dict[str, float] = {}
    latencies: list[float] = []

    async def follow(reader: asyncio.StreamReader) -> None:
        for _ in range(EVENTS):
            while b'"timed-' not in (line := await reader.readline()):
                continue
            latencies.append(time.perf_counter() - sent[json.loads(line)["object"]["metadata"]["name"]])

    tasks = [asyncio.create_task(follow(reader)) for reader, _ in connections]
    for number in range(EVENTS):
        name = f"timed-{number}"
        body = load.request("POST", CONFIGMAPS, configmap(name, {"timed": "yes"}))
        sent[name] = time.perf_counter()
        (await load.run(port, context, times(body, 1), 1)).check(201)
        await asyncio.sleep(0.5)  # one event at a time: each reaches everyone before the next
    await asyncio.gather(*tasks)
    for _, writer in connections:
        writer.close()
    return latencies


async def _connect(port: int, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1", limit=1 << 20)
