"""The ranges that Services get their addresses from: every ServiceCIDR that is ready.

    ServiceCIDR ─► ready, and not on its way out? ─► its IPv4 network ─┬─ an address that was asked for: in one of them?
                                                                       └─ any address: the oldest range with a free one

Invariant: a range that is being deleted gives out nothing more; what was given from it stays given.
Models:    pkg/registry/core/service/ipallocator/{cidrallocator,ipallocator}.go of kube-apiserver
Left out:  IPv6. Upstream takes any range with a free address, here the oldest: later ones may not be reachable
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Container, Iterable
from functools import lru_cache
from ipaddress import IPv4Network

from kubelab.machinery.meta import get_condition, is_terminating
from kubelab.machinery.request import Obj

TRIES = 64  # at random, before the addresses are tried in turn


class ServiceRanges:
    """Chooses addresses; `cidrs` returns the stored ServiceCIDRs."""

    def __init__(self, cidrs: Callable[[], Iterable[Obj]]) -> None:
        self._cidrs = cidrs
        self._random = random.Random()

    def ready(self) -> list[IPv4Network]:
        """Return the networks that addresses may come from, the oldest first."""
        objects = sorted((obj for obj in self._cidrs() if is_ready(obj)),
                         key=lambda obj: (obj["metadata"]["creationTimestamp"], obj["metadata"]["name"]))
        networks = (network(cidr) for obj in objects for cidr in obj["spec"].get("cidrs") or ())
        return list(dict.fromkeys(found for found in networks if isinstance(found, IPv4Network)))

    def problem(self, asked: str, *, dry_run: bool) -> str:
        """Say why an address cannot be had, "" if it can; a dry run knows but one range, as upstream."""
        address, ranges = ipaddress.ip_address(asked), self.ready()
        around = [net for net in ranges if address in net]
        if any(address not in (net[0], net[-1]) for net in around):
            return ""
        if not around and not (dry_run and ranges):
            return "the provided network does not match the current range"
        return f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {(around or ranges)[0]}"

    def free(self, taken: Container[str]) -> str:
        """Return an address that nobody holds, "" when there is none."""
        return next((ip for net in self.ready() if (ip := self._free_in(net, taken))), "")

    def _free_in(self, net: IPv4Network, taken: Container[str]) -> str:
        """Look in one range; its first 256 or so are left to those who ask for one by name, as upstream does."""
        size, base = net.num_addresses, int(net.network_address)
        reserved = min(max(16, size // 16), 256) if size > 32 else 1
        for _ in range(TRIES if size - 1 > reserved else 0):
            ip = str(ipaddress.IPv4Address(base + self._random.randrange(reserved, size - 1)))
            if ip not in taken:
                return ip
        addresses = (str(ipaddress.IPv4Address(base + offset))
                     for offset in (*range(reserved, size - 1), *range(1, min(reserved, size - 1))))
        return next((ip for ip in addresses if ip not in taken), "")


def is_ready(cidr: Obj) -> bool:
    """Say whether a ServiceCIDR gives out addresses; one that no controller has spoken of yet does."""
    condition = get_condition(cidr, "Ready")
    return not is_terminating(cidr) and (condition is None or condition["status"] == "True")


@lru_cache(256)
def network(cidr: str) -> IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(cidr)
