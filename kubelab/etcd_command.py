"""`kubelab etcd`: one store alone, one member of several, or several members at once.

    kubelab etcd                         EmbeddedEtcd ─► EtcdWire
    kubelab etcd --initial-cluster ...   Member ◄─ Peers ─► the other processes,   Member ─► EtcdWire
    kubelab etcd --members 3             three processes of the second kind, watched over

Invariant: a member of several has a data directory: one that forgot its promises could make the others lose writes.
Models:    etcd, with its flag names where it has them
"""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kubelab.client.component import Component
from kubelab.machinery.clock import RealClock

if TYPE_CHECKING:
    from kubelab.control_plane.etcd.members.member import Member
    from kubelab.control_plane.etcd.members.peers import PeerTls
    from kubelab.control_plane.etcd.server_api import EtcdServer, MemberInfo

PEER_STEP = 1  # from a member's port for clients to that for its peers, as etcd's 2379 and 2380


def add_arguments(etcd: argparse.ArgumentParser) -> None:
    """Add the flags of `kubelab etcd`."""
    etcd.add_argument("--listen", default="127.0.0.1:2379", metavar="HOST:PORT", help="default 127.0.0.1:2379")
    etcd.add_argument("--data-dir", type=Path, metavar="DIR", help="keep keys and certificates here; else in memory")
    etcd.add_argument("--insecure", action="store_true", help="no TLS, and whoever reaches it may do everything")
    etcd.add_argument("--quota-backend-bytes", type=int, default=2 << 30, metavar="N",
                      help="room for keys (default 2 GiB)")
    etcd.add_argument("--restore", type=Path, metavar="FILE",
                      help="begin a new --data-dir with what `etcdctl snapshot save FILE` saved, of any etcd")
    etcd.add_argument("--members", type=int, default=1, metavar="N",
                      help="run N members, each a process: the first at --listen, the next ones 10 ports further on")
    one = etcd.add_argument_group("one member of several")
    one.add_argument("--name", default="default", help="this member's name in --initial-cluster")
    one.add_argument("--initial-cluster", default="", metavar="NAME=URL,...", help="where each member hears the others")
    one.add_argument("--initial-cluster-state", choices=("new", "existing"), default="new",
                     help="existing: join members that run, after `etcdctl member add`")
    one.add_argument("--cert-dir", type=Path, metavar="DIR", help="the authorities (default: pki of --data-dir)")
    one.add_argument("--until-stdin-closes", action="store_true", help="end with whoever started it")


