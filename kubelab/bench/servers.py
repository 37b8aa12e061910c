"""Two API servers, each a process, on one store: the same requests as one server gets, spread over both."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Iterator

from kubelab.bench import Figure, load
from kubelab.bench.api import CONFIGMAPS, configmap, endpoint

GETS, CREATES, CONNECTIONS = 12_000, 4_000, 32


def measure() -> Iterator[Figure]:
    """Measure GET, each of which asks the store how new it is, and create."""
    with load.cluster("--nodes", "0", "--apiservers", "2") as target:
        port, context = endpoint(target.kubeconfig)
        yield from asyncio.run(_measure(port, context))


async def _measure(port: int, context: ssl.SSLContext) -> list[Figure]:
    numbers, count = itertools.count(), itertools.count()

    def create() -> bytes | None:
        number = next(numbers)
        return load.request("POST", CONFIGMAPS, configmap(f"shared-{number}")) if number < CREATES else None

    get = load.request("GET", f"{CONFIGMAPS}/shared-7")
    creates = (await load.run(port, context, create, CONNECTIONS)).check(201)
    gets = (await load.run(port, context, lambda: get if next(count) < GETS else None, CONNECTIONS)).check(200)
    return [
        Figure("two servers: GET, 32 connections", gets.per_second, "/s", "3,000 to 4,100 /s", 4_100, "more"),
        Figure("two servers: create, 32 at once", creates.per_second, "/s", "1,380 /s", 1_380, "more"),
        Figure("two servers: create, p99", creates.quantile_ms(0.99), "ms", "65 ms", 65, "less"),
    ]
