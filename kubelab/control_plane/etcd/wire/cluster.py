"""The Cluster service: which members there are, and changes to them.

    MemberAdd ─► new member ─► answer with all members

Invariant: a change is answered with the members after it.
Models:    etcdserver's api/v3rpc/member.go
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from urllib.parse import urlsplit

from kubelab.control_plane.etcd.errors import BadUrls
from kubelab.control_plane.etcd.server_api import EtcdServer, MemberInfo
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import Message, header


class ClusterService:
    """The calls of etcdserverpb.Cluster on one store."""

    def __init__(self, etcd: EtcdServer) -> None:
        self._etcd = etcd
        self.calls = {"MemberList": self.list, "MemberAdd": self.add, "MemberRemove": self.remove,
                      "MemberUpdate": self.update, "MemberPromote": self.promote}
        self.streams: dict[str, Callable[[AsyncIterator[Message]], AsyncIterator[Message]]] = {}

    async def _members(self, *, linearizable: bool = True) -> list[Message]:
        return [_message(member) for member in await self._etcd.member_list(linearizable=linearizable)]

    async def list(self, request: Message) -> Message:
        members = await self._members(linearizable=request.linearizable)
        return pb.MemberListResponse(header=header(self._etcd), members=members)

    async def add(self, request: Message) -> Message:
        member = await self._etcd.member_add(_checked(request.peerURLs), learner=request.isLearner)
        return pb.MemberAddResponse(header=header(self._etcd), member=_message(member), members=await self._members())

    async def remove(self, request: Message) -> Message:
        await self._etcd.member_remove(request.ID)
        return pb.MemberRemoveResponse(header=header(self._etcd), members=await self._members())

    async def update(self, request: Message) -> Message:
        await self._etcd.member_update(request.ID, _checked(request.peerURLs))
        return pb.MemberUpdateResponse(header=header(self._etcd), members=await self._members())

    async def promote(self, request: Message) -> Message:
        await self._etcd.member_promote(request.ID)
        return pb.MemberPromoteResponse(header=header(self._etcd), members=await self._members())


def _message(member: MemberInfo) -> Message:
    return pb.Member(ID=member.id, name=member.name, peerURLs=member.peer_urls, clientURLs=member.client_urls,
                     isLearner=member.learner)


def _checked(urls: Sequence[str]) -> Sequence[str]:
    """Refuse addresses that are not of the form http(s)://host:port. Raises BadUrls."""
    for url in urls:
        try:
            parts = urlsplit(url)
            well = parts.scheme in ("http", "https") and parts.hostname and parts.port and parts.path in ("", "/")
        except ValueError:
            well = False
        if not well:
            raise BadUrls
    if not urls:
        raise BadUrls
    return list(urls)
