"""Majorities."""

from __future__ import annotations

from itertools import combinations

import pytest

from kubelab.control_plane.etcd.raft.membership import ConfChange, changed
from kubelab.control_plane.etcd.raft.quorum import has_majority, majority, stored_by_majority, tally
from kubelab.control_plane.etcd.raft.types import ConfState


@pytest.mark.parametrize(("match", "index"), [
    ({}, 0), ({1: 7}, 7), ({1: 7, 2: 5}, 5), ({1: 7, 2: 5, 3: 0}, 5), ({1: 9, 2: 9, 3: 7, 4: 5, 5: 3}, 7),
    ({1: 9, 2: 8, 3: 7, 4: 5}, 7)])
def test_stored_by_majority(match: dict[int, int], index: int) -> None:
    """The index that a majority has reached; for four that is three of them."""
    assert stored_by_majority(match, match.keys()) == index


def test_learners_and_strangers_do_not_count() -> None:
    """Only voters make a majority, and a voter of whom nothing is known has nothing."""
    assert stored_by_majority({1: 5, 9: 5, 8: 5}, {1, 2, 3}) == 0
    assert not has_majority({1, 8, 9}, {1, 2, 3})


def test_tally() -> None:
    """Won with a majority, lost when none is possible any more, open before."""
    voters = {1, 2, 3, 4}
    assert tally({1: True, 2: True}, voters) == "open"
    assert tally({1: True, 2: True, 3: True}, voters) == "won"
    assert tally({1: True, 2: False, 3: False}, voters) == "lost"


@pytest.mark.parametrize("size", range(1, 7))
def test_neighbouring_memberships_overlap(size: int) -> None:
    """Any majority before a change of one member shares a voter with any majority after it (section 4.1)."""
    before = ConfState(frozenset(range(1, size + 1)))
    for change in (ConfChange("add", size + 1), ConfChange("remove", 1)):
        after = changed(before, change)
        for old in combinations(before.voters, majority(before.voters)):
            for new in combinations(after.voters, majority(after.voters)):
                assert set(old) & set(new)
