"""RaftNode from its owner's side: what it refuses, what a Ready holds, what a restart needs."""

from __future__ import annotations

import random

import pytest

from kubelab.control_plane.etcd.raft import (
    TRANSITIONS,
    ConfChange,
    ConfState,
    Dropped,
    Entry,
    HardState,
    Message,
    NotLeader,
    RaftConfig,
    RaftNode,
    Ready,
    Snapshot,
    SnapshotMeta,
)

THREE = ConfState(frozenset({1, 2, 3}))


def node(conf: ConfState = THREE, id_: int = 1, **options: int) -> RaftNode:
    config = RaftConfig(id_, random=random.Random(1), pre_vote=False, **options)
    return RaftNode(config, None, conf, SnapshotMeta(1, 1, conf))


def done(member: RaftNode) -> list[Ready]:
    """Do all that a member asks for, and return it."""
    readies = []
    while member.has_ready():
        readies.append(member.ready())
        member.advance(readies[-1])
    return readies


def leader(**options: int) -> RaftNode:
    """Return a leader of three in term 2, whose first entry is committed."""
    member = node(**options)
    member.campaign()
    done(member)
    member.step(Message("vote-response", 1, 2, 2))
    done(member)
    member.step(Message("append-response", 1, 2, 2, index=2))
    done(member)
    assert (member.role, member.commit) == ("leader", 2)
    return member


def test_one_voter_commits_alone_but_only_what_is_stored() -> None:
    """A proposal is in `entries` first, and in `committed` after that Ready was advanced."""
    member = node(ConfState(frozenset({1})))
    member.campaign()
    done(member)
    assert member.propose(b"x") == 3
    first, second = done(member)
    assert (first.entries, first.committed, first.must_sync) == ((Entry(2, 3, "normal", b"x"),), (), True)
    assert (second.committed, second.entries, second.must_sync) == ((Entry(2, 3, "normal", b"x"),), (), False)


def test_a_follower_refuses_and_names_the_leader() -> None:
    """Proposals and changes go to the leader; before one is known nobody is named."""
    member = node()
    for asked in (lambda: member.propose(b""), lambda: member.propose_conf(ConfChange("add", 4)),
                  lambda: member.transfer_leader(2), lambda: member.read_index(b"")):
        with pytest.raises(NotLeader, match="no leader is known"):
            asked()
    member.step(Message("heartbeat", 1, 3, 2))
    with pytest.raises(NotLeader, match="member 3 is"):
        member.propose(b"")


def test_proposals_gather_into_one_append() -> None:
    """What was proposed since the last Ready leaves in one message a follower."""
    member = leader()
    for _ in range(5):
        member.propose(b"x")
    appends = [m for m in done(member)[0].messages if m.type == "append" and m.to == 2]
    assert [len(m.entries) for m in appends] == [5]


def test_flow_control() -> None:
    """At most `max_inflight` appends of at most `max_append_bytes` go out without an answer; an answer lets more go."""
    member = leader(max_inflight=2, max_append_bytes=10)
    for _ in range(5):
        member.propose(bytes(10))
    sent = [m.index for r in done(member) for m in r.messages if m.type == "append" and m.to == 2]
    assert sent == [2, 3]
    member.step(Message("append-response", 1, 2, 2, index=3))
    assert [m.index for r in done(member) for m in r.messages if m.to == 2 and m.entries] == [4]


def test_a_lost_append_is_found_by_the_next_heartbeat() -> None:
    """The answer to a heartbeat of a follower that lacks something makes the leader ask where it is."""
    member = leader()
    member.propose(b"x")
    done(member)
    member.step(Message("heartbeat-response", 1, 2, 2))
    probe = [m for r in done(member) for m in r.messages if m.to == 2]
    assert [(m.type, m.index) for m in probe] == [("append", 3)]
    member.step(Message("append-response", 1, 2, 2, index=3, reject=True, reject_hint=2, log_term=2))
    assert [m.entries for r in done(member) for m in r.messages if m.to == 2] == [(Entry(2, 3, "normal", b"x"),)]


def test_one_change_at_a_time() -> None:
    """The next change waits until the last one is applied."""
    member = leader()
    member.propose_conf(ConfChange("add", 4))
    with pytest.raises(Dropped, match="under way"):
        member.propose_conf(ConfChange("add", 5))


def test_a_restart_begins_from_what_was_stored() -> None:
    """Term, vote and log are there again; committed entries after the snapshot are applied anew."""
    entries = [Entry(2, 2), Entry(2, 3, "normal", b"x")]
    member = RaftNode(RaftConfig(1), HardState(4, 2, 3), THREE, SnapshotMeta(1, 1, THREE), entries, 1)
    assert (member.term, member.role, member.commit, member.applied) == (4, "follower", 3, 1)
    assert done(member)[0].committed == tuple(entries)
    member.step(Message("vote", 1, 3, 4, index=9, log_term=3))
    assert [m.reject for r in done(member) for m in r.messages] == [True]  # it voted for 2


def test_a_change_applied_after_a_newer_snapshot_came_changes_nothing() -> None:
    """The owner may be applying a change while a snapshot that knows better arrives."""
    member = node(id_=3)
    change = ConfChange("add", 4)
    member.step(Message("append", 3, 1, 2, 1, 1, (Entry(2, 2, "config", change.encode()),), 2))
    ready = member.ready()
    newer = ConfState(frozenset({1, 3}))
    member.step(Message("snapshot", 3, 1, 2, snapshot=Snapshot(SnapshotMeta(20, 2, newer), b"state")))
    assert member.apply_conf(change) == newer
    member.advance(ready)
    assert [r.snapshot.meta.index for r in done(member) if r.snapshot] == [20]
    assert (member.applied, member.conf) == (20, newer)


def test_what_is_not_applied_cannot_be_compacted() -> None:
    """A snapshot holds applied entries only."""
    member = leader()
    member.propose(b"x")
    with pytest.raises(ValueError, match="index 3 is not applied yet"):
        member.compact(3, THREE)
    member.compact(2, THREE)
    assert member.log.first == 3


def test_a_joining_member_is_quiet() -> None:
    """Without knowing any members it never stands, however long nobody speaks."""
    member = RaftNode(RaftConfig(9))
    for _ in range(100):
        member.tick()
    assert (done(member), member.term) == ([], 0)


def test_the_roles_are_closed() -> None:
    """Every arrow of the drawing leads to a role that has arrows, and every role is reached from a follower."""
    reached, new = {"follower"}, {"follower"}
    while new:
        new = {to for role in new for to in TRANSITIONS[role].values()} - reached  # type: ignore[index]
        reached |= new
    assert reached == set(TRANSITIONS)
