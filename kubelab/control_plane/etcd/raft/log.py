"""The log in memory: entries since the last snapshot, and how far they are stable, committed and applied.

        snapshot ─┐            ┌─ applied      ┌─ commit    ┌─ stable    ┌─ last
    ░░░░░░░░░░░░░░│ 8 │ 9 │ 10 │ 11 │ 12 │ 13 ─│ 14 │ 15 ───│ 16 │ 17 ───│
       (gone)     first

Invariants: applied <= commit <= last; entries up to `commit` are never replaced; what is stable is on this disk.
Models:     etcd-io/raft's raftLog; section 3.5
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.etcd.raft.types import Entry, Snapshot, SnapshotMeta


class RaftLog:
    """Indices begin at 1; 0 is the empty log's last, with term 0."""

    __slots__ = ("_entries", "applied", "commit", "pending", "snapshot", "stable")

    def __init__(self, snapshot: SnapshotMeta, entries: Sequence[Entry], commit: int, applied: int) -> None:
        self.snapshot = snapshot  # where the log begins
        self._entries = [entry for entry in entries if entry.index > snapshot.index]
        assert not self._entries or self._entries[0].index == snapshot.index + 1, "a hole between snapshot and log"
        self.stable = self.last
        self.commit = min(max(commit, snapshot.index), self.last)
        self.applied = max(applied, snapshot.index)
        assert self.applied <= self.last, f"applied {self.applied} lies beyond the log's end {self.last}"
        self.commit = max(self.commit, self.applied)
        self.pending: Snapshot | None = None  # received, not yet stored and restored by the owner

    @property
    def first(self) -> int:
        return self.snapshot.index + 1

    @property
    def last(self) -> int:
        return self.snapshot.index + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self.snapshot.term

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry, or None where this log has none or no longer has it."""
        at = index - self.snapshot.index
        if 0 < at <= len(self._entries):
            return self._entries[at - 1].term
        return self.snapshot.term if at == 0 else None

    def slice(self, low: int, high: int, max_bytes: int | None = None) -> tuple[Entry, ...]:
        """Return entries low..high, both included; with `max_bytes` as many as fit, and at least one."""
        base = self.snapshot.index + 1
        found = self._entries[low - base:high - base + 1] if high >= low else []
        if max_bytes is not None:
            room = max_bytes
            for count, entry in enumerate(found):
                room -= len(entry.data)
                if room < 0 and count:
                    return tuple(found[:count])
        return tuple(found)

    # ── the rules ────────────────────────────────────────────────────────────────────────────────────────────

    def matches(self, index: int, term: int) -> bool:
        """Tell whether the entry before new ones is the same here: then all before it are too (section 3.5)."""
        return self.term_at(index) == term

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Tell whether a log that ends with this entry has at least what this one has (section 3.6.1)."""
        return (term, index) >= (self.last_term, self.last)

    def conflict_hint(self, index: int, term: int) -> tuple[int, int]:
        """Return the last place up to `index` whose term is not above `term`, with its term: logs may agree there."""
        index = min(index, self.last)
        while (here := self.term_at(index)) is not None and here > term:
            index -= 1
        return index, here or 0

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────

    def append(self, entries: Sequence[Entry]) -> None:
        """Put entries after the last one (leader append-only)."""
        assert not entries or entries[0].index == self.last + 1
        self._entries += entries

    def merge(self, entries: Sequence[Entry]) -> None:
        """Take a leader's entries: keep what agrees, and replace all from the first that does not."""
        for position, entry in enumerate(entries):
            if self.term_at(entry.index) != entry.term:
                if entry.index <= self.last:
                    self._truncate(entry.index)
                self.append(entries[position:])
                return

    def _truncate(self, index: int) -> None:
        assert index > self.commit, f"entry {index} is committed (up to {self.commit}) and would be replaced"
        del self._entries[index - self.first:]
        self.stable = min(self.stable, index - 1)

    def commit_to(self, index: int) -> bool:
        """Move the commit index forward, never back; tell whether it moved."""
        if index <= self.commit:
            return False
        assert index <= self.last, f"commit {index} lies beyond the log's end {self.last}"
        self.commit = index  # from here on these entries are in every later leader's log
        return True

    def stable_to(self, index: int, term: int) -> None:
        """Note that entries are on disk up to this one, unless it was replaced while they were written."""
        if self.term_at(index) == term:
            self.stable = max(self.stable, index)

    def compact(self, meta: SnapshotMeta) -> None:
        """Forget entries up to a snapshot's."""
        del self._entries[:meta.index - self.snapshot.index]
        self.snapshot = meta

    def restore(self, snapshot: Snapshot) -> None:
        """Begin anew after a snapshot from the leader (section 5.1)."""
        self.snapshot, self.pending = snapshot.meta, snapshot
        self._entries = []
        self.stable = self.commit = snapshot.meta.index
