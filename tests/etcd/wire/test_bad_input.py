"""Requests that make no sense, or want too much: etcd's codes, and a member that goes on."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hpack import Encoder
from hyperframe import frame as frames

from kubelab.control_plane.etcd.wire import stubs as pb

from .client import Client, Refusal, answer, ask_progress, cancel, connected, create
from .conftest import Served


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    async with connected(served.address) as client:
        yield client
        assert (await client("KV", "Put", key=b"healthy", value=b"1")).header.revision > 1


def put_op(key: bytes = b"k", **fields: Any) -> Any:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, **fields))


def txn(*success: Any, compare: Any = (), failure: Any = ()) -> Any:
    return pb.TxnRequest(compare=compare, success=success, failure=failure)


def nested(*success: Any, failure: Any = ()) -> Any:
    return pb.RequestOp(request_txn=txn(*success, failure=failure))


DELETE_ALL = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a", range_end=b"z"))


@pytest.mark.parametrize(("method", "request_", "code", "text"), [
    ("Range", pb.RangeRequest(), "INVALID_ARGUMENT", "key is not provided"),
    ("Range", pb.RangeRequest(key=b"a", revision=99), "OUT_OF_RANGE", "mvcc: required revision is a future revision"),
    ("Range", pb.RangeRequest(key=b"a", sort_target=9), "INVALID_ARGUMENT", "invalid sort option"),
    ("Range", pb.RangeRequest(key=b"a", sort_order=-1), "INVALID_ARGUMENT", "invalid sort option"),
    ("Put", pb.PutRequest(value=b"1"), "INVALID_ARGUMENT", "key is not provided"),
    ("Put", pb.PutRequest(key=b"a", value=b"1", ignore_value=True), "INVALID_ARGUMENT", "value is provided"),
    ("Put", pb.PutRequest(key=b"a", lease=1, ignore_lease=True), "INVALID_ARGUMENT", "lease is provided"),
    ("Put", pb.PutRequest(key=b"none", ignore_lease=True), "INVALID_ARGUMENT", "key not found"),
    ("Put", pb.PutRequest(key=b"a", lease=5), "NOT_FOUND", "requested lease not found"),
    ("Put", pb.PutRequest(key=b"a", value=bytes(1_600_000)), "INVALID_ARGUMENT", "request is too large"),
    ("Put", pb.PutRequest(key=bytes(1_600_000)), "INVALID_ARGUMENT", "request is too large"),
    ("DeleteRange", pb.DeleteRangeRequest(), "INVALID_ARGUMENT", "key is not provided"),
    ("Txn", txn(*[put_op(b"%d" % i) for i in range(129)]), "INVALID_ARGUMENT", "too many operations in txn request"),
    ("Txn", txn(nested(*[put_op(b"%d" % i) for i in range(128)])), "INVALID_ARGUMENT",
     "too many operations in txn request"),
    ("Txn", txn(compare=[pb.Compare()]), "INVALID_ARGUMENT", "key is not provided"),
    ("Txn", txn(put_op(b"")), "INVALID_ARGUMENT", "key is not provided"),
    ("Txn", txn(pb.RequestOp()), "INVALID_ARGUMENT", "key not found"),
    ("Txn", txn(put_op(), put_op()), "INVALID_ARGUMENT", "duplicate key given in txn request"),
    ("Txn", txn(put_op(), DELETE_ALL), "INVALID_ARGUMENT", "duplicate key given in txn request"),
    ("Txn", txn(put_op(), nested(put_op())), "INVALID_ARGUMENT", "duplicate key given in txn request"),
    ("Txn", txn(put_op(), nested(failure=[DELETE_ALL])), "INVALID_ARGUMENT", "duplicate key given in txn request"),
    ("Txn", txn(pb.RequestOp(request_range=pb.RangeRequest(key=b"a", revision=99))), "OUT_OF_RANGE",
     "mvcc: required revision is a future revision"),
    ("Compact", pb.CompactionRequest(revision=99), "OUT_OF_RANGE", "mvcc: required revision is a future revision"),
])
async def test_a_request_that_etcd_refuses(client: Client, method: str, request_: Any, code: str, text: str) -> None:
    """It is refused with etcd's code and words."""
    with pytest.raises(Refusal) as refused:
        await client("KV", method, request_)
    assert (refused.value.code, refused.value.text) == (code, f"etcdserver: {text}")


