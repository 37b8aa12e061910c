"""The network between members in processes of their own: parcels over TCP, with certificates on both sides.

    send ─► the link to that member ─► connect, hello ─► frame, frame, ... ─► its Peers ─► receive
                  └─ broken: what was on its way is lost, the sender hears of it, connect again

    frame  =  length u32 │ parcel
    hello  =  the first frame: {"cluster", "from", "urls"}; who was removed is answered {"gone"}
              or {"ask": "members"}, which is answered with them: so a new member learns who it is

Invariant: without a certificate of the members' authority nobody is heard; a hello of another etcd ends a connection;
           a member that does not take what it is sent costs its senders at most `BACKLOG_BYTES` of memory.
Models:    etcdserver's rafthttp (its streams; there they are HTTP)
Left out:  compression
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from kubelab.client.pki import Pki
from kubelab.control_plane.etcd.members.machine import member_of
from kubelab.control_plane.etcd.members.parcels import Parcel, Receiver, decode, encode
from kubelab.control_plane.etcd.raft.types import Message
from kubelab.control_plane.etcd.server_api import MemberInfo

BACKLOG_BYTES = 64 << 20
MAX_FRAME_BYTES = 1 << 30  # a snapshot comes in one
CONNECT_S = 2.0
AGAIN_S = (0.05, 0.5)  # from the first to the longest pause between two tries
_LENGTH = struct.Struct("<I")
log = logging.getLogger("kubelab")


class PeerTls(NamedTuple):
    """Both sides of TLS between members."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def certify(folder: Path, host: str) -> PeerTls:
    """Return the TLS of a member on `host`; `folder` holds the members' authority, or is given one."""
    pki = Pki.authority(folder, "etcd-peer-ca")
    ips, names = ["127.0.0.1", "::1"], ["localhost"]
    if host not in (*ips, *names):
        (ips if host.replace(".", "").isdigit() or ":" in host else names).append(host)
    server = pki.server_context(names, ips)
    server.verify_mode = ssl.CERT_REQUIRED
    return PeerTls(server, pki.client_context("etcd-peer"))


class Peers:
    """The transport of one member that listens on `listen`. `tls` is None for plain TCP."""

    def __init__(self, me: MemberInfo, cluster_id: int, listen: tuple[str, int], tls: PeerTls | None) -> None:
        self._member, self._urls, self._cluster, self._listen, self._tls = me.id, me.peer_urls, cluster_id, listen, tls
        self._members: Sequence[MemberInfo] = ()
        self._gone: Collection[int] = ()
        self._links: dict[int, _Link] = {}
        self._heard: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self._receiver: Receiver | None = None

    async def start(self, receiver: Receiver) -> None:
        """Listen, and bring `receiver` what comes. Raises OSError when the address is taken."""
        self._receiver = receiver
        host, port = self._listen
        self._server = await asyncio.start_server(self._hear, host, port, ssl=self._tls.server if self._tls else None)
        self.know(self._members, self._gone)

    async def stop(self) -> None:
        self._receiver = None
        if self._server is not None:
            self._server.close()
        for writer in self._heard.values():
            writer.close()
        await asyncio.gather(*self._heard, return_exceptions=True)
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.close() for link in links))

    # ── outwards ─────────────────────────────────────────────────────────────────────────────────────────────

    def know(self, members: Sequence[MemberInfo], gone: Collection[int]) -> None:
        """Keep a link to every other member there is, where it is now."""
        self._members, self._gone = members, gone
        if self._receiver is None or not members:  # who joins knows nobody yet, but for those who call here
            return
        wanted = {member.id: tuple(member.peer_urls) for member in members if member.id != self._member}
        for id_, link in list(self._links.items()):
            if wanted.get(id_) != link.urls:
                del self._links[id_]
                link.end()
        for id_, urls in wanted.items():
            self._link(id_, urls)

    def _link(self, to: int, urls: Sequence[str]) -> None:
        if to not in self._links and self._receiver is not None:
            hello = _json({"cluster": self._cluster, "from": self._member, "urls": self._urls})
            self._links[to] = _Link(to, tuple(urls), hello, self._tls, self._receiver)

    def send(self, to: int, parcel: Parcel) -> None:
        link = self._links.get(to)
        if link is not None:
            link.send(parcel)

    # ── inwards ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._heard[task] = writer
        try:
            async with asyncio.timeout(CONNECT_S):
                hello = json.loads(await _frame(reader))
            if hello.get("ask") == "members":
                writer.write(_framed(_json({"cluster": self._cluster, "members": list(self._members)})))
                await writer.drain()
            elif hello.get("from") in self._gone:
                writer.write(_framed(_json({"gone": hello["from"]})))
                await writer.drain()
            elif hello.get("cluster") == self._cluster:
                self._link(hello["from"], hello["urls"])  # one that we have not heard of yet can be answered
                while self._receiver is not None:
                    self._receiver.receive(decode(await _frame(reader)))
            else:
                log.warning("a member of another etcd called here: %s", writer.get_extra_info("peername"))
        except (OSError, EOFError, TimeoutError, ValueError, AttributeError, KeyError) as end:
            log.debug("a member's connection has ended: %r", end)
        finally:
            del self._heard[task]
            writer.close()


