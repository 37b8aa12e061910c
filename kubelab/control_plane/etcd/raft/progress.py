"""What a leader knows of one follower, and how much it dares to send it: flow control.

    probe ──── accepted ───► replicate ─── needs what was compacted ──► snapshot
      ▲                          │                                        │
      └── rejected, unreachable ─┘        probe ◄── delivered or failed ──┘

    probe      one append at a time, until the place where the logs agree is found
    replicate  send on without waiting, up to `max_inflight` messages
    snapshot   send nothing

Invariants: match < next; everything up to `match` is on the follower's disk.
Models:     etcd-io/raft's tracker.Progress; section 10.2.2 (pipelining)
"""

from __future__ import annotations

from collections import deque
from typing import Literal

ProgressState = Literal["probe", "replicate", "snapshot"]


class Progress:
    __slots__ = ("inflight", "match", "next", "nudged", "pending_snapshot", "recently_active", "sent_commit", "state",
                 "waits")

    def __init__(self, next_index: int, *, recently_active: bool = False) -> None:
        self.match = 0  # the last entry known to be on the follower's disk
        self.next = next_index  # the first to send next
        self.state: ProgressState = "probe"
        self.waits = False  # in probe: an append is on its way
        self.nudged = False  # something may have been lost: ask, even if there is nothing to send
        self.inflight: deque[int] = deque()  # the last index of each append on its way, in replicate
        self.sent_commit = 0
        self.pending_snapshot = 0
        self.recently_active = recently_active  # heard of since the last check of the quorum

    def __repr__(self) -> str:
        return f"Progress({self.state}, match={self.match}, next={self.next})"

    def paused(self, max_inflight: int) -> bool:
        if self.state == "probe":
            return self.waits
        return self.state == "snapshot" or len(self.inflight) >= max_inflight

    def become_probe(self) -> None:
        behind = self.pending_snapshot if self.state == "snapshot" else 0
        self.state, self.pending_snapshot, self.waits = "probe", 0, False
        self.next = max(self.match, behind) + 1
        self.inflight.clear()

    def become_replicate(self) -> None:
        self.state, self.pending_snapshot, self.waits = "replicate", 0, False
        self.next = self.match + 1
        self.inflight.clear()

    def become_snapshot(self, index: int) -> None:
        self.state, self.pending_snapshot, self.waits = "snapshot", index, False
        self.inflight.clear()

    def sent(self, last: int, count: int) -> None:
        """Note that an append with `count` entries up to `last` went out."""
        self.nudged = False
        if self.state == "probe":
            self.waits = True
        elif count:
            self.next = last + 1  # optimistic: it will arrive
            self.inflight.append(last)

    def accepted(self, index: int) -> bool:
        """Note that the follower's log agrees up to `index`; tell whether that is news."""
        news = index > self.match
        self.match = max(self.match, index)
        self.next = max(self.next, index + 1)
        self.waits = False
        while self.inflight and self.inflight[0] <= index:
            self.inflight.popleft()
        return news

    def rejected(self, index: int, hint: int) -> bool:
        """Move back after the follower did not have `index`; tell whether this answer was not an old one."""
        if self.state == "replicate":
            if index <= self.match:
                return False
            self.become_probe()
            return True
        if self.state == "snapshot" or index != self.next - 1:
            return False
        self.next = max(min(index, hint + 1), self.match + 1)
        self.waits = False
        return True
