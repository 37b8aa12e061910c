"""Leader election: of several that could do the work, the one that holds a Lease does it.

                      ┌── held by another, and renewed of late ──┐
    stand by ─ every 2 s ─► take the Lease ─ it is ours ─► lead ─┴─ every 2 s ─► renew
        ▲                                                   │ no renewal for 10 s
        └────────────────────── stop the work ◄─────────────┘          (others take over after 15 s)

Invariant: who leads has renewed within the last 10 s, who takes over has seen no renewal for 15 s, each by its own
           clock: no two lead at the same time, as long as clocks run at about the same speed.
Models:    client-go's tools/leaderelection over Leases
Left out:  the exit of a process that lost the lease: here the work stops, and we stand by again
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import uuid
from dataclasses import dataclass

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.recorder import EventRecorder
from kubelab.client.transport import Unreachable
from kubelab.machinery.clock import Clock, micro_timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj

log = logging.getLogger("kubelab")
JITTER = 1.2  # candidates that started together do not ask together for long


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a Lease holds, how long its holder may fail to renew it, how often everybody tries. Seconds."""

    lease_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_s > self.renew_s > JITTER * self.retry_s > 0:
            raise ValueError("leader election wants lease duration > renew deadline > 1.2 * retry period > 0")


def identity() -> str:
    """Return a name that no other candidate has."""
    return f"{socket.gethostname().lower()}_{uuid.uuid4()}"


class Leader(Component):
    """Runs `work` for as long as it holds the Lease `namespace`/`name`."""

    def __init__(self, client: Client, name: str, work: Component, *, clock: Clock, namespace: str = "kube-system",
                 who: str = "", terms: Terms | None = None) -> None:
        super().__init__(work.name)
        self.client, self.lease_name, self.work, self.clock, self.namespace = client, name, work, clock, namespace
        self.who, self.terms = who or identity(), terms or Terms()
        self.leading = False
        self._recorder = EventRecorder(client, name, clock)
        self._seen: Obj | None = None  # the Lease as we know it
        self._seen_at = 0.0  # when it last changed, by our clock

    async def setup(self) -> None:
        await self._recorder.start()

    async def run(self) -> None:
        while True:
            while not await self._try(self.terms.renew_s):
                await self.clock.sleep(self.terms.retry_s * random.uniform(1, JITTER))
            self.leading = True
            log.info("%s: successfully acquired lease %s/%s", self.who, self.namespace, self.lease_name)
            if self._seen is not None:
                self._recorder.event(self._seen, "Normal", "LeaderElection", f"{self.who} became leader")
            try:
                await self.work.start()
                await self._renew()
            finally:
                self.leading = False
                await self.work.stop()
            log.warning("%s: leader election lost", self.who)

    async def teardown(self) -> None:
        """Give the Lease back, so that nobody has to wait for its end."""
        await self._release()
        await self._recorder.stop()

    async def _renew(self) -> None:
        """Renew the Lease for as long as that works."""
        until = self.clock.monotonic() + self.terms.renew_s
        while self.clock.monotonic() < until:
            await self.clock.sleep(self.terms.retry_s)
            began = self.clock.monotonic()
            if await self._try(until - began):
                until = began + self.terms.renew_s
            elif self._held_by_another():
                return

    async def _try(self, limit_s: float) -> bool:
        """Take or renew the Lease, once and in time; say whether it is ours now."""
        try:
            async with asyncio.timeout(limit_s):
                return await self._take()
        except (ApiError, Unreachable, OSError, TimeoutError) as error:
            log.debug("%s: lease %s/%s: %s", self.who, self.namespace, self.lease_name, error)
            return False

    async def _take(self) -> bool:
        try:
            self._observe(await self.client.get("leases", self.lease_name, self.namespace))
        except ApiError as error:
            if error.code != 404:
                raise
            metadata = {"name": self.lease_name, "namespace": self.namespace}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
                     "spec": self._spec({})}
            self._observe(await self.client.create("leases", lease))
            return True
        assert self._seen is not None
        if self._held_by_another():
            return False
        self._observe(await self.client.update("leases", {**self._seen, "spec": self._spec(self._seen["spec"])}))
        return True

    def _observe(self, lease: Obj) -> None:
        if self._seen is None or self._seen.get("spec") != lease.get("spec"):
            self._seen_at = self.clock.monotonic()  # the times inside are another's clock: only change counts
        self._seen = {**lease, "spec": lease.get("spec") or {}}

    def _held_by_another(self) -> bool:
        spec = self._seen["spec"] if self._seen is not None else {}
        holder = spec.get("holderIdentity")
        lasts_s = spec.get("leaseDurationSeconds") or self.terms.lease_s
        return bool(holder) and holder != self.who and self.clock.monotonic() < self._seen_at + lasts_s

    def _spec(self, old: Obj) -> Obj:
        now, ours = micro_timestamp(self.clock.now()), old.get("holderIdentity") == self.who
        transitions = old.get("leaseTransitions") or 0
        return {**old, "holderIdentity": self.who, "leaseDurationSeconds": int(self.terms.lease_s), "renewTime": now,
                "acquireTime": old.get("acquireTime", now) if ours else now,
                "leaseTransitions": transitions if ours or not old else transitions + 1}

    async def _release(self) -> None:
        if self._seen is None or self._seen["spec"].get("holderIdentity") != self.who:
            return
        now = micro_timestamp(self.clock.now())
        spec = {**self._seen["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now,
                "acquireTime": now}
        try:
            async with asyncio.timeout(self.terms.retry_s):
                await self.client.update("leases", {**self._seen, "spec": spec})
        except (ApiError, Unreachable, OSError, TimeoutError) as error:
            log.debug("%s: lease %s/%s is left to its end: %s", self.who, self.namespace, self.lease_name, error)
        self._seen = None
