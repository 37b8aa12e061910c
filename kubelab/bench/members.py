"""Three members: what they agree on a second, and how soon they go on after kill -9 of their leader.

    EtcdGroup ◄─ calls                                            in process
    3 x kubelab etcd ◄─ gRPC ─┐  the leader answers
    3 x etcd         ◄─ gRPC ─┴─ the same client, the same load, with fsync; then SIGKILL to the leader, one put a time

Invariant: every member is a process of its own with an empty folder; real etcd has its default election time-out, 1 s.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kubelab.bench import Figure
from kubelab.bench.etcd import INSIDE, INSIDE_AT_ONCE, VALUE, Rates, key, load, rate, run

COUNT, KILLS, TRY_S = 3, 3, 0.5
Command = Callable[[int, Sequence[int], Sequence[int], Path], list[str]]


def measure() -> Iterator[Figure]:
    """Measure in process, then over gRPC; three members of a real etcd as well, where it is installed."""
    inside = run(_inside())
    ours = _over_grpc(_kubelab)
    real = _over_grpc(_real) if shutil.which("etcd") else {}
    shown = {name: f"etcd over gRPC: {value:,.0f} /s" for name, value in real.items()}
    for name, value in inside.items():
        yield Figure(f"etcd {name} in process, 3 members", value, "/s", shown.get(name, "etcd is not installed"),
                     real.get(name, 0.0), "more")
    gone_on = ours.pop("goes on")
    for name, value in ours.items():
        yield Figure(f"etcd {name} over gRPC, 3 members", value, "/s", shown.get(name, "etcd is not installed"),
                     0.5 * real.get(name, 0.0), "more")
    waited = f"etcd: {real['goes on'] * 1000:,.0f} ms" if real else "etcd is not installed"
    yield Figure("etcd writes resume after kill -9 of the leader", gone_on * 1000, "ms", waited, 1000, "less")


async def _inside() -> Rates:
    from kubelab.control_plane.etcd.api import Range
    from kubelab.control_plane.etcd.members.group import EtcdGroup
    from kubelab.machinery.clock import RealClock

    etcd = EtcdGroup(COUNT, None, RealClock())
    await etcd.start()
    rates = {"put": await rate(INSIDE, INSIDE_AT_ONCE, lambda i: etcd.put(key(i), VALUE)),
             "range": await rate(INSIDE, INSIDE_AT_ONCE, lambda i: etcd.read(Range(key(i))))}
    await etcd.stop()
    return rates


def _over_grpc(command: Command) -> Rates:
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as folder, _three(command, Path(folder)) as members:
        leader = run(_leader(members))
        rates: Rates = run(load(leader, ("put", "range")))
        rates["goes on"] = max(_kill(members) for _ in range(KILLS))
    return rates


class _Members:
    """Three processes, which can be killed and started again."""

    def __init__(self, command: Command, folder: Path) -> None:
        ports = _free_ports(2 * COUNT)
        self._clients, self._peers = ports[:COUNT], ports[COUNT:]
        self._command, self._folder = command, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start each that does not run."""
        for i, port in enumerate(self._clients):
            if f"127.0.0.1:{port}" not in self.processes:
                self.processes[f"127.0.0.1:{port}"] = subprocess.Popen(
                    self._command(i, self._clients, self._peers, self._folder / f"m{i}"),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, address: str) -> None:
        process = self.processes.pop(address)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(30)


@contextmanager
def _three(command: Command, folder: Path) -> Iterator[_Members]:
    members = _Members(command, folder)
    try:
        members.start()
        yield members
    finally:
        members.stop()


def _kill(members: _Members) -> float:
    """End the leader with SIGKILL and return after how many seconds the others took a write; then start it again."""
    leader = run(_leader(members))
    members.kill(leader)
    waited: float = run(_first_write(list(members.processes)))
    members.start()
    run(_leader(members))
    return waited


async def _first_write(addresses: Sequence[str]) -> float:
    import grpc.aio

    from kubelab.control_plane.etcd.wire import stubs as pb

    began = time.perf_counter()
    request = pb.PutRequest(key=b"/bench/after", value=b"x").SerializeToString()
    while True:
        for address in addresses:
            async with grpc.aio.insecure_channel(address) as channel:
                try:
                    await channel.unary_unary(pb.SERVICES["KV"]["Put"].path)(request, timeout=TRY_S)
                except grpc.aio.AioRpcError as error:
                    if time.perf_counter() - began > 30:
                        raise RuntimeError(f"no member takes a write: {error.details()}") from error
                else:
                    return time.perf_counter() - began


async def _leader(members: _Members) -> str:
    """Return the address of the leader, when all members run and know it."""
    import grpc.aio

    from kubelab.control_plane.etcd.wire import stubs as pb

    method = pb.SERVICES["Maintenance"]["Status"]
    until = time.perf_counter() + 30
    while time.perf_counter() < until:
        found = {}
        for address in members.processes:
            async with grpc.aio.insecure_channel(address) as channel:
                try:
                    said = method.response.FromString(await channel.unary_unary(method.path)(b"", timeout=2))
                except grpc.aio.AioRpcError:
                    break
                found[said.header.member_id] = (address, said.leader)
        leaders = {leader for _, leader in found.values()}
        if len(found) == len(members.processes) and len(leaders) == 1 and leaders <= found.keys():
            return found[leaders.pop()][0]
        await asyncio.sleep(0.05)
    raise RuntimeError("the members have no leader")


def _kubelab(member: int, clients: Sequence[int], peers: Sequence[int], folder: Path) -> list[str]:
    cluster = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(peers))
    return [sys.executable, "-m", "kubelab", "etcd", "--name", f"m{member}", "--insecure", "--data-dir", str(folder),
            "--listen", f"127.0.0.1:{clients[member]}", "--initial-cluster", cluster]


def _real(member: int, clients: Sequence[int], peers: Sequence[int], folder: Path) -> list[str]:
    cluster = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(peers))
    client, peer = f"http://127.0.0.1:{clients[member]}", f"http://127.0.0.1:{peers[member]}"
    return ["etcd", "--name", f"m{member}", "--data-dir", str(folder), "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", cluster]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
