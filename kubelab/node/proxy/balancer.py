"""Which endpoint gets the next connection: in turn, or the one this client had before.

Invariant: `order` names every endpoint once, so that a connection that one refuses can be offered to the next.
Models:    the round robin of kube-proxy in IPVS mode; ClientIP session affinity
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kubelab.machinery.clock import Clock
from kubelab.node.proxy.table import Endpoint, ServicePort


@dataclass(slots=True)
class Counter:
    """What has passed through a Service or one endpoint since the proxy started."""

    connections: int = 0
    active: int = 0
    bytes_in: int = 0  # from clients
    bytes_out: int = 0  # to clients


@dataclass(slots=True)
class Counters:
    services: dict[str, Counter] = field(default_factory=dict)
    endpoints: dict[str, Counter] = field(default_factory=dict)

    def service(self, key: str) -> Counter:
        return self.services.setdefault(key, Counter())

    def endpoint(self, endpoint: Endpoint) -> Counter:
        return self.endpoints.setdefault(str(endpoint), Counter())


class Balancer:
    """Chooses among the endpoints of one service port, which change while it lives."""

    def __init__(self, port: ServicePort, clock: Clock) -> None:
        self.port, self._clock = port, clock
        self._turn = 0
        self._known: dict[str, tuple[Endpoint, float]] = {}  # client IP to its endpoint, and when it came last

    def update(self, port: ServicePort) -> None:
        self.port = port
        self._forget()

    def order(self, client_ip: str) -> list[Endpoint]:
        """Return all endpoints, the one to try first in front."""
        endpoints = self.port.endpoints
        if not endpoints:
            return []
        self._turn = (self._turn + 1) % len(endpoints)
        order = [*endpoints[self._turn:], *endpoints[:self._turn]]
        if self.port.affinity_s:
            known, at = self._known.get(client_ip, (order[0], 0.0))
            if known in endpoints and self._clock.monotonic() - at < self.port.affinity_s:
                order.sort(key=lambda endpoint: endpoint != known)
        return order

    def chosen(self, client_ip: str, endpoint: Endpoint) -> None:
        """Remember who answered this client."""
        if self.port.affinity_s:
            self._known[client_ip] = (endpoint, self._clock.monotonic())
            if len(self._known) > 10_000:
                self._forget()

    def _forget(self) -> None:
        """Drop clients whose time is over or whose endpoint is gone."""
        after = self._clock.monotonic() - self.port.affinity_s
        self._known = {ip: (endpoint, at) for ip, (endpoint, at) in self._known.items()
                       if at > after and endpoint in self.port.endpoints}
