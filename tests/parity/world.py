"""A control plane without nodes, as the recordings were made against: store, API server, controllers, scheduler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.pki import Pki
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.controllers import ControllerManager
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.control_plane.scheduler import Scheduler
from kubelab.machinery.clock import RealClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import User

from .replay import ADMIN


class NearTheMinute(RealClock):
    """A clock that shows a full minute soon after it was made, for what happens on the minute."""

    def __init__(self, in_s: float) -> None:
        super().__init__()
        self._ahead_s = 60 - (super().now() + in_s) % 60

    def now(self) -> float:
        return super().now() + self._ahead_s


@asynccontextmanager
async def control_plane(namespace: str = "parity",
                        clock: RealClock | None = None) -> AsyncIterator[tuple[ApiServer, Client]]:
    """Run the components in process, with one namespace ready for use; stop them all in the end."""
    clock, journal, pki = clock or RealClock(), Journal(), Pki.open(None)
    etcd = EmbeddedEtcd(None, clock)
    server = ApiServer(etcd, clock=clock, journal=journal, pki=pki)

    def client(user: str) -> Client:
        agent = user.removeprefix("system:")
        return Client(InProcess(server.handle, User(user, ("system:authenticated",)), agent), user_agent=agent)

    parts: list[Component] = [
        etcd, server,
        ControllerManager(client("system:kube-controller-manager"), clock=clock, journal=journal,
                          root_ca_pem=pki.ca_pem.decode()),
        Scheduler(client("system:kube-scheduler"), clock=clock, journal=journal),
    ]
    started: list[Component] = []
    try:
        for part in parts:
            await part.start()
            started.append(part)
        admin = Client(InProcess(server.handle, ADMIN, "test"), user_agent="test")
        await admin.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        await _settle(admin, namespace)
        yield server, admin
    finally:
        for part in reversed(started):
            await part.stop()


async def _settle(admin: Client, namespace: str) -> None:
    """Wait for what the controllers put into every namespace."""
    for resource, name in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
        async for event in admin.watch(resource, namespace, timeout_s=10):
            if event.obj.get("metadata", {}).get("name") == name:
                break
