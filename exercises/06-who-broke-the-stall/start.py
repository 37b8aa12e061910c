"""The night at the market: three people write, one after the other, each under their own name."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

SPACE, NAME = "market", "stall"
PATIENCE_S = 30

BROKEN = {"name": "web", "image": "ngnix:1.28", "env": [{"name": "STALL_KEY", "value": "changeme"}],
          "readinessProbe": {"httpGet": {"path": "/", "port": 8080}}}
NIGHT = [
    ("anna", {"spec": {"replicas": 3}}),
    ("night-shift", {"spec": {"template": {"spec": {"containers": [BROKEN]}}}}),
    ("ben", {"metadata": {"labels": {"team": "fruit"}}, "spec": {"replicas": 4}}),
]


def start(cluster: Any) -> None:
    cluster.call(night(cluster.client))


async def night(client: Any) -> None:
    for who, change in NIGHT:
        await well(client)
        await client.patch("deployments", NAME, change, SPACE, type="strategic", field_manager=who)


async def well(client: Any) -> None:
    """Give the stall time to be what was asked for; after the write that breaks it, two that serve are enough."""
    changes = client.watch("deployments", SPACE, field_selector=f"metadata.name={NAME}")
    async with asyncio.timeout(PATIENCE_S), aclosing(changes):
        async for event in changes:
            if event.obj.get("status", {}).get("readyReplicas", 0) >= 2:
                return
