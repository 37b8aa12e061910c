"""Changes of the members, as data."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.raft import ConfChange, ConfState, Dropped
from kubelab.control_plane.etcd.raft.membership import changed, check

CONF = ConfState(frozenset({1, 2, 3}), frozenset({4}))


@pytest.mark.parametrize(("change", "voters", "learners"), [
    (ConfChange("add", 5), {1, 2, 3, 5}, {4}), (ConfChange("add", 4), {1, 2, 3, 4}, set()),
    (ConfChange("promote", 4), {1, 2, 3, 4}, set()), (ConfChange("promote", 9), {1, 2, 3}, {4}),
    (ConfChange("add_learner", 5), {1, 2, 3}, {4, 5}), (ConfChange("add_learner", 1), {1, 2, 3}, {4}),
    (ConfChange("remove", 3), {1, 2}, {4}), (ConfChange("remove", 4), {1, 2, 3}, set()),
    (ConfChange("update", 2, b"elsewhere"), {1, 2, 3}, {4})])
def test_one_step(change: ConfChange, voters: set[int], learners: set[int]) -> None:
    """Each change gives exactly these members, and survives being written down."""
    assert changed(CONF, change) == ConfState(frozenset(voters), frozenset(learners))
    assert ConfChange.decode(change.encode()) == change


@pytest.mark.parametrize("change", [
    ConfChange("add", 1), ConfChange("add_learner", 4), ConfChange("promote", 1), ConfChange("remove", 9),
    ConfChange("update", 9)])
def test_what_would_do_nothing_is_refused(change: ConfChange) -> None:
    """The refusal names the member."""
    with pytest.raises(Dropped, match=f"member {change.member} "):
        check(CONF, change)


def test_the_last_voter_stays() -> None:
    """Nobody could decide anything any more."""
    alone = ConfState(frozenset({1}))
    assert changed(alone, ConfChange("remove", 1)) == alone
    with pytest.raises(Dropped, match="last voter"):
        check(alone, ConfChange("remove", 1))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x09" + bytes(8)])
def test_garbage_is_no_change(data: bytes) -> None:
    """Bytes that no change encodes to are refused."""
    with pytest.raises(ValueError, match="not a change"):
        ConfChange.decode(data)
