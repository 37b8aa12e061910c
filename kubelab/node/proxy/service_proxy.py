"""kube-proxy: keep a listening socket on every Service address that has somebody behind it.

    Service event ──────► its key ─┐
    EndpointSlice event ─► owner ──┴─► sync(key): table ─► open, update or close listeners

A Service without endpoints has no socket, so that connecting to it is refused at once, as kube-proxy's REJECT does.

Invariant: after `sync(key)` exactly the frontends of that Service with at least one endpoint are listened on; one
           that cannot be bound is an Event on the Service, and tried again.
Models:    kube-proxy
Left out:  everything about packets; a relay in this process carries the bytes instead, one proxy for all nodes
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.client.workqueue import WorkQueue
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.ports import mapped
from kubelab.machinery.request import Obj
from kubelab.node.proxy.balancer import Balancer, Counters
from kubelab.node.proxy.table import SERVICE_NAME, Endpoint, Frontend, ServicePort, service_ports
from kubelab.node.proxy.tcp import TcpListener
from kubelab.node.proxy.udp import UdpListener

log = logging.getLogger("kubelab")
Listener = TcpListener | UdpListener
RETRY_S = 2.0
JOURNAL_EVERY_S = 0.05  # of one Service; a load test shall not push everything else out of the journal


class BindError(Exception):
    """Some frontends of a Service cannot be listened on yet."""


class ServiceProxy(Component):
    """Forwards Service traffic for all nodes of a cluster.

    `node_ips` get the NodePorts; ports below `lowest_port` are mapped. `counters` tells what has passed through;
    functions in `on_connection` are called with (service key, client IP, endpoint).
    """

    def __init__(self, client: Client, *, clock: Clock, journal: Journal | None, node_ips: Sequence[str] = (),
                 lowest_port: int = 1024, name: str = "kube-proxy") -> None:
        super().__init__(name)
        self.clock, self.journal, self.lowest_port = clock, journal, lowest_port
        self.node_ips = [ip for ip in node_ips if ip]
        self.counters = Counters()
        self.on_connection: list[Callable[[str, str, Endpoint], None]] = []
        self._informers = Informers(client)
        self._services = self._informers.of("services")
        self._slices = self._informers.of("endpointslices", indexers={"service": _owner})
        self._recorder = EventRecorder(client, name, clock)
        self._queue = WorkQueue(clock)
        self._listeners: dict[Frontend, Listener] = {}
        self._owned: dict[str, dict[Frontend, Balancer]] = {}  # service key to what it listens on
        self._told: dict[str, float] = {}  # service key to when the journal last heard of it
        self._handlers = [self._services.on_event(self._on_service), self._slices.on_event(self._on_slice)]

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────

    async def setup(self) -> None:
        await self._recorder.start()
        for informer in self._informers:
            await informer.start()

    async def run(self) -> None:
        await self._services.wait_synced()
        await self._slices.wait_synced()
        while True:
            key = await self._queue.get()
            try:
                await self.sync(key)
            except BindError as error:
                self._report(key, str(error))
                self._queue.add_after(key, RETRY_S)
            finally:
                self._queue.done(key)

    async def teardown(self) -> None:
        await self._informers.stop_all()
        await self._recorder.stop()
        for listener in self._listeners.values():
            listener.close(abort=True)
        for key in list(self._owned):
            self._queue.add(key)  # a proxy that starts again opens them anew
        self._listeners.clear()
        self._owned.clear()

    def _on_service(self, type_: str, obj: Obj, old: Obj | None) -> None:
        self._queue.add(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")

    def _on_slice(self, type_: str, obj: Obj, old: Obj | None) -> None:
        for key in _owner(obj):
            self._queue.add(key)

    # ── the loop ────────────────────────────────────────────────────────────────────────────────────────

    async def sync(self, key: str) -> None:
        """Make the sockets of one Service what they should be. Raises: BindError."""
        service = self._services.get(key)
        ports = service_ports(service, self._slices.by_index("service", key), self.node_ips) if service else []
        want = {frontend: port for port in ports for frontend in port.frontends if _relayed(frontend, port)}
        owned = self._owned.setdefault(key, {})
        for frontend in [frontend for frontend in owned if frontend not in want]:
            del owned[frontend]
            self._listeners.pop(frontend).close()
        problems = []
        for frontend, port in want.items():
            if frontend in owned:
                owned[frontend].update(port)
                self._listeners[frontend].update()
            else:
                problem = await self._open(frontend, port, owned)
                if problem and not frontend.optional:
                    problems.append(problem)
        if not owned:
            del self._owned[key]
        if problems:
            raise BindError("; ".join(problems))

    async def _open(self, frontend: Frontend, port: ServicePort, owned: dict[Frontend, Balancer]) -> str:
        """Listen on a frontend; return why it is not possible, "" when it is."""
        balancer = next((b for b in owned.values() if b.port.name == port.name and b.port.port == port.port), None) \
            or Balancer(port, self.clock)
        listener: Listener = UdpListener(balancer, self.counters, self._dial, self._connected, self.clock) \
            if frontend.protocol == "UDP" else TcpListener(balancer, self.counters, self._dial, self._connected)
        real = mapped(frontend.port, self.lowest_port)
        try:
            await listener.open(frontend.ip, real)
        except OSError as error:
            listener.close()
            return f"cannot listen on {frontend.ip}:{real}/{frontend.protocol}: {os.strerror(error.errno or 0)}"
        owned[frontend] = balancer
        self._listeners[frontend] = listener
        return ""

    def _report(self, key: str, problem: str) -> None:
        log.warning("%s: Service %s: %s; it is tried again", self.name, key, problem)
        service = self._services.get(key)
        if service is not None:
            about = {"kind": "Service", "apiVersion": "v1", **service}
            self._recorder.event(about, "Warning", "FailedToListen", problem)

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────

    def _dial(self, endpoint: Endpoint) -> tuple[str, int]:
        """Return where an endpoint's port really is: on loopback, pods map ports as we do."""
        real = mapped(endpoint.port, self.lowest_port) if endpoint.ip.startswith("127.") else endpoint.port
        return endpoint.ip, real

    def _connected(self, service: str, client_ip: str, endpoint: Endpoint) -> None:
        now = self.clock.monotonic()
        if self.journal is not None and now - self._told.get(service, -1.0) >= JOURNAL_EVERY_S:
            self._told[service] = now
            self.journal.record("request", "connect", f"services/{service}", actor=client_ip,
                                detail={"endpoint": str(endpoint), "pod": endpoint.pod})
        for hook in self.on_connection:
            hook(service, client_ip, endpoint)

    def real_address(self, namespace: str, service: str, port: int | str) -> tuple[str, int]:
        """Return where a Service port can be connected to on this machine. Raises: LookupError with a sentence."""
        found = self._services.get(f"{namespace}/{service}")
        if found is None:
            raise LookupError(f'there is no Service "{service}" in namespace "{namespace}"')
        ip, ports = found["spec"].get("clusterIP"), found["spec"].get("ports") or ()
        number = next((p["port"] for p in ports if port in (p["port"], p.get("name"))), None)
        if not ip or ip == "None" or number is None:
            raise LookupError(f'Service "{service}" has no cluster IP and port {port}')
        return ip, mapped(number, self.lowest_port)


def _relayed(frontend: Frontend, port: ServicePort) -> bool:
    """Tell whether we listen there: not without endpoints, nor where the only endpoint is that very address (DNS)."""
    return any((endpoint.ip, endpoint.port) != frontend[:2] for endpoint in port.endpoints)


def _owner(piece: Obj) -> list[str]:
    meta = piece["metadata"]
    name = (meta.get("labels") or {}).get(SERVICE_NAME)
    return [f"{meta['namespace']}/{name}"] if name else []
