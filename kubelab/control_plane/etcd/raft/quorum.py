"""Majorities: any two of them share a member, and everything that Raft promises rests on that one.

    matches of 5 voters, sorted:  3  5 [7] 9  9      a majority has stored everything up to 7

Invariant: pure functions of the voters; learners count nowhere.
Models:    etcd-io/raft's quorum package, without joint majorities
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal


def majority(voters: Collection[int]) -> int:
    """Return how many of the voters a decision needs."""
    return len(voters) // 2 + 1


def has_majority(members: Collection[int], voters: Collection[int]) -> bool:
    return sum(1 for voter in voters if voter in members) >= majority(voters)


def stored_by_majority(match: Mapping[int, int], voters: Collection[int]) -> int:
    """Return the highest number that a majority of voters has reached; a voter that is not in `match` has 0."""
    reached = sorted(match.get(voter, 0) for voter in voters)
    return reached[(len(reached) - 1) // 2] if reached else 0


def tally(votes: Mapping[int, bool], voters: Collection[int]) -> Literal["won", "lost", "open"]:
    """Count an election: lost as soon as a majority can no longer be had."""
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    refused = sum(1 for voter in voters if votes.get(voter) is False)
    if granted >= majority(voters):
        return "won"
    return "lost" if len(voters) - refused < majority(voters) else "open"
