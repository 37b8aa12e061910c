"""The state machine: the same entries make the same state, and a state that travels answers as it did at home."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.control_plane.etcd.api import Compacted, Compare, DeleteRange, EtcdError, Put
from kubelab.control_plane.etcd.history import Change
from kubelab.control_plane.etcd.lease import Leases
from kubelab.control_plane.etcd.members.commands import (
    Command,
    Compaction,
    GrantLease,
    Publish,
    RenewLease,
    RevokeLease,
    SetAlarm,
    Transaction,
)
from kubelab.control_plane.etcd.members.machine import REMEMBERED, Machine, decode, encode
from kubelab.control_plane.etcd.raft.membership import ConfChange
from kubelab.control_plane.etcd.server_api import MemberInfo
from kubelab.machinery.clock import SteppedClock

KEY = st.sampled_from((b"a", b"b", b"c", b"d"))
LEASE = st.sampled_from((1, 2, 3))
OP: st.SearchStrategy[Any] = st.builds(Put, KEY, st.binary(max_size=3), st.sampled_from((0, 0, 1, 2, 3))) \
    | st.builds(DeleteRange, KEY, st.sampled_from((None, b"\0")))
COMMAND: st.SearchStrategy[Command] = st.one_of(
    st.builds(Transaction, st.lists(st.builds(Compare, KEY, st.just("version"), st.sampled_from(("=", ">")),
                                              st.integers(0, 2)), max_size=1),
              st.lists(OP, max_size=3), st.lists(OP, max_size=2)),
    st.builds(GrantLease, LEASE, st.just(60)), st.builds(RevokeLease, LEASE), st.builds(RenewLease, LEASE),
    st.builds(Compaction, st.integers(1, 30)), st.builds(SetAlarm, st.sampled_from((0, 1)), st.just("NOSPACE"),
                                                         st.booleans()),
    st.builds(Publish, st.sampled_from((1, 9)), st.just("m"), st.just(("u",))))


def machine(told: list[Any] | None = None) -> Machine:
    def tell(changes: list[Change], revision: int) -> None:
        if told is not None:
            told.append((revision, list(changes)))

    made = Machine(Leases(SteppedClock(), lambda lease: None), tell)
    made.members = {member: MemberInfo(member, f"m{member}") for member in (1, 2)}
    return made


def apply(to: Machine, entries: list[Command]) -> list[Any]:
    return [repr(to.apply(command)) for command in entries]


def answers(of: Machine) -> Any:
    """Return everything that can be asked of a machine, at every revision."""
    store, found = of.store, []
    for revision in range(1, store.revision + 2):
        for ask in (lambda at: store.range(b"a", b"\0", at), store.changes_since, store.hash):
            try:
                found.append(repr(ask(revision)))
            except EtcdError as refusal:
                found.append(repr(refusal))
    leases = {lease: (ttl, sorted(of.leases.get(lease).keys)) for lease, ttl in of.leases.granted()}
    return found, store.revision, store.compact_revision, leases, of.alarms, of.members


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMAND, max_size=40), st.lists(COMMAND, max_size=10))
def test_a_state_that_travels_answers_as_it_did_at_home(entries: list[Command], more: list[Command]) -> None:
    """Reads of the past, changes for watches, checksums and leases, also after compaction; and so it goes on."""
    home, away = machine(), machine()
    apply(home, entries)
    home.first_time(77, 1, 9)
    away.become(decode(encode(home.state())))
    assert answers(away) == answers(home)
    assert away.state() == home.state()
    assert apply(away, more) == apply(home, more)
    assert answers(away) == answers(home)
    assert away.knows(77)


@settings(max_examples=60, deadline=None)
@given(st.lists(COMMAND, max_size=40))
def test_the_same_entries_give_the_same(entries: list[Command]) -> None:
    """Whatever the time, and whoever applies them: the same results, changes and state."""
    told: tuple[list[Any], list[Any]] = [], []
    first, second = machine(told[0]), machine(told[1])
    results = apply(first, entries)
    random.seed(7)
    second.leases = Leases(SteppedClock(start=5.0), lambda lease: None)
    second.store._has_lease = second.leases.has
    assert apply(second, entries) == results
    assert told[0] == told[1]
    assert answers(first) == answers(second)


def test_revisions_are_told_once_each_in_order() -> None:
    """Also that of a lease which takes its keys with it."""
    told: list[Any] = []
    made = machine(told)
    apply(made, [GrantLease(1, 60), Transaction((), [Put(b"a", b"", 1), Put(b"b", b"", 1)]), RevokeLease(1),
                 Transaction((), [DeleteRange(b"a")]), Transaction((), [Put(b"c", b"")])])
    assert [(revision, [change.kv.key for change in changes]) for revision, changes in told] == [
        (2, [b"a", b"b"]), (3, [b"a", b"b"]), (4, [b"c"])]


def test_a_request_counts_once_and_not_too_late() -> None:
    """As many ids are remembered as there are places in the log where a copy may still stand."""
    made = machine()
    assert made.first_time(7, index=10, until=10 + REMEMBERED)
    assert not made.first_time(7, index=11, until=10 + REMEMBERED)
    for index in range(12, REMEMBERED + 10):
        assert made.first_time(1_000_000 + index, index, index + 1)
    assert not made.first_time(7, index=REMEMBERED + 10, until=REMEMBERED + 10)
    assert not made.first_time(8, index=11, until=10)


def test_what_is_compacted_already_is_refused() -> None:
    """As etcd refuses it; the automatic compaction of long histories is the same on every member."""
    made = machine()
    apply(made, [Transaction((), [Put(b"a", b"%d" % number)]) for number in range(5)])
    assert made.apply(Compaction(4)) is None
    assert isinstance(made.apply(Compaction(4)), Compacted)
    assert isinstance(made.apply(Compaction(99)), EtcdError)


def test_members_come_and_go() -> None:
    """Who was removed is remembered, and takes its alarms along."""
    made = machine()
    made.change_members(ConfChange("add_learner", 3), MemberInfo(3, "", ("p",), (), True))
    made.apply(Publish(3, "m3", ("c",)))
    made.apply(SetAlarm(3, "NOSPACE", True))
    made.change_members(ConfChange("promote", 3), None)
    assert made.members[3] == MemberInfo(3, "m3", ("p",), ("c",))
    made.change_members(ConfChange("update", 3), MemberInfo(3, "other", ("q",)))
    assert made.members[3] == MemberInfo(3, "m3", ("q",), ("c",))
    made.change_members(ConfChange("remove", 3), None)
    assert (list(made.members), made.alarms, made.gone) == ([1, 2], frozenset(), {3})


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_state_that_was_cut_off_is_told(cut: int) -> None:
    """Rather than to go on with half of it."""
    made = machine()
    apply(made, [Transaction((), [Put(b"a", b"1")])])
    with pytest.raises((ValueError, struct.error)):
        decode(encode(made.state())[:cut])
