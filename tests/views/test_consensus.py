"""The picture of consensus is a function of what the members say."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.machinery.journal import Journal
from kubelab.views.consensus import TAIL, Flights, leader_of, picture
from kubelab.views.consensus_svg import draw
from kubelab.views.consensus_view import ConsensusView, act
from tests.views.members import FakeGroup, log


def test_a_picture_names_the_leader_the_quorum_and_the_end_of_each_log() -> None:
    group = FakeGroup(5)
    group.put(1, tail=log(40))
    drawn = picture(group)
    assert (drawn["leader"], drawn["quorum"], len(drawn["members"])) == ("m0", 3, 5)
    assert len(drawn["members"][1]["log"]) == TAIL
    assert drawn["members"][1]["log"][-1] == [40, 2, "/registry/pods/default/web-40"]


def test_a_leader_that_was_cut_off_leads_nobody() -> None:
    group = FakeGroup()
    assert leader_of(group.members, [[0], [1, 2]]) == ""
    group.put(1, role="leader", term=3)
    assert leader_of(group.members, [[0], [1, 2]]) == "m1"


def test_a_leader_without_a_living_majority_leads_nobody() -> None:
    group = FakeGroup()
    group.put(1, state="dead")
    assert leader_of(group.members) == "m0"
    group.put(2, state="paused")
    assert leader_of(group.members) == ""


def test_messages_are_counted_by_way_and_kind_and_forgotten_when_taken() -> None:
    journal, flights = Journal(), Flights()
    journal.subscribe(flights.hear)
    for _ in range(3):
        journal.record("raft", "heartbeat", "m1", actor="m0")
    journal.record("write", "create", "pods/default/web-1")
    assert flights.take() == [["m0", "m1", "heartbeat", 3]]
    assert flights.take() == []


def test_every_button_reaches_the_group() -> None:
    group = FakeGroup()

    async def press() -> list[str]:
        seen = []
        for what in ("kill", "restart", "pause", "resume", "slow", "fast"):
            await act(group, {"act": what, "member": 1})
            seen.append(group.members[1].state)
        await act(group, {"act": "partition", "groups": [[0], [1, 2]]})
        assert group.groups == ([0], [1, 2])
        await act(group, {"act": "heal"})
        return seen

    assert asyncio.run(press()) == ["dead", "running", "paused", "running", "slow", "running"]
    assert group.groups == ()


@pytest.mark.parametrize("message", [{"act": "melt"}, {"act": "kill", "member": 7}, {"act": "kill", "member": -1}])
def test_what_cannot_be_done_is_said(message: dict[str, object]) -> None:
    with pytest.raises(LookupError):
        asyncio.run(act(FakeGroup(), message))


def test_the_still_drawing_tells_who_leads_and_escapes_keys() -> None:
    group = FakeGroup()
    assert "m0 leads" in draw(picture(group))
    group.put(0, state="dead", name="<m0>")
    still = draw(picture(group))
    assert "nobody leads" in still and "<m0>" not in still


def test_a_widget_follows_its_group_until_it_is_stopped() -> None:
    async def follow() -> None:
        group = FakeGroup()
        loop = asyncio.get_running_loop()
        view = ConsensusView.__new__(ConsensusView)
        calls = asyncio.Queue[str]()
        started: list[asyncio.Task[object]] = []

        def call(work: object) -> object:
            started.append(loop.create_task(work))  # type: ignore[arg-type]
            return loop

        view.__init__(group, Journal(), call=call)  # type: ignore[misc]
        await started[0]
        view.observe(lambda change: calls.put_nowait(change["new"]["leader"]), "picture")
        await group.kill(0)
        assert await asyncio.wait_for(calls.get(), 5) == ""
        view.stop()
        await started[-1]
        assert view._timer is not None and view._timer.cancelled()

    asyncio.run(follow())