async def test_both_branches_may_put_a_key_and_unknown_compares_find_equality(client: Client) -> None:
    """Only one branch runs; a compare of an unknown target is equal, one of an unknown result holds, as in etcd."""
    assert (await client("KV", "Txn", txn(nested(put_op(), failure=[put_op()]), put_op(b"l")))).succeeded

    async def holds(**fields: Any) -> bool:
        return bool((await client("KV", "Txn", txn(compare=[pb.Compare(key=b"k", **fields)]))).succeeded)

    assert await holds(target=9, result=0) and not await holds(target=9, result=1)
    assert not await holds(target=-3, result=3) and await holds(target=2, result=9)


async def test_messages_that_are_too_large_or_none(client: Client, served: Served) -> None:
    """A message over 2 MiB, garbage, an unknown method, a request that is not gRPC: each gets a status."""
    for path, data, code in (("/etcdserverpb.KV/Put", bytes(3_000_000), "RESOURCE_EXHAUSTED"),
                             ("/etcdserverpb.KV/Put", b"\xff\xff garbage", "INTERNAL"),
                             ("/etcdserverpb.KV/Nothing", b"", "UNIMPLEMENTED"),
                             ("/nothing", b"", "UNIMPLEMENTED")):
        with pytest.raises(Refusal) as refused:
            await client.raw(path, data)
        assert refused.value.code == code
    stream = client.channel.stream_stream("/etcdserverpb.Watch/Watch")()
    await stream.write(b"\xff\xff garbage")
    assert (await stream.code()).name == "INTERNAL"


async def test_a_thousand_watches_on_one_stream(client: Client) -> None:
    """Each is created, told its own key, and ended."""
    stream = client.stream()
    for i in range(1000):
        await stream.write(create(key=b"w/%d" % i))
    assert [(await answer(stream)).watch_id for _ in range(1000)] == list(range(1000))
    for i in range(0, 1000, 100):
        await client("KV", "Put", key=b"w/%d" % i)
    told = [await answer(stream) for _ in range(10)]
    assert [(a.watch_id, a.events[0].kv.key) for a in told] == [(i, b"w/%d" % i) for i in range(0, 1000, 100)]
    await stream.write(cancel(7))
    assert (await answer(stream)).canceled
    stream.cancel()


async def test_a_half_closed_stream_goes_on(client: Client, served: Served) -> None:
    """A client that has no more to say is still told; when it goes, its watches go."""
    stream = client.stream()
    await stream.write(create(key=b"h"))
    await stream.done_writing()
    assert (await answer(stream)).created
    await client("KV", "Put", key=b"h", value=b"1")
    assert (await answer(stream)).events[0].kv.value == b"1"
    stream.cancel()
    beats = client.stream("Lease", "LeaseKeepAlive")
    await beats.write(pb.LeaseKeepAliveRequest(ID=5))
    await beats.done_writing()
    assert (await answer(beats)).TTL == 0 and (await beats.code()).name == "OK"


async def test_watches_that_make_no_sense(client: Client) -> None:
    """An id that is taken, an empty range, a negative start: canceled at once; the stream goes on."""
    stream = client.stream()
    await stream.write(create(key=b"a", watch_id=5))
    assert (await answer(stream)).watch_id == 5
    for request, reason in ((create(key=b"a", watch_id=5), "mvcc: duplicate watch ID provided on the WatchStream"),
                            (create(key=b"b", range_end=b"a"), "mvcc: watcher range is empty"),
                            (create(key=b"b", start_revision=-1),
                             "etcdserver: mvcc: required revision has been compacted")):
        await stream.write(request)
        refused = await answer(stream)
        assert (refused.watch_id, refused.created, refused.canceled, refused.cancel_reason) == (-1, True, True, reason)
    await stream.write(pb.WatchRequest())
    await stream.write(cancel(99))
    await stream.write(ask_progress())
    assert (await answer(stream)).watch_id == -1
    stream.cancel()


