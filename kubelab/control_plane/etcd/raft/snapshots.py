"""Snapshots: a log that was compacted sends a follower the state itself instead of the entries that made it.

    owner snapshots its state ─► compact(index, conf) ─► entries up to index are gone
    a follower needs one of them ─► "snapshot" with meta ─► the owner fills in the data ─► restore ─► append-response

Invariant: a follower restores only what is beyond its own commit index, and drops its whole log then (section 5.1).
Models:    etcd-io/raft's handleSnapshot
Left out:  chunks (figure 5.3): one message carries the snapshot, its transport may cut it up
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft.progress import Progress
from kubelab.control_plane.etcd.raft.state import State
from kubelab.control_plane.etcd.raft.types import ConfState, Message, Snapshot, SnapshotMeta


def compact(state: State, index: int, conf: ConfState) -> None:
    """Forget entries up to `index`, which the owner's snapshot holds; `conf` are the members at that index.

    Raises ValueError for an index that is not applied yet. An index that is gone already changes nothing.
    """
    if index > state.log.applied:
        raise ValueError(f"index {index} is not applied yet (applied: {state.log.applied}): snapshot after applying")
    if index > state.log.snapshot.index:
        term = state.log.term_at(index)
        assert term is not None
        state.log.compact(SnapshotMeta(index, term, conf))


def send(state: State, member: int, progress: Progress) -> bool:
    """Send where the log begins; nothing more until it is reported or answered. A silent member gets none."""
    if not progress.recently_active:
        return False
    meta = state.log.snapshot
    state.send("snapshot", member, snapshot=Snapshot(meta))
    progress.become_snapshot(meta.index)
    return False


def report(state: State, member: int, ok: bool) -> None:
    """Go on with a follower after its snapshot was delivered, or was not."""
    progress = state.progress.get(member)
    if progress is not None and progress.state == "snapshot":
        if not ok:
            progress.pending_snapshot = 0
        progress.become_probe()
        progress.waits = True  # give it time: its next answer lets the leader go on


def on_snapshot(state: State, message: Message) -> None:
    assert message.snapshot is not None
    _restore(state, message.snapshot)
    state.send("append-response", message.from_, index=state.log.commit)


def _restore(state: State, snapshot: Snapshot) -> None:
    meta, log = snapshot.meta, state.log
    if meta.index <= log.commit:
        return
    if log.matches(meta.index, meta.term):
        log.commit_to(meta.index)  # everything is here already
        return
    log.restore(snapshot)
    state.belong(meta.conf)
