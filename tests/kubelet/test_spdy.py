from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable

import pytest

from kubelab.node.kubelet import spdy
from kubelab.node.kubelet.port_forward import PortForwarder
from kubelab.node.kubelet.spdy import Framer, SpdyError
from kubelab.node.kubelet.spdy_session import BUFFER_BYTES, Session, Stream, StreamReset
from kubelab.node.runtime.protocol import RuntimeFailure


def test_the_dictionary_is_the_published_one() -> None:
    """Its length and checksum (the id that zlib puts into every stream) are those of the specification."""
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_frames_survive_any_portioning() -> None:
    """Frames come out whole, however the bytes arrive; header compression keeps its memory between them."""
    out, back = Framer(), Framer()
    data = out.syn_stream(1, {"streamType": "data", "port": "80"}) + spdy.data_frame(1, b"hello", fin=True)
    data += out.syn_reply(3, {"streamType": "error"}) + spdy.ping(7) + spdy.goaway(3) + spdy.settings(100)
    frames = [f for i in range(len(data)) for f in back.feed(data[i:i + 1])]
    assert [f.type for f in frames] == [spdy.SYN_STREAM, spdy.DATA, spdy.SYN_REPLY, spdy.PING, spdy.GOAWAY,
                                        spdy.SETTINGS]
    assert frames[0].headers == {"streamtype": "data", "port": "80"}
    assert (frames[1].data, frames[1].fin) == (b"hello", True)
    assert frames[5].value == 100


@pytest.mark.parametrize("data", [
    b"\x80\x02\x00\x01\x00\x00\x00\x00", b"\x80\x03\x00\x01\x00\x00\x00\x02ab", b"\x00\x00\x00\x01\x00\xff\xff\xff",
    b"\x80\x03\x00\x01\x00\x00\x00\x0f" + b"\x00" * 10 + b"trash"])
def test_broken_frames_are_refused(data: bytes) -> None:
    """Another version, a short body, an endless frame and a false header block end the connection."""
    with pytest.raises(SpdyError):
        list(Framer().feed(data))


def test_a_header_bomb_is_refused() -> None:
    """A few bytes that inflate to megabytes are not taken."""
    bomb = Framer().syn_stream(1, {"a": "x" * 5_000_000})
    with pytest.raises(SpdyError):
        list(Framer().feed(bomb))


class Peer:
    """The other end of a session under test."""

    def __init__(self, on_stream: Callable[[Stream], None]) -> None:
        self.framer, self.back = Framer(), Framer()
        self.got: list[spdy.Frame] = []
        self.session = Session(self._receive, on_stream)

    async def _receive(self, data: bytes) -> None:
        self.got += self.back.feed(data)

    def sent(self, kind: int) -> list[spdy.Frame]:
        return [f for f in self.got if f.type == kind]


async def test_a_stream_carries_bytes_both_ways() -> None:
    """What is written arrives in order and ends with FIN; reading ends with b""."""
    streams: list[Stream] = []
    peer = Peer(streams.append)
    await peer.session.feed(peer.framer.syn_stream(1, {}) + spdy.data_frame(1, b"ab", fin=True))
    assert [await streams[0].read(), await streams[0].read()] == [b"ab", b""]
    await streams[0].write(b"x" * 100_000)
    await streams[0].close_write()
    assert b"".join(f.data for f in peer.sent(spdy.DATA)) == b"x" * 100_000
    assert peer.sent(spdy.DATA)[-1].fin


async def test_a_peer_with_windows_is_not_overrun() -> None:
    """Once the peer speaks of windows, no more is sent than it allows, until it allows more."""
    streams: list[Stream] = []
    peer = Peer(streams.append)
    await peer.session.feed(spdy.settings(10) + peer.framer.syn_stream(1, {}))
    task = asyncio.ensure_future(streams[0].write(b"x" * 25))
    await asyncio.sleep(0.01)
    assert sum(len(f.data) for f in peer.sent(spdy.DATA)) == 10
    await peer.session.feed(spdy.window_update(1, 15))
    await task
    assert sum(len(f.data) for f in peer.sent(spdy.DATA)) == 25


