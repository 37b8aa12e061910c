"""The picture of members that really run Raft: an election, a cut, and what becomes of the lesser side's entries."""

from __future__ import annotations

import asyncio

from kubelab.views.consensus import Flights, picture
from tests.views.raft_members import RaftGroup

PODS = "/registry/pods/default/web-"


def leading(group: RaftGroup) -> int:
    """Step time until somebody leads; return its place."""
    for _ in range(200):
        if picture(group)["leader"]:
            return int(picture(group)["leader"][1:])
        group.tick()
    raise AssertionError("nobody was elected")


def test_an_election_is_seen_as_votes_that_fly_and_a_leader_with_a_term() -> None:
    group, flights = RaftGroup(), Flights()
    group.journal.subscribe(flights.hear)
    leader = leading(group)
    flown = {(start, kind) for start, _, kind, _ in flights.take()}
    assert (f"m{leader}", "vote") in flown and (f"m{leader}", "append") in flown
    assert {m["vote"] for m in picture(group)["members"]} >= {f"m{leader}"}
    group.tick(3)
    assert {kind for _, _, kind, _ in flights.take()} == {"heartbeat", "heartbeat-response"}


def test_entries_of_the_lesser_side_are_hollow_and_are_replaced_when_the_cut_heals() -> None:
    group = RaftGroup(5)
    old = leading(group)
    lesser = [old, (old + 1) % 5]
    asyncio.run(group.partition(lesser, [i for i in range(5) if i not in lesser]))
    group.write(old, PODS + "lost")
    group.tick()
    member = picture(group)["members"][old]
    assert member["log"][-1][2] == PODS + "lost" and member["log"][-1][0] > member["commit"]
    assert picture(group)["leader"] == ""
    new = leading(group)
    assert new not in lesser
    group.write(new, PODS + "kept")
    group.tick(2)
    asyncio.run(group.heal())
    group.tick(30)
    keys = [[key for *_, key in m["log"]] for m in picture(group)["members"]]
    assert all(PODS + "kept" in log and PODS + "lost" not in log for log in keys)


def test_without_a_quorum_nobody_leads_and_with_it_somebody_does_again() -> None:
    group = RaftGroup()
    first = leading(group)
    other = (first + 1) % 3
    asyncio.run(group.kill(first))
    asyncio.run(group.kill(other))
    group.tick(60)
    assert picture(group)["leader"] == ""
    asyncio.run(group.restart(other))
    group.tick()
    assert leading(group) != first
