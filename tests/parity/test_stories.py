"""Controllers and scheduler tell the Events and make the objects that the real ones did."""

from __future__ import annotations

import asyncio

import pytest

from . import stories
from .recording import cases
from .replay import TALLIES, Tally
from .world import NearTheMinute, control_plane

STORIES = ("deployment becomes available, with its service", "rolling update", "scale down", "recreate",
           "stateful set", "daemon set", "job", "disruption budget", "cron job", "limit range",
           "progress deadline", "does not fit", "tainted and cordoned", "namespace held by a finalizer")

# Of kinds that we serve and whose controllers we do not have.
WITHOUT_CONTROLLER = {"autoscaler without metrics", "claim waits"}


@pytest.mark.parametrize("name", STORIES)
async def test_a_story_goes_as_it_was_recorded(name: str) -> None:
    """The same Events are told, and what became of the objects is the same."""
    recorded = cases("stories")
    tally = TALLIES.setdefault("stories", Tally("stories"))
    tally.not_yet = sum(not stories.is_ours(s) for s in recorded)
    story = next(s for s in recorded if s["story"] == name)
    clock = NearTheMinute(4) if name == "cron job" else None
    async with control_plane("story-0", clock) as (_, client):
        stand_in = stories.StandIn(client)
        await stand_in.start()
        try:
            await stories.act(client, story, "story-0")
            found = await stories.differences(client, story, "story-0")
            for _ in range(12):  # what is late may still come
                if not found:
                    break
                await asyncio.sleep(0.5)
                found = await stories.differences(client, story, "story-0")
        finally:
            await stand_in.stop()
    tally.steps += 1
    tally.statuses += not any("event" in f for f in found)
    tally.bodies += not found
    assert found == []


def test_every_story_of_our_kinds_is_replayed() -> None:
    """No story is forgotten."""
    assert {s["story"] for s in cases("stories") if stories.is_ours(s)} - WITHOUT_CONTROLLER == set(STORIES)