async def etcd_of(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    """Make what the flags say, and return its gRPC server, or the watch over several processes."""
    if options.members > 1:
        return await _several(options, stack)
    return await (_member if options.initial_cluster else _alone)(options, stack)


# ── a store alone ────────────────────────────────────────────────────────────────────────────────────────────────


async def _alone(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
    from kubelab.control_plane.etcd.snapshot_file import restore

    if options.restore is not None:
        if options.data_dir is None:
            raise ValueError("--restore needs a --data-dir to restore into")
        restore(options.restore, options.data_dir / "member")
    folder = options.data_dir or Path(stack.enter_context(TemporaryDirectory(prefix="kubelab-etcd-")))
    etcd = EmbeddedEtcd(options.data_dir / "member" if options.data_dir else None, RealClock())
    await etcd.start()
    stack.push_async_callback(etcd.stop)
    return await _on_the_wire(etcd, options, options.cert_dir or folder / "pki", stack)


async def _on_the_wire(etcd: EtcdServer, options: argparse.Namespace, pki: Path, stack: AsyncExitStack) -> Component:
    from kubelab.control_plane.etcd.wire.access import certify, etcdctl_line, host_and_port
    from kubelab.control_plane.etcd.wire.server import EtcdWire

    host, _ = host_and_port(options.listen)
    wire = EtcdWire(etcd, options.listen, clock=RealClock(), quota_bytes=options.quota_backend_bytes,
                    tls=None if options.insecure else certify(pki, host))
    await wire.start()
    stack.push_async_callback(wire.stop)
    print(f"{wire.endpoint}   {etcdctl_line(wire.environment)}", flush=True)
    return wire


# ── one member of several ────────────────────────────────────────────────────────────────────────────────────────


async def _member(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    from kubelab.control_plane.etcd.members import peers, storage
    from kubelab.control_plane.etcd.members.member import Member
    from kubelab.control_plane.etcd.snapshot_file import read

    if options.data_dir is None:
        raise ValueError("a member of several needs a --data-dir: what it promised to the others must outlive it")
    if options.restore is not None and options.initial_cluster_state == "existing":
        raise ValueError("who joins begins with what the others have: leave --restore out")
    founders = _founders(options.initial_cluster)
    ours = [member for member in founders if member.name == options.name]
    if not ours:
        raise ValueError(f"--name {options.name} does not stand in --initial-cluster; "
                         f"there are {', '.join(member.name for member in founders)}")
    pki = options.cert_dir or options.data_dir / "pki"
    parts = urlsplit(ours[0].peer_urls[0])
    host, port = parts.hostname or "127.0.0.1", parts.port or 2380
    tls = None if options.insecure else peers.certify(pki / "peer", host)
    folder = options.data_dir / "member"
    if (folder / "removed").exists():
        raise ValueError(f"{options.name} was removed from its etcd: delete {options.data_dir}, add the member again "
                         "with `etcdctl member add`, and start it with --initial-cluster-state existing")
    joined = storage.recall(folder)
    if joined is None:
        begin = read(options.restore) if options.restore is not None else None
        joined = await _membership(options, ours[0], founders, tls)
        storage.remember(folder, joined)
    else:
        begin = None
    cluster_id, me = joined
    network = peers.Peers(me, cluster_id, (host, port), tls)
    member = Member(me, cluster_id, storage.Disk(folder), network, RealClock(),
                    founders=founders if options.initial_cluster_state == "new" else (), begin=begin)
    await member.start()
    stack.push_async_callback(member.stop)
    await network.start(member)
    stack.push_async_callback(network.stop)
    member.spawn(lambda: _until_removed(member, folder / "removed"), name="until-removed")
    return await _on_the_wire(member, options, pki, stack)


def _founders(text: str) -> list[MemberInfo]:
    """Read "m0=https://127.0.0.1:2380,m1=...". Raises ValueError that shows how it is written."""
    from kubelab.control_plane.etcd.server_api import MemberInfo
    from kubelab.control_plane.etcd.single import id_of

    found = []
    for word in text.split(","):
        name, _, url = word.strip().partition("=")
        parts = urlsplit(url)
        if not name or parts.scheme not in ("http", "https") or not parts.hostname or not parts.port:
            raise ValueError(f"--initial-cluster: {word!r} is no member; write NAME=https://HOST:PORT,NAME=...")
        found.append(MemberInfo(id_of(f"{name} {url}"), name, (url,)))
    return found


async def _membership(options: argparse.Namespace, me: MemberInfo, founders: Sequence[MemberInfo],
                      tls: PeerTls | None) -> tuple[int, MemberInfo]:
    """Return which etcd a new member belongs to, and as whom. Raises ConnectionError, ValueError."""
    from kubelab.control_plane.etcd.members.peers import ask_members
    from kubelab.control_plane.etcd.single import id_of

    if options.initial_cluster_state == "new":
        return id_of(" ".join(sorted(url for member in founders for url in member.peer_urls))), me
    others = [url for member in founders if member.name != me.name for url in member.peer_urls]
    cluster_id, members = await ask_members(others, tls)
    for member in members:
        if set(member.peer_urls) & set(me.peer_urls):
            return cluster_id, member._replace(name=me.name)
    raise ValueError(f"the etcd has no member at {me.peer_urls[0]}; add it first: "
                     f"etcdctl member add {me.name} --peer-urls={me.peer_urls[0]}")


async def _until_removed(member: Member, mark: Path) -> None:
    """End the process of a member that does not belong to its etcd any more."""
    import signal

    await member.removed.wait()
    mark.touch()
    print(f"{member.name} was removed from its etcd and ends; its data is of no more use", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


# ── several members ──────────────────────────────────────────────────────────────────────────────────────────────


async def _several(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    from kubelab.control_plane.etcd.members import peers
    from kubelab.control_plane.etcd.wire.access import certify, environment, etcdctl_line, host_and_port
    from kubelab.control_plane.etcd.wire.fronts import STEP
    from kubelab.replicas import Replicas

    if options.members % 2 == 0 or options.members < 0:
        raise ValueError(f"--members {options.members}: an etcd has 1, 3, 5 or 7 members; an even number survives no "
                         "more than the odd one below it")
    folder = (options.data_dir or Path(stack.enter_context(TemporaryDirectory(prefix="kubelab-etcd-")))).absolute()
    if (folder / "member").exists():
        raise ValueError(f"{folder} holds the store of one member: save it with `etcdctl snapshot save FILE`, begin "
                         "again with --members 3 --restore FILE in another folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    host, port = host_and_port(options.listen)
    ports = _kept_ports(folder, host, [port + STEP * i for i in range(options.members)] if port else [],
                        options.members)
    scheme, around = ("http" if options.insecure else "https"), f"[{host}]" if ":" in host else host
    near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, around)  # the members are all on this machine
    cluster = ",".join(f"m{i}={scheme}://{near}:{peer}" for i, (_, peer) in enumerate(ports))
    files = None
    if not options.insecure:
        files = certify(folder / "pki", host).files
        peers.certify(folder / "pki" / "peer", host)  # before the members, which must not each make an authority
    words = ["etcd", "--initial-cluster", cluster, "--cert-dir", str(folder / "pki"), "--until-stdin-closes",
             "--quota-backend-bytes", str(options.quota_backend_bytes), *(["--insecure"] if options.insecure else []),
             *(["--restore", str(options.restore.absolute())] if options.restore is not None else [])]
    urls = [f"{scheme}://{near}:{client}" for client, _ in ports]
    print(f"{','.join(urls)}   {etcdctl_line(environment(','.join(urls), files))}", flush=True)
    return Replicas("etcd-members", [
        [*words, "--name", f"m{i}", "--listen", f"{around}:{client}", "--data-dir", str(folder / f"m{i}")]
        for i, (client, _) in enumerate(ports)])


def _kept_ports(folder: Path, host: str, wanted: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return the ports of each member, for clients and for peers: those of the last start, or free ones."""
    file = folder / "ports.json"
    if file.exists():
        kept = [(client, peer) for client, peer in json.loads(file.read_text())]
        if len(kept) == count:
            return [(client, peer) for client, (_, peer) in zip(wanted, kept, strict=True)] if wanted else kept
        raise ValueError(f"{folder} holds an etcd of {len(kept)} members; start it with --members {len(kept)}, and "
                         "add members with `etcdctl member add`")
    clients = list(wanted) or _free_ports(host, count)
    peers = [port + PEER_STEP for port in wanted] or _free_ports(host, count, besides=clients)
    ports = list(zip(clients, peers, strict=True))
    file.write_text(json.dumps(ports))
    return ports


def _free_ports(host: str, count: int, besides: Sequence[int] = ()) -> list[int]:
    sockets = [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) for _ in range(count + len(besides))]
    try:
        for one in sockets:
            one.bind((host, 0))
        return [port for one in sockets if (port := one.getsockname()[1]) not in besides][:count]
    finally:
        for one in sockets:
            one.close()
