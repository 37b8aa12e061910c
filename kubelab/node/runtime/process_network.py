"""Addresses of pods, and byte streams to them.

Invariant: an address that was given back is the last to be given out again, so that stale connections find nobody.
Models:    the host-local IPAM plugin of CNI
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque

from kubelab.node.runtime.protocol import RuntimeFailure


class Addresses:
    """Hands out the addresses of one node's pod range; .0 and .1 and the last stay free, as on a bridge."""

    def __init__(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr)
        self.cidr = cidr
        self._free = deque(str(network[i]) for i in range(2, network.num_addresses - 1))

    def take(self) -> str:
        if not self._free:
            raise RuntimeFailure("FailedCreatePodSandBox", f"no IP addresses available in range set: {self.cidr}")
        return self._free.popleft()

    def give_back(self, ip: str) -> None:
        self._free.append(ip)


class PodConnection:
    """A TCP connection into a pod. Implements `Connection`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, limit: int = 65536) -> bytes:
        return await self._reader.read(limit)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close_write(self) -> None:
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
