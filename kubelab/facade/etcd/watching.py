"""A watch as a notebook uses it: a for loop over changes, which ends when nothing more comes.

    store ─► on_events (on the cluster's loop) ─► queue ─► for event in watch (in the cell)

Invariant: after `stop`, the end of the loop or its interruption, the store holds no watch of ours.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from types import TracebackType

from kubelab.control_plane.etcd.api import WatchedEvent
from kubelab.facade.etcd.values import Event, event_of


class EtcdWatch:
    """Iterate it for events; raises Compacted or Unavailable when the store cannot go on.

    `timeout_s` ends the loop after that long without one; None goes on until `stop`.
    """

    def __init__(self, key: str, timeout_s: float | None) -> None:
        self.key, self.timeout_s = key, timeout_s
        self.cancel: Callable[[], object] = lambda: None  # set once the store has taken the watch
        self._events: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        self._stopped = False

    def feed(self, events: list[WatchedEvent]) -> None:
        """Take what the store tells, on the cluster's loop."""
        for event in events:
            self._events.put(event_of(event))

    def lost(self, error: Exception) -> None:
        """Take that the store cannot go on: the loop raises it after what was told before."""
        self._events.put(error)

    def stop(self) -> None:
        """End the watch; a loop over it ends after what it has already been told."""
        if not self._stopped:
            self._stopped = True
            self.cancel()
            self._events.put(None)

    def __iter__(self) -> EtcdWatch:
        return self

    def __next__(self) -> Event:
        try:
            event = self._events.get(timeout=self.timeout_s)
        except queue.Empty:
            event = None
        except BaseException:  # the cell was interrupted
            self.stop()
            raise
        if isinstance(event, Exception):
            self.stop()
            raise event
        if event is None:
            self.stop()
            self._events.put(None)
            raise StopIteration
        return event

    def __enter__(self) -> EtcdWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{'stopped ' if self._stopped else ''}watch on {self.key}: iterate it, or .stop()>"
