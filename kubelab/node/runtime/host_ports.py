"""hostPort for pods that are plain processes: a relay on the node's own address.

    client ─► node:hostPort ─► relay ─► pod:containerPort        TCP and UDP

Invariant: the relays of a sandbox stand exactly as long as the sandbox.
Models:    the portmap plug-in of CNI, with kube-proxy's relay in the place of its packet rules
"""

from __future__ import annotations

import os

from kubelab.machinery.clock import Clock
from kubelab.machinery.ports import mapped
from kubelab.node.proxy.balancer import Balancer, Counters
from kubelab.node.proxy.table import Endpoint, ServicePort
from kubelab.node.proxy.tcp import TcpListener
from kubelab.node.proxy.udp import UdpListener
from kubelab.node.runtime.protocol import PortMapping, RuntimeFailure, Sandbox

Listener = TcpListener | UdpListener


class HostPorts:
    """The host ports of one node's pods."""

    def __init__(self, node_ip: str, lowest_port: int, clock: Clock) -> None:
        self._node_ip, self._lowest_port, self._clock = node_ip, lowest_port, clock
        self._open: dict[str, list[Listener]] = {}  # by sandbox id

    async def open(self, sandbox: Sandbox, ports: tuple[PortMapping, ...]) -> None:
        """Listen for a sandbox. Raises RuntimeFailure when a port is taken."""
        for port in ports:
            if not port.host_port:
                continue
            ip, number = port.host_ip or self._node_ip, mapped(port.host_port, self._lowest_port)
            listener = self._listener(sandbox, port)
            try:
                await listener.open(ip, number)
            except OSError as error:
                self.close(sandbox.id)
                raise RuntimeFailure("FailedCreatePodSandBox", f"cannot listen on host port {ip}:{number}/"
                                     f"{port.protocol}: {os.strerror(error.errno or 0)}") from error
            self._open.setdefault(sandbox.id, []).append(listener)

    def _listener(self, sandbox: Sandbox, port: PortMapping) -> Listener:
        pod = f"{sandbox.pod.namespace}/{sandbox.pod.name}"
        target = Endpoint(sandbox.ip, port.container_port, pod)
        balancer = Balancer(ServicePort(pod, "", port.host_port, (), (target,)), self._clock)
        if port.protocol == "UDP":
            return UdpListener(balancer, Counters(), self._dial, _ignored, self._clock)
        return TcpListener(balancer, Counters(), self._dial, _ignored)

    def _dial(self, endpoint: Endpoint) -> tuple[str, int]:
        return endpoint.ip, mapped(endpoint.port, self._lowest_port)

    def close(self, sandbox_id: str) -> None:
        """Let go of the sandbox's ports, and of the connections through them."""
        for listener in self._open.pop(sandbox_id, ()):
            listener.close(abort=True)


def _ignored(service: str, client_ip: str, endpoint: Endpoint) -> None:
    """Nobody counts connections to host ports."""
