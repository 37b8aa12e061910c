"""Reads, writes, lists and watches of the API server over TLS."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from kubelab.bench import Figure, load

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
GETS, CREATES, LISTED, LISTS, WATCHERS, WATCHED = 12_000, 4_000, 2_000, 30, 20, 200


def measure() -> Iterator[Figure]:
    """Measure GET, create and list; the cluster has no nodes, like the real control plane's measurement."""
    with load.cluster("--nodes", "0") as target:
        port, context = endpoint(target.kubeconfig)
        began_cpu_s = target.cpu_s()
        yield from asyncio.run(_requests(port, context))
        yield Figure("CPU of the server for all of that", target.cpu_s() - began_cpu_s, "s", "-", 10, "less")
        yield Figure("memory of the server after that", target.resident_mb(), "MB", "505 MB when empty", 505, "less")


async def _requests(port: int, context: ssl.SSLContext) -> Iterator[Figure]:
    await _create(port, context, LISTED, "listed", 8)
    get = load.request("GET", f"{CONFIGMAPS}/listed-7")
    count = itertools.count()
    gets = (await load.run(port, context, lambda: get if next(count) < GETS else None, 16)).check(200)
    listing = load.request("GET", CONFIGMAPS)
    lists = (await load.run(port, context, times(listing, LISTS), 1)).check(200)
    creates = await _create(port, context, CREATES, "made", 32)
    return iter([
        Figure("GET one object, 16 connections", gets.per_second, "/s", "3,000 to 4,100 /s", 4_100, "more"),
        Figure("GET median", gets.quantile_ms(0.5), "ms", "3.9 ms at 4,100 /s", 3.9, "less"),
        Figure("GET p99", gets.quantile_ms(0.99), "ms", "-", 20, "less"),
        Figure("create a 0.5 KB ConfigMap, 32 at once", creates.per_second, "/s", "1,380 /s", 1_380, "more"),
        Figure("create median", creates.quantile_ms(0.5), "ms", "23 ms at 1,380 /s", 23, "less"),
        Figure("create p99", creates.quantile_ms(0.99), "ms", "65 ms", 65, "less"),
        Figure("list 2,000 ConfigMaps", lists.quantile_ms(0.5), "ms", "15 to 22 ms", 15, "less"),
    ])


def times(request: bytes, times: int) -> load.Next:
    """Return a source that gives `request` so many times."""
    left = itertools.repeat(request, times)
    return lambda: next(left, None)


async def _create(port: int, context: ssl.SSLContext, amount: int, prefix: str, connections: int) -> load.Result:
    numbers = iter(range(amount))

    def one() -> bytes | None:
        number = next(numbers, None)
        return None if number is None else load.request("POST", CONFIGMAPS, configmap(f"{prefix}-{number}"))

    return (await load.run(port, context, one, connections)).check(201)


def configmap(name: str, labels: dict[str, str] | None = None) -> bytes:
    """Return the JSON of a ConfigMap of half a kilobyte."""
    metadata = {"name": name} | ({"labels": labels} if labels else {})
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                       "data": {"payload": "x" * 400}}).encode()


def measure_watch() -> Iterator[Figure]:
    """Measure how long a created object takes to reach 20 watchers."""
    with load.cluster("--nodes", "0") as target:
        port, context = endpoint(target.kubeconfig)
        latencies = sorted(asyncio.run(_watch(port, context)))
    yield Figure("create to watch event, median, 20 watchers", statistics.median(latencies) * 1000, "ms", "3.6 ms", 3.6,
                 "less")
    yield Figure("create to watch event, p99", latencies[int(len(latencies) * 0.99)] * 1000, "ms", "7 to 13 ms", 13,
                 "less")


async def _watch(port: int, context: ssl.SSLContext) -> list[float]:
    sent: dict[str, float] = {}
    latencies: list[float] = []
    ready = [asyncio.Event() for _ in range(WATCHERS)]

    async def watcher(index: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
        writer.write(load.request("GET", f"{CONFIGMAPS}?watch=true&resourceVersion=0"))
        seen = 0
        while seen < WATCHED:
            line = await reader.readline()
            if line.startswith(b"HTTP/1.1"):
                ready[index].set()
            if b'"timed-' in line:
                name = json.loads(line)["object"]["metadata"]["name"]
                latencies.append(time.perf_counter() - sent[name])
                seen += 1
        writer.close()

    watchers = [asyncio.create_task(watcher(i)) for i in range(WATCHERS)]
    await asyncio.gather(*(e.wait() for e in ready))
    numbers = iter(range(WATCHED))

    def one() -> bytes | None:
        number = next(numbers, None)
        if number is None:
            return None
        request = load.request("POST", CONFIGMAPS, configmap(f"timed-{number}"))
        sent[f"timed-{number}"] = time.perf_counter()
        return request

    (await load.run(port, context, one, 1)).check(201)
    async with asyncio.timeout(30):
        await asyncio.gather(*watchers)
    return latencies


def endpoint(kubeconfig: Path) -> tuple[int, ssl.SSLContext]:
    """Return the port of a cluster's API server and the admin's TLS context."""
    from kubelab.client import kubeconfig as files

    info = files.load(kubeconfig)
    return urlparse(info.server).port or 443, info.ssl_context()
