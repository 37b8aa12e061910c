"""The log in memory: indices, terms, what is kept and what gives way."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.raft import ConfState, Entry, Snapshot, SnapshotMeta
from kubelab.control_plane.etcd.raft.log import RaftLog

CONF = ConfState(frozenset({1, 2, 3}))


def log_of(*terms: int, after: int = 0, commit: int = 0) -> RaftLog:
    """Return a log with entries of these terms after a snapshot of index `after` in term 1."""
    meta = SnapshotMeta(after, 1 if after else 0, CONF)
    return RaftLog(meta, [Entry(term, after + at, "normal", b"abc") for at, term in enumerate(terms, 1)], commit, after)


def test_terms_are_known_from_the_snapshot_on() -> None:
    """The snapshot's own index has a term; before it and after the end there is none."""
    log = log_of(2, 2, 3, after=5)
    assert [log.term_at(index) for index in (4, 5, 6, 8, 9)] == [None, 1, 2, 3, None]
    assert (log.first, log.last, log.last_term) == (6, 8, 3)


def test_a_slice_fits_its_bytes_but_holds_at_least_one() -> None:
    """Entries of three bytes: seven bytes hold two, none hold one."""
    log = log_of(1, 1, 1, 1)
    assert [len(log.slice(1, 4, limit)) for limit in (0, 3, 7, 100)] == [1, 1, 2, 4]


def test_a_merge_keeps_what_agrees() -> None:
    """Entries that are there already stay, with all after them; only a conflict cuts."""
    log = log_of(1, 1, 2)
    log.merge([Entry(1, 2, "normal", b"abc")])
    assert log.last == 3 and log.stable == 3
    log.merge([Entry(1, 2, "normal", b"abc"), Entry(3, 3)])
    assert (log.last, log.last_term, log.stable) == (3, 3, 2)


def test_what_is_committed_is_never_replaced() -> None:
    """A conflict at or before the commit index is a broken promise, and loud."""
    log = log_of(1, 1, 2, commit=2)
    with pytest.raises(AssertionError, match="entry 2 is committed"):
        log.merge([Entry(3, 2)])


def test_up_to_date_compares_terms_first() -> None:
    """A later last term wins over a longer log; with equal terms the longer one does."""
    log = log_of(1, 1, 2)
    assert log.is_up_to_date(1, 3) and log.is_up_to_date(3, 2) and not log.is_up_to_date(2, 2)
    assert not log.is_up_to_date(9, 1)


def test_a_hint_skips_a_whole_term() -> None:
    """The place to look next is the last one of a term that the asker may have."""
    log = log_of(1, 1, 3, 3, 3)
    assert log.conflict_hint(5, 2) == (2, 1)
    assert log.conflict_hint(9, 3) == (5, 3)
    assert log.conflict_hint(5, 0) == (0, 0)


def test_stable_only_if_not_replaced_meanwhile() -> None:
    """A write that ends after its entries were replaced proves nothing."""
    log = log_of(1)
    log.append([Entry(1, 2), Entry(1, 3)])
    log.merge([Entry(2, 2)])
    log.stable_to(3, 1)
    assert log.stable == 1
    log.stable_to(2, 2)
    assert log.stable == 2


def test_compaction_and_restore() -> None:
    """Compaction keeps what comes after; a snapshot from the leader replaces everything."""
    log = log_of(1, 1, 2, commit=3)
    log.compact(SnapshotMeta(2, 1, CONF))
    assert (log.first, log.last, log.term_at(3)) == (3, 3, 2)
    log.restore(Snapshot(SnapshotMeta(9, 4, CONF)))
    assert (log.first, log.last, log.last_term, log.commit, log.stable) == (10, 9, 4, 9, 9)


def test_a_hole_is_refused() -> None:
    """Entries that do not follow the snapshot cannot be a log."""
    with pytest.raises(AssertionError, match="hole"):
        RaftLog(SnapshotMeta(3, 1, CONF), [Entry(1, 5)], 0, 3)
