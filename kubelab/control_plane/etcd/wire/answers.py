"""The bytes of a watch's answers: events are encoded once, an answer is a join.

    WatchResponse = header │ watch_id │ created/canceled/... │ event │ event │ ...      (protobuf: tag, length, bytes)

Invariant: the bytes of an event are made once, however many watches are told of it.
Models:    etcdserverpb.WatchResponse; sendFragments of etcdserver's api/v3rpc/watch.go
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kubelab.control_plane.etcd.api import WatchedEvent
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import header, kv_message

if TYPE_CHECKING:
    from kubelab.control_plane.etcd.wire.watch import Told

ANSWER_BYTES = 3 * 512 * 1024  # an answer is not made longer than this, if it has several events
_EVENT_TAG = b"\x5a"  # field 11 of WatchResponse, a message
_CACHED_EVENTS = 512


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

    def __init__(self, etcd: EtcdServer) -> None:
        self._etcd = etcd
        self._encoded: dict[tuple[bytes, int, bool, bool], bytes] = {}  # key, revision, put or not, with prev_kv

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
        name = (kv.key, kv.mod_revision, event.type == "PUT", prev is not None)
        encoded = self._encoded.get(name)
        if encoded is None:
            message = pb.Event(type=0 if event.type == "PUT" else 1, kv=kv_message(kv))
            if prev is not None:
                message.prev_kv.CopyFrom(kv_message(prev))
            body = message.SerializeToString()
            encoded = _EVENT_TAG + _varint(len(body)) + body
            if len(self._encoded) >= _CACHED_EVENTS:
                self._encoded.clear()
            self._encoded[name] = encoded
        return encoded


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
