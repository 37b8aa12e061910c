"""The Auth service of a store that has no users: it says so.

    AuthStatus ─► disabled          any other call ─► "etcdserver: authentication is not enabled"

Invariant: nothing here knows a user; who may come in is decided by TLS.
Models:    etcdserver's api/v3rpc/auth.go, with authentication never enabled
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from kubelab.control_plane.etcd.errors import AuthNotEnabled
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import Message, header


class AuthService:
    """The calls of etcdserverpb.Auth on one store."""

    def __init__(self, etcd: EtcdServer) -> None:
        self._etcd = etcd
        self.calls = dict.fromkeys(pb.SERVICES["Auth"], self.refuse) | {"AuthStatus": self.status}
        self.streams: dict[str, Callable[[AsyncIterator[Message]], AsyncIterator[Message]]] = {}

    async def status(self, request: Message) -> Message:
        return pb.AuthStatusResponse(header=header(self._etcd), enabled=False, authRevision=1)

    async def refuse(self, request: Message) -> Message:
        raise AuthNotEnabled
