"""ServiceCIDR controller: a range is ready, and stays as long as an address needs it.

    ServiceCIDR ─► finalizer networking.k8s.io/service-cidr-finalizer on, Ready=True
      being deleted ─► is there a Service's IPAddress that no other range holds?
                         ├─ yes ─► Ready=False, Terminating: wait for it, or for a range around it
                         └─ no ──► wait 10 s, so that no API server still gives one out ─► finalizer off

Invariant: the finalizer goes only when every address in the range is held by another range, or by none.
Models:    kube-controller-manager, service-cidr-controller
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.machinery.clock import Clock, parse_timestamp, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import get_condition, is_terminating
from kubelab.machinery.request import Obj

CIDRS, ADDRESSES = "servicecidrs.networking.k8s.io", "ipaddresses.networking.k8s.io"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
MANAGED_BY = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
GRACE_S = 10.0
Network = IPv4Network | IPv6Network
READY: Obj = {"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}
TERMINATING: Obj = {"type": "Ready", "status": "False", "reason": "Terminating",
                    "message": "There are still IPAddresses referencing the ServiceCIDR, please remove them or create "
                               "a new ServiceCIDR"}


def networks_of(cidr: Obj) -> list[Network]:
    return [ipaddress.ip_network(text) for text in cidr["spec"].get("cidrs") or ()]


def is_around(outer: Network, inner: Network) -> bool:
    return isinstance(outer, IPv4Network) == isinstance(inner, IPv4Network) and outer.overlaps(inner) \
        and outer.prefixlen <= inner.prefixlen


def is_needed(cidr: Obj, others: Iterable[Obj], addresses: Iterable[Obj]) -> bool:
    """Say whether an address of a Service would be in no range any more without this one."""
    remaining = [net for other in others if not is_terminating(other) for net in networks_of(other)]
    orphaned = [net for net in networks_of(cidr) if not any(is_around(outer, net) for outer in remaining)]
    if not orphaned:
        return False
    held = [ipaddress.ip_address(address["metadata"]["name"]) for address in addresses
            if MANAGED_BY.items() <= (address["metadata"].get("labels") or {}).items()]
    return any(any(ip in net for net in orphaned) and not any(ip in net for net in remaining) for ip in held)


class ServiceCidrController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client, self.cidrs, self.addresses = client, informers.of(CIDRS), informers.of(ADDRESSES)
        super().__init__(name, clock=clock, journal=journal, informers=(self.cidrs, self.addresses))
        self.cidrs.on_event(self._on_cidr)
        self.addresses.on_event(self._on_address)

    def _on_cidr(self, type_: str, cidr: Obj, old: Obj | None) -> None:
        self.queue.add(cidr["metadata"]["name"])
        if old is None or type_ == "DELETED":  # one that waits may go now, or must stay after all
            self._look_again(networks_of(cidr))

    def _on_address(self, type_: str, address: Obj, old: Obj | None) -> None:
        if type_ == "DELETED" or old is None:
            self._look_again([ipaddress.ip_network(address["metadata"]["name"])])

    def _look_again(self, nets: Sequence[Network]) -> None:
        for cidr in self.cidrs.list():
            if is_terminating(cidr) and any(is_around(outer, net) or is_around(net, outer)
                                            for outer in networks_of(cidr) for net in nets):
                self.queue.add(cidr["metadata"]["name"])

    async def reconcile(self, key: str) -> None:
        cidr = self.cidrs.get(key)
        if cidr is None:
            return
        metadata = cidr["metadata"]
        is_kept = FINALIZER in (metadata.get("finalizers") or ())
        if not is_terminating(cidr):
            if not is_kept:
                await self._patch(cidr, {"metadata": {"uid": metadata["uid"], "finalizers": [FINALIZER]}})
            await self._tell(cidr, READY)
            return
        others = [other for other in self.cidrs.list() if other["metadata"]["name"] != key]
        if is_needed(cidr, others, self.addresses.list()):
            await self._tell(cidr, TERMINATING)
            return
        left_s = GRACE_S - (self.clock.now() - parse_timestamp(metadata["deletionTimestamp"]))
        if left_s > 0:
            self.queue.add_after(key, left_s)
        elif is_kept:
            await self._patch(cidr, {"metadata": {"uid": metadata["uid"],
                                                  "$deleteFromPrimitiveList/finalizers": [FINALIZER]}})

    async def _tell(self, cidr: Obj, wanted: Obj) -> None:
        found = get_condition(cidr, "Ready")
        if found is not None and found.items() >= wanted.items():
            return
        condition = {**wanted, "lastTransitionTime": timestamp(self.clock.now())}
        await self._patch(cidr, {"status": {"conditions": [condition]}}, "status")

    async def _patch(self, cidr: Obj, patch: Obj, subresource: str | None = None) -> None:
        try:
            await self.client.patch(CIDRS, cidr["metadata"]["name"], patch, type="strategic", subresource=subresource)
        except ApiError as error:
            if error.code not in (404, 409, 422):  # gone, or another one of the same name
                raise
