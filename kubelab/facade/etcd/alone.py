"""One store as the consensus view sees it: a group of one member whose log is what was written last.

    store ── watch("/") ─► the last few (revision, key) ─► OneStore.members ─► ConsensusView

Invariant: at most one watch is open; it is opened anew after the store was stopped and started.
Left out:  terms and votes: one member asks nobody
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from kubelab.client.component import Component
from kubelab.control_plane.etcd.api import EtcdApi, EtcdError, WatchedEvent, WatchHandle
from kubelab.views.consensus import TAIL

ONE = "one member has nobody to talk to: start a cluster whose store has three, Cluster(etcd=3)"


@dataclass(frozen=True, slots=True)
class Written:
    """A write of one store: its revision stands where a group has the log's index."""

    index: int
    key: str
    term: int = 0


@dataclass(frozen=True, slots=True)
class Alone:
    """What one store says of itself, in the words of a member of several."""

    name: str
    state: str
    commit: int
    tail: Sequence[Written]
    role: str = "leader"
    term: int = 0
    vote: str = ""

    @property
    def leader(self) -> str:
        return self.name

    @property
    def applied(self) -> int:
        return self.commit


class OneStore:
    """A group of one. Its store is `component`, which is an EtcdApi as well."""

    groups: Sequence[Sequence[int]] = ()

    def __init__(self, component: Component) -> None:
        self._component = component
        self._etcd: EtcdApi = component  # type: ignore[assignment]
        self._tail: deque[Written] = deque(maxlen=TAIL)
        self._watch: WatchHandle | None = None

    @property
    def members(self) -> Sequence[Alone]:
        running = self._component.state == "running"
        if running and self._watch is None:
            self._watch = self._etcd.watch(b"/", b"0", on_events=self._wrote, on_lost=self._lost)
        elif not running:
            self.close()
        revision = max(self._etcd.revision if running else 0, self._tail[-1].index if self._tail else 0)
        return [Alone(self._component.name, "running" if running else "dead", revision, tuple(self._tail))]

    def _wrote(self, events: Sequence[WatchedEvent]) -> None:
        self._tail.extend(Written(e.kv.mod_revision, e.kv.key.decode("utf-8", "replace")) for e in events)

    def _lost(self, _: EtcdError) -> None:
        self._watch = None

    def close(self) -> None:
        """Watch no longer. Safe to call again."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    async def kill(self, member: int) -> None:
        await self._component.stop()

    async def restart(self, member: int) -> None:
        await self._component.start()

    async def pause(self, member: int) -> NoReturn:
        raise LookupError(ONE)

    async def resume(self, member: int) -> NoReturn:
        raise LookupError(ONE)

    async def slow_disk(self, member: int, seconds: float) -> NoReturn:
        raise LookupError(ONE)

    async def partition(self, *groups: Sequence[int]) -> NoReturn:
        raise LookupError(ONE)

    async def heal(self) -> NoReturn:
        raise LookupError(ONE)
