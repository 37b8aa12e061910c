"""A leader's view of a follower: how much may be on its way."""

from __future__ import annotations

from kubelab.control_plane.etcd.raft import Progress


def test_probing_sends_one_at_a_time() -> None:
    """After one append a probe waits for the answer."""
    progress = Progress(5)
    assert not progress.paused(8)
    progress.sent(6, 2)
    assert progress.paused(8) and progress.next == 5
    progress.accepted(6)
    assert not progress.paused(8) and (progress.match, progress.next) == (6, 7)


def test_replicating_fills_a_window() -> None:
    """Appends go out without answers up to the window; an answer frees all before it."""
    progress = Progress(1)
    progress.become_replicate()
    for last in (1, 2, 3):
        progress.sent(last, 1)
    assert progress.paused(3) and not progress.paused(4)
    progress.accepted(2)
    assert not progress.paused(3) and list(progress.inflight) == [3]


def test_a_rejection_moves_back_once() -> None:
    """The hint counts for the append that is on its way, not for an older one."""
    progress = Progress(10)
    assert progress.rejected(9, 4) and progress.next == 5
    assert not progress.rejected(9, 2) and progress.next == 5


def test_a_rejection_while_replicating_probes_again() -> None:
    """Something was lost: begin after what is known; an answer from before that is ignored."""
    progress = Progress(1)
    progress.become_replicate()
    progress.accepted(3)
    progress.sent(8, 5)
    assert not progress.rejected(2, 0)
    assert progress.rejected(7, 3) and (progress.state, progress.next) == ("probe", 4)


def test_a_snapshot_stops_everything() -> None:
    """Nothing is sent until it was delivered; then what comes after it."""
    progress = Progress(1)
    progress.become_snapshot(20)
    assert progress.paused(100)
    progress.become_probe()
    assert (progress.state, progress.next) == ("probe", 21)
