"""The bytes of a watch's answers: events are encoded once, an answer is a join.

    WatchResponse = header │ watch_id │ created/canceled/... │ event │ event │ ...      (protobuf: tag, length, bytes)

Invariant: the bytes of an event are made once, however many watches are told of it.
Models:    etcdserverpb.WatchResponse; sendFragments of etcdserver's api/v3rpc/watch.go
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kubelab.control_plane.etcd.api import KeyValue, WatchedEvent
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import header
from kubelab.control_plane.etcd.wire.encoded import Encoded, field

if TYPE_CHECKING:
    from kubelab.control_plane.etcd.wire.watch import Told

ANSWER_BYTES = 3 * 512 * 1024  # an answer is not made longer than this, if it has several events
KEPT_EVENTS = 512
_EVENT, _DELETED = b"\x5a", b"\x08\x01"  # field 11 of WatchResponse; field 1 of Event: its type


def gathered(entries: Sequence[Told | bytes]) -> list[Told | bytes]:
    """Join what one watch was told several times; nothing passes an answer of another kind."""
    joined: list[Told | bytes] = []
    last: dict[int, Told] = {}
    for entry in entries:
        if isinstance(entry, bytes):
            last.clear()
            joined.append(entry)
        elif entry.watch.id in last:
            last[entry.watch.id].events.extend(entry.events)
        else:
            own = entry._replace(events=list(entry.events))
            last[entry.watch.id] = own
            joined.append(own)
    return joined


class Answers:
    """Makes the answers of every watch on one store."""

    def __init__(self, etcd: EtcdServer, encoded: Encoded) -> None:
        self._etcd, self._encoded = etcd, encoded
        self._events: dict[tuple[int, bool], tuple[KeyValue, bytes]] = {}  # by identity of the key, and with prev_kv

    def control(self, watch_id: int, *, revision: int | None = None, created: bool = False, canceled: bool = False,
                compacted: int = 0, reason: str = "") -> bytes:
        """Return an answer without events: it is created, it is canceled, or this is how far it is."""
        encoded: bytes = pb.WatchResponse(header=header(self._etcd, revision), watch_id=watch_id, created=created,
                                          canceled=canceled, compact_revision=compacted,
                                          cancel_reason=reason).SerializeToString()
        return encoded

    def events(self, watch_id: int, told: Sequence[WatchedEvent], *, fragment: bool) -> Iterator[bytes]:
        """Yield the answers that carry these events, cut between revisions, or anywhere into fragments."""
        batch: list[bytes] = []
        size, revision = 0, 0
        for event in told:
            encoded = self._event(event)
            here = event.kv.mod_revision
            if size + len(encoded) > ANSWER_BYTES and batch and (fragment or here != revision):
                yield self._answer(watch_id, batch, revision, more=fragment and here == revision)
                batch, size = [], 0
            batch.append(encoded)
            size += len(encoded)
            revision = here
        yield self._answer(watch_id, batch, revision, more=False)

    def _answer(self, watch_id: int, batch: list[bytes], revision: int, *, more: bool) -> bytes:
        lead = pb.WatchResponse(header=header(self._etcd, revision), watch_id=watch_id, fragment=more)
        return b"".join((lead.SerializeToString(), *batch))

    def _event(self, event: WatchedEvent) -> bytes:
        """Return an event as it stands in an answer: with its tag and length."""
        kv, prev = event.kv, event.prev_kv
        known = self._events.get((id(kv), prev is not None))
        if known is not None and known[0] is kv:
            return known[1]
        body = (b"" if event.type == "PUT" else _DELETED) + self._encoded.kv(kv)
        if prev is not None:
            body += self._encoded.prev_kv(prev)
        made = field(_EVENT, body)
        if len(self._events) >= KEPT_EVENTS:
            self._events.clear()
        self._events[id(kv), prev is not None] = (kv, made)
        return made
