"""The API server as a notebook has it: in its own process, where a request is a function call with dicts."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from kubelab.bench import Figure

GETS, CREATES, AT_ONCE, LISTS, WATCHED = 20_000, 4_000, 32, 30, 200
LIMIT_S = 60.0


def measure() -> Iterator[Figure]:
    """Measure GET, create, list and watch in process, beside the figures of a real one over TLS."""
    from kubelab import Cluster

    with Cluster(0, runtime="hollow", quiet=True) as cluster:
        figures = cluster.call(_measure(cluster.client))
    yield from figures


async def _measure(client: Any) -> list[Figure]:
    creates = await _times(CREATES, AT_ONCE, lambda number: client.create("configmaps", _config_map(number), "default"))
    gets = await _times(GETS, 1, lambda number: client.get("configmaps", f"inside-{number % CREATES}", "default"))
    lists = await _times(LISTS, 1, lambda _: client.list("configmaps", "default"))
    latencies = await _watch(client)
    return [
        Figure("GET one object, in process", len(gets) / sum(gets), "/s", "3,000 to 4,100 /s", 4_100, "more"),
        Figure("create a 0.5 KB ConfigMap, in process, p99", _quantile_ms(creates, 0.99), "ms", "65 ms", 65, "less"),
        Figure("list 4,000 ConfigMaps, in process", statistics.median(lists) * 1000, "ms", "2 × 15 to 22 ms", 30,
               "less"),
        Figure("create to watch event, in process, median", statistics.median(latencies) * 1000, "ms", "3.6 ms", 3.6,
               "less"),
    ]


def _config_map(number: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"inside-{number}"},
            "data": {"payload": "x" * 400}}


async def _times(amount: int, at_once: int, call: Callable[[int], Awaitable[Any]]) -> list[float]:
    """Return how long each of so many calls took, `at_once` of them under way."""
    numbers, took = iter(range(amount)), list[float]()

    async def worker() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return took


async def _watch(client: Any) -> list[float]:
    latencies: list[float] = []
    listed = await client.list("configmaps", "default")
    watch = client.watch("configmaps", "default", resource_version=listed["metadata"]["resourceVersion"])
    async with asyncio.timeout(LIMIT_S):
        for number in range(CREATES, CREATES + WATCHED):
            began = time.perf_counter()
            _, event = await asyncio.gather(client.create("configmaps", _config_map(number), "default"), anext(watch))
            if event.obj["metadata"]["name"] != f"inside-{number}":
                raise RuntimeError(f"the watch told of {event.obj['metadata']['name']}, not of inside-{number}")
            latencies.append(time.perf_counter() - began)
    return latencies


def _quantile_ms(took: list[float], q: float) -> float:
    return sorted(took)[int(q * len(took))] * 1000
