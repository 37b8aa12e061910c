"""Every member of a group on the wire, each at an address of its own that stays its own.

    m0 running ─► EtcdWire 127.0.0.1:2379        m1 dead ─► nobody listens at :2389        m2 joins ─► :2399

Invariant: whoever connects to a member reaches that one alone, and nobody while it is dead.
Models:    etcd's processes, one a member
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kubelab.client.component import Component
from kubelab.control_plane.etcd.members.group import EtcdGroup
from kubelab.control_plane.etcd.wire.access import WireTls, environment, host_and_port
from kubelab.control_plane.etcd.wire.server import EtcdWire
from kubelab.machinery.clock import Clock

STEP = 10  # from one member's port to the next one's


def address(host: str, port: int, place: int) -> str:
    """Return where the member at this place listens, when the first listens at `port`; port 0 takes free ones."""
    return f"{f'[{host}]' if ':' in host else host}:{port and port + STEP * place}"


class Fronts(Component):
    """The gRPC servers of a group; `listen` is the first member's address."""

    def __init__(self, group: EtcdGroup, listen: str, *, clock: Clock, tls: WireTls | None = None) -> None:
        super().__init__("etcd-wire")
        self._group, self._clock, self._tls = group, clock, tls
        self._host, self._port = host_and_port(listen)
        self._wires: dict[str, EtcdWire] = {}  # of every member that ever ran
        self._changed = asyncio.Event()

    async def setup(self) -> None:
        """Listen for each member that runs. Raises OSError when an address is taken."""
        self._group.listeners.append(self._changed.set)
        await self._follow()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._follow()

    async def teardown(self) -> None:
        self._group.listeners.remove(self._changed.set)
        for wire in self._wires.values():
            await wire.stop()

    async def _follow(self) -> None:
        living = {member.name: member for member in self._group.running if member.state == "running"}
        for name, wire in self._wires.items():
            if name not in living:
                await wire.stop()
        for name, member in living.items():
            if name not in self._wires:
                place = len(self._wires)
                self._wires[name] = EtcdWire(member, address(self._host, self._port, place), clock=self._clock,
                                             tls=self._tls)
            await self._wires[name].start()

    @property
    def endpoints(self) -> Sequence[str]:
        """The addresses of the members that the group has, as URLs."""
        names = {member.name for member in self._group.running}
        return [wire.endpoint for name, wire in self._wires.items() if name in names]

    @property
    def endpoint(self) -> str:
        """The same as one text, with commas between, as etcdctl takes it."""
        return ",".join(self.endpoints)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which etcdctl finds the members and is let in."""
        return environment(self.endpoint, self._tls.files if self._tls else None)
