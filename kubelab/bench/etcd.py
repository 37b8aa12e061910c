"""etcd: puts, ranges, transactions and watches a second; in this process, over gRPC, and a real etcd beside it.

    EmbeddedEtcd ◄─ calls                                in process
    kubelab etcd ◄─ gRPC ─┐
    etcd         ◄─ gRPC ─┴─ the same client, the same load, each with and without fsync

Invariant: both servers are processes of their own with empty stores; the client costs the same for both.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kubelab.bench import Figure
from kubelab.client.background import new_loop

CALLS, AT_ONCE, INSIDE, INSIDE_AT_ONCE = 6_000, 64, 20_000, 256
WATCHES, WATCHED = 50, 200
VALUE = b"x" * 256
Rates = dict[str, float]
T = TypeVar("T")


def measure() -> Iterator[Figure]:
    """Measure in process, then over gRPC; a real etcd as well, where it is installed."""
    inside = run(_inside(None))
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as folder:
        inside_synced = run(_inside(Path(folder)))
    ours, ours_synced = _over_grpc(_kubelab), _over_grpc(_kubelab, fsync=True)
    installed = shutil.which("etcd") is not None
    real, real_synced = (_over_grpc(_real), _over_grpc(_real, fsync=True)) if installed else ({}, {})

    def figure(name: str, value: float, real: float | None, share: float) -> Figure:
        shown = "etcd is not installed" if real is None else f"etcd over gRPC: {real:,.0f} /s"
        return Figure(f"etcd {name}", value, "/s", shown, share * (real or 0), "more")

    put, put_synced = real.get("put"), real_synced.get("put")
    yield figure("put in process, without fsync", inside["put"], put, 5)
    yield figure("put in process, with fsync", inside_synced["put"], put_synced, 5)
    for name in ("range", "txn", "watch event"):
        yield figure(f"{name} in process", inside[name], real.get(name), 5)
    for name, value in ours.items():
        yield figure(f"{name} over gRPC, without fsync", value, real.get(name), 0.5)
    yield figure("put over gRPC, with fsync", ours_synced["put"], put_synced, 0.5)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a measurement on the loop that kubelab uses."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


async def rate(count: int, at_once: int, call: Callable[[int], Awaitable[Any]]) -> float:
    """Return how many calls a second were answered, so many of them under way at once."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await call(number)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


# ── in process ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _inside(data_dir: Path | None) -> Rates:
    from kubelab.control_plane.etcd.api import Compare, Put, Range, WatchedEvent, prefix_end
    from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
    from kubelab.machinery.clock import RealClock

    etcd = EmbeddedEtcd(data_dir, RealClock())
    await etcd.start()
    rates = {
        "put": await rate(INSIDE, INSIDE_AT_ONCE, lambda i: etcd.put(key(i), VALUE)),
        "range": await rate(INSIDE, 1, lambda i: etcd.read(Range(key(i)))),
        "txn": await rate(INSIDE, INSIDE_AT_ONCE, lambda i: etcd.txn((Compare(key(i), "version", ">", 0),),
                                                                      (Put(key(i), VALUE),)))}
    seen = itertools.count()

    def told(events: list[WatchedEvent]) -> None:
        for _ in events:
            next(seen)

    for _ in range(WATCHES):
        etcd.watch(b"/bench/", prefix_end(b"/bench/"), on_events=told)
    rates["watch event"] = WATCHES * await rate(WATCHED * 10, 16, lambda i: etcd.put(key(i), VALUE))
    if next(seen) != WATCHES * WATCHED * 10:
        raise RuntimeError("a watch missed an event")
    await etcd.stop()
    return rates


def key(number: int) -> bytes:
    return b"/bench/%d" % (number % 1000)


# ── over gRPC ────────────────────────────────────────────────────────────────────────────────────────────────────


def _over_grpc(serve: Callable[..., Any], *, fsync: bool = False) -> Rates:
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as folder, serve(Path(folder), fsync) as address:
        return run(load(address))


async def load(address: str, only: Sequence[str] = ()) -> Rates:
    """Return the rates of all loads, or of those named, against the etcd at an address."""
    import grpc.aio

    from kubelab.control_plane.etcd.wire import stubs as pb

    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        calls = {name: channel.unary_unary(pb.SERVICES["KV"][name].path) for name in ("Put", "Range", "Txn")}

        def put(number: int) -> Any:
            return pb.PutRequest(key=key(number), value=VALUE)

        def txn(number: int) -> Any:
            return pb.TxnRequest(compare=[pb.Compare(key=key(number), target=0, result=1, version=0)],
                                 success=[pb.RequestOp(request_put=put(number))])

        async def sent(name: str, request: Any) -> None:
            await calls[name](request.SerializeToString())

        many = pb.RangeRequest(key=b"/bench/", range_end=b"/bench0", limit=500)
        parts: dict[str, Callable[[], Awaitable[float]]] = {
            "put": lambda: rate(CALLS, AT_ONCE, lambda i: sent("Put", put(i))),
            "range": lambda: rate(CALLS, AT_ONCE, lambda i: sent("Range", pb.RangeRequest(key=key(i)))),
            "range of 500 keys": lambda: rate(CALLS // 20, 8, lambda _: sent("Range", many)),
            "txn": lambda: rate(CALLS, AT_ONCE, lambda i: sent("Txn", txn(i))),
            "watch event": lambda: _fan_out(channel, lambda i: sent("Put", put(i)))}
        return {name: await parts[name]() for name in only or parts}


async def _fan_out(channel: Any, put: Callable[[int], Awaitable[None]]) -> float:
    """Return how many events a second reach the watches of one stream."""
    from kubelab.control_plane.etcd.wire import stubs as pb

    method = pb.SERVICES["Watch"]["Watch"]
    stream = channel.stream_stream(method.path, response_deserializer=method.response.FromString)()
    for _ in range(WATCHES):
        request = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"/bench/", range_end=b"/bench0"))
        await stream.write(request.SerializeToString())
        await stream.read()

    async def all_seen() -> None:
        seen = 0
        while seen < WATCHES * WATCHED:
            seen += len((await stream.read()).events)

    began = time.perf_counter()
    await asyncio.gather(all_seen(), rate(WATCHED, 16, put))
    stream.cancel()
    return WATCHES * WATCHED / (time.perf_counter() - began)


@contextmanager
def _kubelab(folder: Path, fsync: bool) -> Iterator[str]:
    """Run `kubelab etcd`; without fsync it keeps everything in memory."""
    words = ["--data-dir", str(folder)] if fsync else []
    process = subprocess.Popen([sys.executable, "-m", "kubelab", "etcd", "--listen", "127.0.0.1:0", "--insecure",
                                *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("http://"):
            raise RuntimeError(f"kubelab etcd did not start: {line}")
        yield line.split()[0].removeprefix("http://")
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _real(folder: Path, fsync: bool) -> Iterator[str]:
    """Run Debian's etcd."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        client, peer = (f"127.0.0.1:{taken.getsockname()[1]}" for taken in (one, two))
    process = subprocess.Popen(
        ["etcd", "--data-dir", str(folder), "--listen-client-urls", f"http://{client}", "--advertise-client-urls",
         f"http://{client}", "--listen-peer-urls", f"http://{peer}", "--initial-advertise-peer-urls", f"http://{peer}",
         "--initial-cluster", f"default=http://{peer}", *([] if fsync else ["--unsafe-no-fsync"])],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield client
    finally:
        process.terminate()
        process.wait(30)
