"""A world of synthetic objects, fresh for each test."""

from __future__ import annotations

import pytest

from tests.views.world import World


@pytest.fixture
def world() -> World:
    return World()
