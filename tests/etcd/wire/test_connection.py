"""A client that plays with HTTP/2 within its rules: small windows, streams that it leaves, tables that shrink."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, TrailersReceived
from h2.settings import SettingCodes

from kubelab.control_plane.etcd.wire import stubs as pb

from .conftest import Served


def _headers(path: str) -> list[tuple[str, str]]:
    return [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "etcd"), ("te", "trailers"),
            ("content-type", "application/grpc")]


class Peer:
    """A client's side of HTTP/2 without anything that answers by itself but settings and pings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.http.initiate_connection()

    def ask(self, path: str, message: Any) -> int:
        """Send a call of one message."""
        stream, body = self.http.get_next_available_stream_id(), message.SerializeToString()
        self.http.send_headers(stream, _headers(path))
        self.http.send_data(stream, struct.pack(">BI", 0, len(body)) + body, end_stream=True)
        self.writer.write(self.http.data_to_send())
        return stream

    async def events(self) -> AsyncIterator[Any]:
        while True:
            self.writer.write(self.http.data_to_send())
            data = await asyncio.wait_for(self._reader.read(65_536), 10)
            assert data, "the server has ended the connection"
            for event in self.http.receive_data(data):
                yield event

    async def answer(self, stream: int) -> tuple[bytes, str]:
        """Take a call's answer, giving back to the windows what came; return its bytes and its status."""
        body, status = b"", ""
        async for event in self.events():
            if isinstance(event, DataReceived):
                assert event.stream_id == stream
                body += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, TrailersReceived):
                status = dict(event.headers)["grpc-status"]
            elif isinstance(event, StreamEnded):
                break
        return body, status


@pytest.fixture
async def peer(served: Served) -> AsyncIterator[Peer]:
    host, port = served.address.rsplit(":", 1)
    peer = Peer(*await asyncio.open_connection(host, int(port)))
    yield peer
    peer.writer.close()


async def test_an_answer_larger_than_the_windows_comes_in_pieces(served: Served, peer: Peer) -> None:
    """Whatever the client lets through at a time, the whole message arrives, then its status."""
    await served.etcd.put(b"large", bytes(300_000))
    peer.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 5_000})
    body, status = await peer.answer(peer.ask("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"large")))
    assert struct.unpack_from(">BI", body) == (0, len(body) - 5) and status == "0"
    assert pb.RangeResponse.FromString(body[5:]).kvs[0].value == bytes(300_000)


async def test_a_call_that_its_client_leaves_holds_nothing(served: Served, peer: Peer) -> None:
    """One that waits for the window is dropped, and others go on."""
    await served.etcd.put(b"large", bytes(300_000))
    peer.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    left = peer.ask("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"large"))
    (connection,) = served.wire._connections
    async for _ in peer.events():
        if connection.blocked:
            break
    peer.http.reset_stream(left)
    peer.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
    body, status = await peer.answer(peer.ask("/etcdserverpb.KV/Put", pb.PutRequest(key=b"k", value=b"v")))
    assert body and status == "0" and not connection.calls and not connection.blocked


async def test_a_table_of_headers_that_shrinks(peer: Peer) -> None:
    """Answers are understood before and after the client has taken its table away and given it back."""
    for size in (4096, 4096, 0, 0, 4096, 60, 60):
        peer.http.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
        for _ in range(3):
            body, status = await peer.answer(peer.ask("/etcdserverpb.KV/Put", pb.PutRequest(key=b"k", value=b"v")))
            assert body and status == "0"


async def test_a_header_bomb(served: Served, peer: Peer) -> None:
    """A block that unpacks to more than 64 KiB ends the connection."""
    peer.http.send_headers(1, [*_headers("/etcdserverpb.KV/Put"), *[("x", "v" * 4000)] * 100])
    bomb = peer.http.data_to_send()
    assert len(bomb) < 10_000
    peer.writer.write(bomb)
    with pytest.raises(AssertionError, match="has ended"):
        async for _ in peer.events():
            pass
    assert not served.wire._connections
