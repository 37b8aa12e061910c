"""Leader election against a real API server on a stepped clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.leader_election import Leader, Terms, identity
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj, Request, Response, User

ADMIN = User("admin", ("system:masters", "system:authenticated"))


@dataclass
class Election:
    """Candidates for one Lease, each of which can be cut off from the API server."""

    clock: SteppedClock
    server: ApiServer
    cut_off: set[str] = field(default_factory=set)
    candidates: list[Leader] = field(default_factory=list)

    @property
    def client(self) -> Client:
        return Client(InProcess(self.server.handle, ADMIN, "test"))

    async def candidate(self, who: str) -> Leader:
        async def handle(request: Request) -> Response:
            if who in self.cut_off:
                raise ApiError(503, "ServiceUnavailable", "cut off")
            return await self.server.handle(request)

        leader = Leader(Client(InProcess(handle, ADMIN, who)), "kube-scheduler", Component("scheduler"),
                        clock=self.clock, who=who)
        self.candidates.append(leader)
        await leader.start()
        await self.clock.step(0)
        return leader

    async def lease(self) -> Obj:
        spec: Obj = (await self.client.get("leases", "kube-scheduler", "kube-system"))["spec"]
        return spec

    async def until(self, happened: Callable[[], bool], within_s: int) -> int:
        """Step second by second; return how many it took."""
        for passed in range(within_s + 1):
            if happened():
                return passed
            await self.clock.step(1)
            working = [one.who for one in self.candidates if one.work.state == "running"]
            assert len(working) <= 1, f"{working} work at the same time"
        raise AssertionError(f"not within {within_s} s")


@pytest.fixture
async def election() -> AsyncIterator[Election]:
    clock = SteppedClock()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    server = ApiServer(etcd, clock=clock, journal=Journal())
    await server.start()
    made = Election(clock, server)
    yield made
    made.cut_off.clear()
    for leader in made.candidates:
        await leader.stop()
    await server.stop()
    await etcd.stop()


async def test_one_leads(election: Election) -> None:
    """The first takes the Lease and works; the second stands by for as long as the first renews."""
    first, second = await election.candidate("a"), await election.candidate("b")
    assert (first.work.state, second.work.state) == ("running", "stopped")
    taken = await election.lease()
    assert (taken["holderIdentity"], taken["leaseDurationSeconds"], taken["leaseTransitions"]) == ("a", 15, 0)
    for _ in range(60):
        await election.clock.step(1)
    assert (first.leading, second.leading) == (True, False)
    later = await election.lease()
    assert later["acquireTime"] == taken["acquireTime"] and later["renewTime"] > taken["renewTime"]


async def test_hand_over(election: Election) -> None:
    """A leader that stops gives the Lease back: the next one has it at its next try."""
    first, second = await election.candidate("a"), await election.candidate("b")
    await first.stop()
    assert (await election.lease())["holderIdentity"] == ""
    assert await election.until(lambda: second.work.state == "running", 5) <= 3
    assert ((await election.lease())["holderIdentity"], (await election.lease())["leaseTransitions"]) == ("b", 1)


async def test_a_leader_cut_off_stops_before_another_begins(election: Election) -> None:
    """Without renewal the work stops after 10 s, another takes over after 15 s, and the first stands by again."""
    first, second = await election.candidate("a"), await election.candidate("b")
    election.cut_off.add("a")
    await election.until(lambda: first.work.state == "stopped", 12)
    assert second.work.state == "stopped"
    await election.until(lambda: second.work.state == "running", 10)
    election.cut_off.clear()
    await election.until(lambda: first._held_by_another(), 5)
    assert (first.leading, second.leading) == (False, True)


async def test_a_lost_lease(election: Election) -> None:
    """Who finds another's name in the Lease stops at once."""
    first = await election.candidate("a")
    await election.client.patch("leases", "kube-scheduler", {"spec": {"holderIdentity": "usurper"}}, "kube-system")
    await election.until(lambda: first.work.state == "stopped", 3)


def test_terms() -> None:
    """Terms under which two could lead are refused; identities differ."""
    with pytest.raises(ValueError, match="lease duration > renew deadline"):
        Terms(lease_s=10, renew_s=10)
    assert identity() != identity()
