"""A Deployment of a thousand pods on a hundred hollow nodes: from apply to bound, and to Ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from kubelab.bench import Figure

PODS, NODES, LIMIT_S = 1_000, 100, 120.0


def measure() -> Iterator[Figure]:
    """Measure in process, as a notebook has it; one watcher counts."""
    from kubelab import Cluster, Deployment

    with Cluster(NODES, runtime="hollow", quiet=True) as cluster:
        bound_s, ready_s = cluster.call(_roll_out(cluster, Deployment("web", image="nginx", replicas=PODS)))
    yield Figure("1,000 pods on 100 nodes bound", bound_s, "s", "49.8 s; 3.6 s without client rate limits", 3.6, "less")
    yield Figure("1,000 pods on 100 hollow nodes Ready", ready_s, "s", "-", 3.6, "less")


async def _roll_out(cluster: Any, deployment: dict[str, Any]) -> tuple[float, float]:
    bound: set[str] = set()
    ready: set[str] = set()
    listed = await cluster.client.list("pods", "default")
    began = time.perf_counter()
    bound_s = 0.0
    await cluster.client.create("deployments.apps", deployment, "default")
    async with asyncio.timeout(LIMIT_S):
        async for event in cluster.client.watch("pods", "default",
                                                resource_version=listed["metadata"]["resourceVersion"]):
            pod = event.obj
            if event.type == "BOOKMARK":
                continue
            name = pod["metadata"]["name"]
            if pod["spec"].get("nodeName"):
                bound.add(name)
                if len(bound) == PODS and not bound_s:
                    bound_s = time.perf_counter() - began
            if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ())):
                ready.add(name)
                if len(ready) == PODS:
                    return bound_s, time.perf_counter() - began
    raise TimeoutError("the watch ended before all pods were ready")
