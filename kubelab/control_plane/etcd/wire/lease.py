"""The Lease service: grant, keep alive, revoke, time to live, list.

    LeaseKeepAlive: one stream, a request for each beat ─► answer with the time it has anew (0: there is no such lease)

Invariant: a lease is never shorter than the time in which a new leader is found.
Models:    etcdserver's api/v3rpc/lease.go
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from kubelab.control_plane.etcd.errors import LeaseNotFound, LeaseTtlTooLarge
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import Message, header
from kubelab.control_plane.etcd.wire.quota import Quota

MIN_TTL_S, MAX_TTL_S = 2, 9_000_000_000  # etcd: one and a half election time-outs, rounded up


class LeaseService:
    """The calls of etcdserverpb.Lease on one store."""

    def __init__(self, etcd: EtcdServer, quota: Quota) -> None:
        self._etcd, self._quota = etcd, quota
        self.calls = {"LeaseGrant": self.grant, "LeaseRevoke": self.revoke, "LeaseTimeToLive": self.time_to_live,
                      "LeaseLeases": self.leases}
        self.streams = {"LeaseKeepAlive": self.keep_alive}

    async def grant(self, request: Message) -> Message:
        if request.TTL > MAX_TTL_S:
            raise LeaseTtlTooLarge
        await self._quota.admit(request.ByteSize())
        ttl_s = max(request.TTL, MIN_TTL_S)
        lease = await self._etcd.lease_grant(ttl_s, request.ID)
        return pb.LeaseGrantResponse(header=header(self._etcd), ID=lease, TTL=ttl_s)

    async def revoke(self, request: Message) -> Message:
        await self._etcd.lease_revoke(request.ID)
        return pb.LeaseRevokeResponse(header=header(self._etcd))

    async def time_to_live(self, request: Message) -> Message:
        try:
            left_s, granted_s, keys = await self._etcd.lease_time_to_live(request.ID)
        except LeaseNotFound:
            return pb.LeaseTimeToLiveResponse(header=header(self._etcd), ID=request.ID, TTL=-1)
        return pb.LeaseTimeToLiveResponse(header=header(self._etcd), ID=request.ID, TTL=int(left_s),
                                          grantedTTL=granted_s, keys=keys if request.keys else ())

    async def leases(self, request: Message) -> Message:
        leases = [pb.LeaseStatus(ID=lease) for lease in await self._etcd.lease_list()]
        return pb.LeaseLeasesResponse(header=header(self._etcd), leases=leases)

    async def keep_alive(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        async for request in requests:
            head = header(self._etcd)  # from before: a lease that is gone at revision 3 was not kept alive at 4
            try:
                ttl_s = await self._etcd.lease_keepalive(request.ID)
            except LeaseNotFound:
                ttl_s = 0
            yield pb.LeaseKeepAliveResponse(header=head, ID=request.ID, TTL=ttl_s)
