"""The checker sees: each bug that is planted into Raft or under it is found by the simulator within some seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kubelab.control_plane.etcd.raft import (
    Entry,
    RaftConfig,
    election,
    liveness,
    membership,
    read_index,
    replication,
)
from kubelab.control_plane.etcd.raft.log import RaftLog
from kubelab.control_plane.etcd.raft.state import State
from tests.etcd.raft import simulator

Plant = Callable[[pytest.MonkeyPatch], None]


def commits_older_terms_by_counting(patch: pytest.MonkeyPatch) -> None:
    """A majority is enough, whatever the entry's term (figure 3.7)."""
    patch.setattr(replication, "may_commit", lambda state, index: True)


def votes_twice(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets the vote, though it was given in this term."""
    patch.setattr(election, "may_vote", lambda state, message: True)


def forgets_its_vote(patch: pytest.MonkeyPatch) -> None:
    """The vote does not survive a crash."""
    start = simulator.Member.start

    def forgetful(member: simulator.Member, config: RaftConfig) -> None:
        if member.disk.hard is not None:
            member.disk.hard = member.disk.hard._replace(vote=0)
        start(member, config)

    patch.setattr(simulator.Member, "start", forgetful)


def votes_for_short_logs(patch: pytest.MonkeyPatch) -> None:
    """A candidate's log is not looked at."""
    patch.setattr(RaftLog, "is_up_to_date", lambda log, index, term: True)


def skips_the_consistency_check(patch: pytest.MonkeyPatch) -> None:
    """Entries are taken whatever stands before them."""
    patch.setattr(RaftLog, "matches", lambda log, index, term: index <= log.last)


def acknowledges_before_fsync(patch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is lost in a crash, since it was in the cache only."""
    crash = simulator.Member.crash

    def lossy(member: simulator.Member) -> None:
        del member.disk.entries[-1:]
        crash(member)

    patch.setattr(simulator.Member, "crash", lossy)


def leader_counts_itself_too_early(patch: pytest.MonkeyPatch) -> None:
    """The leader counts an entry that its own disk does not have yet (section 10.2.1)."""
    append = replication.append

    def eager(state: State, kind: Any, data: bytes) -> int:
        index = append(state, kind, data)
        if state.id in state.progress:
            state.progress[state.id].accepted(index)
            replication.commit(state)
        return index

    patch.setattr(replication, "append", eager)


def old_appends_truncate(patch: pytest.MonkeyPatch) -> None:
    """A repeated append cuts off what came after it."""
    def merge(log: RaftLog, entries: Sequence[Entry]) -> None:
        if entries:
            if entries[0].index <= log.last:
                log._truncate(entries[0].index)
            log.append(entries)

    patch.setattr(RaftLog, "merge", merge)


def commits_beyond_what_agrees(patch: pytest.MonkeyPatch) -> None:
    """A heartbeat's commit is the leader's, though the follower's log may differ there."""
    def heartbeats(state: State) -> None:
        state.heartbeat_due, state.heartbeat_elapsed = False, 0
        for member, _ in state.followers:
            state.send("heartbeat", member, commit=state.log.commit)

    patch.setattr(liveness, "send_heartbeats", heartbeats)


def reads_without_asking(patch: pytest.MonkeyPatch) -> None:
    """A leader answers reads at once: it may have been deposed."""
    patch.setattr(read_index, "has_majority", lambda members, voters: True)


def reads_before_committing(patch: pytest.MonkeyPatch) -> None:
    """A new leader answers reads before it knows what is committed."""
    patch.setattr(State, "has_committed_in_term", True)


def changes_members_two_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """A change may begin before the last one is applied: majorities need not overlap."""
    propose = membership.propose

    def hasty(state: State, change: membership.ConfChange) -> int:
        state.pending_conf = 0
        return propose(state, change)

    patch.setattr(membership, "propose", hasty)


BUGS: dict[Plant, int] = {  # how many schedules may pass before it is found: rare ones need a coincidence
    commits_older_terms_by_counting: 1500,
    votes_twice: 50,
    forgets_its_vote: 500,
    votes_for_short_logs: 100,
    skips_the_consistency_check: 200,
    acknowledges_before_fsync: 100,
    leader_counts_itself_too_early: 100,
    old_appends_truncate: 500,
    commits_beyond_what_agrees: 50,
    reads_without_asking: 4000,
    reads_before_committing: 1500,
    changes_members_two_at_a_time: 3000,
}


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator finds this bug, names the seed, and finds it again from that."""
    plant(monkeypatch)
    found = next((seed for seed in range(BUGS[plant]) if failure(seed)), None)
    assert found is not None, f"{BUGS[plant]} schedules did not find it"
    assert f"--replay {found}" in failure(found)


def failure(seed: int) -> str:
    """Return what a schedule finds wrong, with the note on how to replay it, or nothing."""
    try:
        simulator.run(seed)
    except AssertionError as error:
        return f"{error} {error.__notes__}"
    return ""