async def test_reading_opens_the_peers_window_again() -> None:
    """What has been read is announced, so that an upload never stops."""
    streams: list[Stream] = []
    peer = Peer(streams.append)
    await peer.session.feed(peer.framer.syn_stream(1, {}) + spdy.data_frame(1, b"x" * 40_000))
    await streams[0].read()
    assert [f.value for f in peer.sent(spdy.WINDOW_UPDATE)] == [40_000]


async def test_a_slow_reader_holds_the_peer_back() -> None:
    """`feed` waits while more than the buffer's worth is unread."""
    streams: list[Stream] = []
    peer = Peer(streams.append)
    await peer.session.feed(peer.framer.syn_stream(1, {}))
    part = spdy.data_frame(1, b"x" * 500_000)
    task = asyncio.ensure_future(peer.session.feed(part * (BUFFER_BYTES // 500_000 + 1)))
    await asyncio.sleep(0.01)
    assert not task.done()
    await streams[0].read()
    await asyncio.wait_for(task, 1)


async def test_a_reset_ends_reader_and_writer() -> None:
    """RST_STREAM of the peer is an error for both directions, and a lost connection is one for every stream."""
    streams: list[Stream] = []
    peer = Peer(streams.append)
    await peer.session.feed(peer.framer.syn_stream(1, {}) + peer.framer.syn_stream(3, {}) + spdy.rst_stream(1, 5))
    with pytest.raises(StreamReset):
        await streams[0].read()
    peer.session.close()
    with pytest.raises(StreamReset):
        await streams[1].write(b"x")


async def test_pings_are_answered_and_stream_ids_only_grow() -> None:
    """The client's pings come back; a stream id that was used already ends the connection."""
    peer = Peer(lambda stream: None)
    await peer.session.feed(spdy.ping(1) + peer.framer.syn_stream(5, {}))
    assert [f.value for f in peer.sent(spdy.PING)] == [1]
    with pytest.raises(SpdyError):
        await peer.session.feed(peer.framer.syn_stream(5, {}))


class Pipe:
    """A connection into a pod that answers in capitals."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        return await self.queue.get()

    async def write(self, data: bytes) -> None:
        self.queue.put_nowait(data.upper())

    async def close_write(self) -> None:
        self.queue.put_nowait(b"")

    async def close(self) -> None:
        self.closed = True


async def forward(dial: Callable[[int], Awaitable[Pipe]]) -> tuple[list[spdy.Frame], PortForwarder]:
    got: list[spdy.Frame] = []
    back, client, ended = Framer(), Framer(), asyncio.Event()

    async def receive(data: bytes) -> None:
        got.extend(back.feed(data))
        if sum(f.fin for f in got) == 2:
            ended.set()

    forwarder = PortForwarder(receive, dial, "web, uid : 1")
    head = {"port": "80", "requestID": "0"}
    await forwarder.session.feed(
        client.syn_stream(1, head | {"streamType": "error"}) + spdy.data_frame(1, b"", fin=True)
        + client.syn_stream(3, head | {"streamType": "data"}) + spdy.data_frame(3, b"hello", fin=True))
    await asyncio.wait_for(ended.wait(), 2)
    return got, forwarder


async def test_a_pair_of_streams_is_joined_with_a_connection() -> None:
    """The data stream reaches the port and back; both streams end, and so does the connection."""
    pipe = Pipe()

    async def dial(port: int) -> Pipe:
        assert port == 80
        return pipe

    got, forwarder = await forward(dial)
    assert b"".join(f.data for f in got if f.stream_id == 3) == b"HELLO"
    assert not any(f.data for f in got if f.stream_id == 1)
    await forwarder.close()
    assert pipe.closed


async def test_a_port_where_nobody_listens_is_told_on_the_error_stream() -> None:
    """kubectl prints what comes there: an error occurred forwarding ..."""

    async def dial(port: int) -> Pipe:
        raise RuntimeFailure("InternalError", "connection refused")

    got, forwarder = await forward(dial)
    assert b"".join(f.data for f in got if f.stream_id == 1) == (
        b"error forwarding port 80 to pod web, uid : 1: connection refused")
    await forwarder.close()
