"""What makes a run of several members depend on its seed alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Seeded = Callable[[int], None]


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seeded]:
    """Return a function that sets the seed of every choice; what went to a thread is done at once."""
    async def at_once(work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    before = random.getstate()
    yield random.seed
    random.setstate(before)