class _Link:
    """The way to one member: one connection, opened again whenever it breaks."""

    def __init__(self, to: int, urls: tuple[str, ...], hello: bytes, tls: PeerTls | None, receiver: Receiver) -> None:
        self.urls, self._to, self._hello, self._tls, self._receiver = urls, to, hello, tls, receiver
        self._writer: asyncio.StreamWriter | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"etcd-peer-{to:x}")

    def send(self, parcel: Parcel) -> None:
        """Put a parcel on its way; without a connection, or behind too much that waits, it is lost."""
        writer = self._writer
        fits = writer is not None and writer.transport.get_write_buffer_size() <= BACKLOG_BYTES
        if fits:
            assert writer is not None
            writer.write(_framed(encode(parcel)))
        if isinstance(parcel, Message) and (parcel.type == "snapshot" or (parcel.type == "append" and not fits)):
            asyncio.get_running_loop().call_soon(self._receiver.delivered, self._to, fits)

    async def _run(self) -> None:
        pause_s = AGAIN_S[0]
        while True:
            for url in self.urls:
                try:
                    reader, writer = await _connect(url, self._tls)
                except (OSError, TimeoutError, ValueError) as error:
                    log.debug("member %x does not answer at %s: %r", self._to, url, error)
                    continue
                pause_s = AGAIN_S[0]
                await self._hold(reader, writer)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_S[1])

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let `send` write until the connection ends, which the other side shows by closing it."""
        try:
            writer.write(_framed(self._hello))
            self._writer = writer
            if "gone" in json.loads(await _frame(reader)):
                self._receiver.expelled()
        except (OSError, EOFError, ValueError) as error:
            log.debug("the connection to member %x broke: %r", self._to, error)
        finally:
            self._writer = None
            writer.close()
            self._receiver.delivered(self._to, False)

    def end(self) -> None:
        self._task.cancel()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Joined(NamedTuple):
    """What a new member learns of the etcd that it joins."""

    cluster_id: int
    members: Sequence[MemberInfo]


async def ask_members(urls: Sequence[str], tls: PeerTls | None) -> Joined:
    """Ask the members at these addresses who belongs to their etcd. Raises ConnectionError when nobody answers."""
    failures = []
    for url in urls:
        try:
            reader, writer = await _connect(url, tls)
            try:
                writer.write(_framed(_json({"ask": "members"})))
                async with asyncio.timeout(CONNECT_S):
                    found = json.loads(await _frame(reader))
                return Joined(found["cluster"], [member_of(fields) for fields in found["members"]])
            finally:
                writer.close()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
    raise ConnectionError("no member of the etcd answers: " + "; ".join(failures))


async def _connect(url: str, tls: PeerTls | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    async with asyncio.timeout(CONNECT_S):
        return await asyncio.open_connection(parts.hostname, parts.port, ssl=tls.client if tls else None)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """Read one frame. Raises ValueError for one that is too long, EOFError at the end."""
    size = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))[0]
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {size} bytes")
    return await reader.readexactly(size)


def _framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
