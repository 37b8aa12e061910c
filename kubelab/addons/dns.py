"""The cluster's DNS server: names of Services and pods for every program in the cluster, over UDP and TCP.

    question ─► below cluster.local? ─► Zone (informers) ─► records, empty, or NXDOMAIN
                     │ no
                     └─► the host's resolvers, one after the other ─► their answer as it is

It listens on the DNS ClusterIP itself, and announces itself as Service kube-system/kube-dns, as a cluster has it.

Invariant: while the informers have not synced the answer is SERVFAIL, never a wrong NXDOMAIN.
Models:    CoreDNS with the Corefile of kubeadm, and the Service in front of it
Left out:  zone transfers, DNSSEC, caching; forwarding over TCP
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import struct
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import cast

from kubelab.addons.dns_udp import NoAnswer, ask, host_resolvers
from kubelab.addons.dns_zone import Record, Zone
from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.informer import Informers
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.ports import mapped
from kubelab.machinery.request import Obj

log = logging.getLogger("kubelab")
DEAD_UPSTREAM_S = 30.0
IDLE_TCP_S, FIRST_SYNC_S = 10.0, 1.0
MAX_CNAMES = 8


class Dns(Component):
    """Serves `cluster_domain` on `address`. `upstream` are the servers for all other names: None means the host's.

    `port` is mapped where it may not be bound. `resolve` asks this server as a pod would.
    """

    def __init__(self, client: Client, *, clock: Clock, address: str, port: int = 53,
                 cluster_domain: str = "cluster.local", upstream: Sequence[tuple[str, int]] | None = None,
                 lowest_port: int = 1024, name: str = "dns") -> None:
        super().__init__(name)
        self.clock, self.address, self.service_port = clock, address, port
        self.port = mapped(port, lowest_port)
        self._client, self._given_upstream = client, upstream
        self._upstream: list[tuple[str, int]] = []
        self._dead_until = 0.0  # all upstream servers were silent: do not let every question wait again
        self._informers = Informers(client)
        self.zone = Zone(cluster_domain, address, self._informers.of("services"), self._informers.of("endpointslices"),
                         self._informers.of("namespaces"))
        self._codec: asyncio.Future[ModuleType] | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()
        self.questions = 0

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────

    async def setup(self) -> None:
        loop = asyncio.get_running_loop()
        self._codec = loop.run_in_executor(None, _load_codec)  # 40 ms, while the rest of the cluster starts
        given = host_resolvers() if self._given_upstream is None else self._given_upstream
        self._upstream = [server for server in given if server[0] != self.address]
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(self.address, self.port))
        self._udp = transport
        self._tcp = await asyncio.start_server(self._serve_tcp, self.address, self.port)
        with suppress(TimeoutError):  # longer we do not hold up the start: until then the answer is SERVFAIL
            async with asyncio.timeout(FIRST_SYNC_S):
                await self._informers.start_all()

    async def run(self) -> None:
        await announce(self._client, self.address, self.service_port)

    async def teardown(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        self._udp = self._tcp = None
        for task in list(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        if self._codec is not None:
            await self._codec
        await self._informers.stop_all()

    # ── questions ───────────────────────────────────────────────────────────────────────────────────────

    def on_datagram(self, data: bytes, addr: tuple[str, int]) -> None:
        async def reply() -> None:
            answer = await self.answer(data, udp=True)
            if answer is not None and self._udp is not None:
                self._udp.sendto(answer, addr)

        self._track(asyncio.get_running_loop().create_task(reply()))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._track(task)
        try:
            while True:
                async with asyncio.timeout(IDLE_TCP_S):
                    size, = struct.unpack(">H", await reader.readexactly(2))
                    data = await reader.readexactly(size)
                answer = await self.answer(data, udp=False)
                if answer is None:
                    return
                writer.write(struct.pack(">H", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return  # the client is done, or too slow
        finally:
            writer.close()

    async def answer(self, data: bytes, *, udp: bool) -> bytes | None:
        """Return the answer to a DNS message, None to what is not worth one."""
        assert self._codec is not None
        wire = await asyncio.shield(self._codec)
        self.questions += 1
        question = wire.parse(data)
        if question is None:
            refusal: bytes | None = wire.refusal(data)
            return refusal
        ours = self.zone.covers(question.name)
        if (ours or question.name.endswith(".in-addr.arpa")) and not self.zone.synced:
            return bytes(wire.encode(question, "SERVFAIL", udp=udp))
        if ours:
            found = self.zone.answer(question.name, question.type)
            records = await self._follow(found.records, question.type) if found.records else found.records
            return bytes(wire.encode(question, "NOERROR" if found.exists else "NXDOMAIN", records, found.additional,
                                     domain=self.zone.domain, udp=udp))
        if question.type == "PTR" and (pointer := self.zone.pointer(question.name)).exists:
            return bytes(wire.encode(question, "NOERROR", pointer.records, domain="in-addr.arpa", udp=udp))
        if "." not in question.name or self._is_loopback(question.name):
            return bytes(wire.encode(question, "NXDOMAIN", udp=udp))  # no server out there could know
        return await self._forward(data) or bytes(wire.encode(question, "SERVFAIL" if self._upstream else "REFUSED",
                                                              udp=udp))

    @staticmethod
    def _is_loopback(name: str) -> bool:
        return name.endswith(".127.in-addr.arpa")

    async def _follow(self, records: Sequence[Record], type_: str) -> Sequence[Record]:
        """Add what the target of a CNAME leads to, as far as it is known here or upstream."""
        chain = list(records)
        for _ in range(MAX_CNAMES):
            if chain[-1].type != "CNAME" or type_ == "CNAME":
                break
            target = chain[-1].data
            if self.zone.covers(target):
                more = self.zone.answer(target, type_).records
            else:
                more = tuple(Record(target, "A", ip) for ip in await self._addresses_upstream(target)) \
                    if type_ == "A" else ()
            if not more:
                break
            chain += more
        return chain

    async def _addresses_upstream(self, name: str) -> list[str]:
        assert self._codec is not None
        wire = await self._codec
        data = await self._forward(wire.query(name, "A", random.randrange(65536)))
        found: list[str] = wire.addresses(data)[1] if data else []
        return found

    async def _forward(self, data: bytes) -> bytes | None:
        if self.clock.monotonic() < self._dead_until:
            return None
        for server in self._upstream:
            try:
                return await ask(server, data)
            except NoAnswer:
                continue
        self._dead_until = self.clock.monotonic() + DEAD_UPSTREAM_S
        return None

    # ── for the notebook and the host ───────────────────────────────────────────────────────────────────

    async def resolve(self, name: str, namespace: str = "default") -> str:
        """Return an address for `name` as a pod in `namespace` would find it: over UDP, through the search path.

        Raises: LookupError saying what was asked for.
        """
        try:
            return str(ipaddress.ip_address(name))
        except ValueError:
            if name == "localhost":
                return "127.0.0.1"
        if self.state != "running" or self._codec is None:
            raise LookupError(f'"{name}" cannot be looked up: the cluster\'s DNS is {self.state}')
        wire = await asyncio.shield(self._codec)
        domain = self.zone.domain
        searched = [f"{name}.{suffix}" for suffix in (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)]
        names = [name[:-1]] if name.endswith(".") else \
            [name, *searched] if name.count(".") >= 5 else [*searched, name]
        for candidate in names:
            try:
                data = await ask((self.address, self.port), wire.query(candidate, "A", random.randrange(65536)), 5.0)
            except NoAnswer as error:
                raise LookupError(f'"{name}" cannot be looked up: {error}') from None
            code, addresses = wire.addresses(data)
            if addresses:
                return str(random.choice(addresses))
            if code == "SERVFAIL" and self.zone.covers(candidate):
                raise LookupError(f'"{name}" cannot be looked up: DNS has not heard from the API server yet')
        raise LookupError(f'no such host "{name}": there is no Service of this name with an address in namespace '
                          f'"{namespace}" (asked for {", ".join(names)})')


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: Dns) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.on_datagram(data, addr)


def _load_codec() -> ModuleType:
    from kubelab.addons import dns_wire

    return dns_wire


async def announce(client: Client, address: str, port: int) -> None:
    """Create the Service kube-system/kube-dns and its endpoints, without a selector; leave what is there."""
    meta: Obj = {"name": "kube-dns", "namespace": "kube-system",
                 "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true",
                            "kubernetes.io/name": "CoreDNS"}}
    ports = [{"name": "dns", "port": port, "protocol": "UDP"}, {"name": "dns-tcp", "port": port, "protocol": "TCP"}]
    service = {"kind": "Service", "apiVersion": "v1", "metadata": meta,
               "spec": {"clusterIP": address, "ports": [p | {"targetPort": port} for p in ports]}}
    endpoints = {"kind": "Endpoints", "apiVersion": "v1", "metadata": meta,
                 "subsets": [{"addresses": [{"ip": address}], "ports": ports}]}
    labels = meta["labels"] | {"kubernetes.io/service-name": "kube-dns",
                               "endpointslice.kubernetes.io/managed-by": "dns.kubelab.io"}
    piece = {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
             "metadata": meta | {"name": "kube-dns-1", "labels": labels}, "ports": ports,
             "endpoints": [{"addresses": [address], "conditions": {"ready": True, "serving": True,
                                                                   "terminating": False}}]}
    for plural, obj in (("services", service), ("endpoints", endpoints), ("endpointslices", piece)):
        try:
            await client.create(plural, obj, "kube-system")
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
