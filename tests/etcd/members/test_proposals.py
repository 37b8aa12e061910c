"""Requests and readers that wait for their answers."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.control_plane.etcd.errors import TimedOut, Unavailable
from kubelab.control_plane.etcd.members.proposals import REQUEST_S, Pending, Reads, Waiting


async def test_a_request_is_answered_once_and_forgotten() -> None:
    """The second answer, and one that nobody waits for, change nothing."""
    waiting, pending = Waiting(), Pending(7, "normal", b"", 1.0)
    waiting.add(pending)
    waiting.answer(7, "first")
    waiting.answer(7, "second")
    waiting.answer(8, "anyone")
    assert await pending.future == "first"
    await asyncio.sleep(0)
    assert len(waiting) == 0


async def test_who_gives_up_is_forgotten() -> None:
    """A request whose client has gone takes no room."""
    waiting, pending = Waiting(), Pending(7, "normal", b"", 1.0)
    waiting.add(pending)
    pending.future.cancel()
    await asyncio.sleep(0)
    assert list(waiting) == []


async def test_one_proof_serves_all_that_came_before_it_was_asked_for() -> None:
    """Whoever comes later waits for the next one."""
    reads = Reads()
    first, second = reads.join(0), reads.join(0)
    assert reads.wanted
    reads.ask(b"1", tick=1)
    late = reads.join(1)
    assert not reads.wanted
    reads.prove(b"1", index=5, applied=5)
    assert first.done()
    assert second.done()
    assert not late.done()
    assert reads.wanted


async def test_a_proven_reader_waits_until_the_index_is_applied() -> None:
    """Before that this member's keys may be old."""
    reads = Reads()
    reader = reads.join(0)
    reads.ask(b"1", tick=1)
    reads.prove(b"1", index=5, applied=4)
    assert not reader.done()
    reads.apply(5)
    assert reader.done()


async def test_the_answer_to_an_old_question_proves_nothing() -> None:
    """It may be of a leader from before the reader came."""
    reads = Reads()
    reads.join(0)
    reads.ask(b"1", tick=1)
    reads.ask_again()
    late = reads.join(0)
    reads.prove(b"1", index=5, applied=5)
    assert not late.done()
    assert reads.wanted


async def test_under_steady_load_nobody_is_turned_away() -> None:
    """There is always someone who waits, but nobody for long."""
    reads, served = Reads(), []
    for second in range(60):
        served.append(reads.join(second))
        reads.ask(b"%d" % second, tick=second)
        served.append(reads.join(second))
        reads.prove(b"%d" % second, index=second, applied=second)
        reads.expire(second)
    assert not any(reader.done() and reader.exception() for reader in served)


@pytest.mark.parametrize("progress", ["none", "asked", "proven"])
async def test_whoever_waits_too_long_is_turned_away_and_nobody_else(progress: str) -> None:
    """Without a leader, without an answer, or without what the answer asks for."""
    reads = Reads()
    early = reads.join(0)
    if progress != "none":
        reads.ask(b"1", tick=1)
    if progress == "proven":
        reads.prove(b"1", index=9, applied=1)
    late = reads.join(5)
    reads.expire(REQUEST_S + 1)
    with pytest.raises(TimedOut):
        await early
    assert not late.done()
    reads.fail(Unavailable())
    with pytest.raises(Unavailable):
        await late