async def _say(served: Served, data: bytes, until: bytes = b"") -> bytes:
    """Send bytes and return the answer: up to `until`, or all of it after our side has ended."""
    host, port = served.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    try:
        if until:
            return await asyncio.wait_for(reader.readuntil(until), 10)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PING, WINDOW_UPDATE = (kind.type for kind in (
    frames.DataFrame, frames.HeadersFrame, frames.PingFrame, frames.WindowUpdateFrame))
SETTINGS, CONTINUATION = frames.SettingsFrame.type, frames.ContinuationFrame.type
END_HEADERS, PADDED, INITIAL_WINDOW = 0x4, 0x8, frames.SettingsFrame.INITIAL_WINDOW_SIZE


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return any frame, also one that hyperframe would not make."""
    return struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


OPEN = PREFACE + frame(SETTINGS, 0, 0)


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", PREFACE[:10],
    OPEN + frame(SETTINGS, 0, 0, b"123"), OPEN + frame(PING, 0, 0, b"1"),
    OPEN + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
    OPEN + frame(HEADERS, END_HEADERS, 2, b"\x83"), OPEN + frame(HEADERS, 0, 1, b"\x83") * 2,
    OPEN + frame(CONTINUATION, 0, 1, b"x"), OPEN + frame(DATA, 0, 1, b"x"),
    OPEN + frame(DATA, PADDED, 0, b"\x09"), OPEN + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
    OPEN + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 1 << 31)),
    OPEN + struct.pack(">HBBBI", 0xFFFF, 0xFF, DATA, 0, 1),
    OPEN + frame(HEADERS, 0, 1, b"\x83") + frame(CONTINUATION, 0, 1, bytes(16_000)) * 5])
async def test_bytes_that_are_not_the_protocol(client: Client, served: Served, data: bytes) -> None:
    """The connection that breaks HTTP/2 ends, and that one alone."""
    assert await _say(served, data) is not None


def _header(name: bytes, value: bytes) -> bytes:
    return Encoder().encode([(name, value)])


def _request(stream: int, path: bytes, message: Any) -> bytes:
    headers = Encoder().encode([(b":method", b"POST"), (b":scheme", b"http"), (b":path", path),
                                (b"content-type", b"application/grpc")])
    body = message.SerializeToString()
    return frames.HeadersFrame(stream, headers, flags=["END_HEADERS"]).serialize() + \
        frames.DataFrame(stream, struct.pack(">BI", 0, len(body)) + body, flags=["END_STREAM"]).serialize()


async def test_a_peer_that_asks_and_does_not_read(client: Client, served: Served) -> None:
    """Ten thousand requests for a megabyte each, with windows wide open, fill no memory: answers wait to be made."""
    await client("KV", "Put", key=b"large", value=bytes(1_000_000))
    host, port = served.address.rsplit(":", 1)
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, (1 << 31) - 1)))
    writer.write(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 100_000)))
    asked = pb.RangeRequest(key=b"large")
    for i in range(10_000):
        writer.write(_request(2 * i + 1, b"/etcdserverpb.KV/Range", asked))
    for _ in range(20):  # calls of another connection, in between which that one's have their turn
        await client("KV", "Range", key=b"large")
    waiting = max(c._transport.get_write_buffer_size() for c in served.wire._connections if c._transport)
    assert 0 < waiting < 10_000_000
    writer.close()


async def test_random_bytes(client: Client, served: Served) -> None:
    """Mutated and random bytes, a thousand connections of them, leave the member healthy."""
    random_ = random.Random(7)
    good = OPEN + _request(1, b"/etcdserverpb.KV/Put", pb.PutRequest(key=b"k", value=b"v"))
    said = await _say(served, good, until=_header(b"grpc-status", b"0"))
    assert _header(b"content-type", b"application/grpc") in said
    for batch in range(20):
        noise = []
        for _ in range(50):
            mutated = bytearray(good if batch % 2 else OPEN + random_.randbytes(200))
            for _ in range(random_.randint(1, 6)):
                mutated[random_.randrange(len(PREFACE), len(mutated))] = random_.randrange(256)
            noise.append(_say(served, bytes(mutated)))
        await asyncio.gather(*noise)
