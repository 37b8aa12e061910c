"""Watches over the wire: all of them on one stream, which is opened again wherever it ended.

    watch() ─► create ─┐                        ┌─► events ─► on_events      next = revision + 1
    cancel() ──────────┼─► one stream to etcd ──┼─► progress ─► on_progress  next = revision + 1
    ask_progress() ────┘        │ broken        └─► compacted ─► on_lost
                                └─► another member: create each watch anew from its `next`

Invariant: a watch is told each revision once, whole and in order, whichever members it was on.
Models:    clientv3's watchGrpcStream
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from kubelab.control_plane.etcd.api import Compacted, OnEvents, OnLost, OnProgress, Unavailable, WatchedEvent
from kubelab.control_plane.etcd.endpoints import REQUIRE_LEADER, Members, etcd_error
from kubelab.control_plane.etcd.remote_convert import Words
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import Message

AGAIN_S = 0.1
SILENCE_S = 2.0  # a member that owes an answer for so long is left
WATCH = pb.SERVICES["Watch"]["Watch"]


class RemoteWatch:
    """One watch; `next` is the revision from which it has still to be told, 0 before etcd has said what is now."""

    def __init__(self, watches: RemoteWatches, id_: int, key: bytes, end: bytes, start_revision: int, prev_kv: bool,
                 on_events: OnEvents, on_progress: OnProgress | None, on_lost: OnLost | None) -> None:
        self._watches, self.id, self.key, self.end, self.next = watches, id_, key, end, start_revision
        self.prev_kv, self.on_events, self.on_progress, self.on_lost = prev_kv, on_events, on_progress, on_lost

    def cancel(self) -> None:
        """Stop: no callback comes after this."""
        self._watches.cancel(self)

    def request(self) -> Message:
        return pb.WatchRequest(create_request=pb.WatchCreateRequest(
            watch_id=self.id, key=self.key, range_end=self.end, start_revision=self.next, prev_kv=self.prev_kv))


class RemoteWatches:
    """The watches of one API server. `run` carries them until it is cancelled."""

    def __init__(self, members: Members, words: Words) -> None:
        self._members, self._words = members, words
        self._watches: dict[int, RemoteWatch] = {}
        self._last_id = 0
        self._say: asyncio.Queue[Message] | None = None  # what goes out on the stream, while there is one
        self._wanted, self._silent = asyncio.Event(), asyncio.Event()
        self._due: float | None = None  # when something has to have come

    def __len__(self) -> int:
        return len(self._watches)

    def open(self, key: bytes, end: bytes | None, start_revision: int, prev_kv: bool, on_events: OnEvents,
             on_progress: OnProgress | None, on_lost: OnLost | None) -> RemoteWatch:
        self._last_id += 1  # never used twice: an answer can be about no other watch
        watch = self._watches[self._last_id] = RemoteWatch(
            self, self._last_id, self._words.key(key), self._words.key(end), start_revision, prev_kv, on_events,
            on_progress, on_lost)
        self._tell(watch.request())
        self._wanted.set()
        return watch

    def cancel(self, watch: RemoteWatch) -> None:
        if self._watches.pop(watch.id, None) is not None:
            self._tell(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch.id)))

    def expect(self) -> None:
        """Say, now and again, that something is sure to come: a member that brings nothing is left for another."""
        now = asyncio.get_running_loop().time()
        if self._due is None:
            self._due = now + SILENCE_S
        elif now > self._due:
            self._silent.set()

    def ask_progress(self) -> None:
        self._tell(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    def _tell(self, request: Message) -> None:
        if self._say is not None:
            self._say.put_nowait(request)

    async def run(self) -> None:
        """Keep a stream open while there are watches, on whichever member answers."""
        while True:
            await self._wanted.wait()
            channel = self._members.channel
            try:
                await self._stream(channel)
            except grpc.aio.AioRpcError as error:
                if not isinstance(etcd_error(error), Unavailable):
                    raise
            finally:
                self._say = None
            self._members.next(channel)
            await asyncio.sleep(AGAIN_S)

    async def _stream(self, channel: Any) -> None:
        call = channel.stream_stream(WATCH.path, request_serializer=WATCH.request.SerializeToString,
                                     response_deserializer=WATCH.response.FromString)(metadata=REQUIRE_LEADER)
        say: asyncio.Queue[Message] = asyncio.Queue()
        self._say = say
        for watch in self._watches.values():
            say.put_nowait(watch.request())
        self._silent.clear()
        self._due = None
        reader = asyncio.ensure_future(self._read(call))
        others = [asyncio.ensure_future(self._write(call, say)), asyncio.ensure_future(self._silent.wait())]
        try:
            await asyncio.wait({reader, others[1]}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
        finally:
            for task in (reader, *others):
                task.cancel()
            call.cancel()
            await asyncio.gather(reader, *others, return_exceptions=True)

    async def _read(self, call: Any) -> None:
        while (answer := await call.read()) is not grpc.aio.EOF:
            self._due = None
            self._hear(answer)

    async def _write(self, call: Any, say: asyncio.Queue[Message]) -> None:
        while True:
            await call.write(await say.get())

    # ── what etcd says ───────────────────────────────────────────────────────────────────────────────────────

    def _hear(self, answer: Message) -> None:
        watch = self._watches.get(answer.watch_id)
        if answer.canceled:
            if watch is not None:
                self._ended(watch, answer)
        elif answer.created:
            if watch is not None and not watch.next:
                watch.next = answer.header.revision + 1
        elif answer.events:
            if watch is not None:
                self._events(watch, answer)
        else:
            for each in [watch] if watch is not None else list(self._watches.values()):
                self._progress(each, answer.header.revision)

    def _events(self, watch: RemoteWatch, answer: Message) -> None:
        kv, events = self._words.kv, []
        for m in answer.events:
            if m.kv.mod_revision >= watch.next:
                prev = kv(m.prev_kv) if m.HasField("prev_kv") else None
                events.append(WatchedEvent("DELETE" if m.type else "PUT", kv(m.kv), prev))
        if events:
            watch.next = events[-1].kv.mod_revision + 1
            watch.on_events(events)

    def _progress(self, watch: RemoteWatch, revision: int) -> None:
        if revision >= watch.next:
            watch.next = revision + 1
        if watch.on_progress is not None:
            watch.on_progress(revision)

    def _ended(self, watch: RemoteWatch, answer: Message) -> None:
        """Tell a watch that it is over; a member without a leader ends the stream, which is no end of the watch."""
        if "no leader" in answer.cancel_reason:
            self._tell(watch.request())
            return
        del self._watches[watch.id]
        if watch.on_lost is not None:
            gone = answer.compact_revision
            watch.on_lost(Compacted(gone) if gone else Unavailable(answer.cancel_reason or "the watch was cancelled"))
