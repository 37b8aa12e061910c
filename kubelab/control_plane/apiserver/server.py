"""The API server: wires the pipeline together, and listens.

    in process:  ApiServer.handle(Request) ─┐
    HTTPS:       socket ─► codec (http.py) ─┴─► Pipeline ─► Registry ─► Storage ─► etcd

Invariant: both ways end in the same handler; the listener adds nothing but encoding.
Models:    cmd/kube-apiserver
"""

from __future__ import annotations

import ipaddress
from typing import Any

from kubelab.client.component import Component
from kubelab.control_plane.apiserver import bootstrap
from kubelab.control_plane.apiserver.admission import Plugins
from kubelab.control_plane.apiserver.allocator import ServiceAllocator
from kubelab.control_plane.apiserver.deleting import Deleter
from kubelab.control_plane.apiserver.discovery import Discovery
from kubelab.control_plane.apiserver.health import VERSION, Health, Metrics, text
from kubelab.control_plane.apiserver.pipeline import Pipeline
from kubelab.control_plane.apiserver.registry import Registry, no_such_resource
from kubelab.control_plane.apiserver.routes import RequestInfo
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.control_plane.etcd.api import EtcdApi
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Request, Response, User
from kubelab.units import CATALOGUE

BOOKMARK_EVERY_S = 60.0


class ApiServer(Component):
    """The API of one cluster over one etcd. Without `pki` it is reachable in process only."""

    def __init__(self, etcd: EtcdApi, *, clock: Clock, journal: Journal, pki: Any = None, host: str = "127.0.0.1",
                 port: int = 0, service_cidr: str = "127.96.128.0/17") -> None:
        super().__init__("apiserver")
        self.etcd, self.clock, self.journal, self.pki = etcd, clock, journal, pki
        self.host, self.port = host, port
        self.service_cidr = service_cidr
        self.metrics = Metrics()
        self.health = Health({"ping": lambda: True, "etcd": self._etcd_answers,
                              "poststarthook/rbac/bootstrap-roles": lambda: self.state == "running"})
        self._pipeline: Pipeline | None = None
        self.storage: Storage
        self.registry: Registry

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def service_ip(self) -> str:
        """Return the cluster IP of the `kubernetes` Service: the first of the range."""
        return str(ipaddress.IPv4Network(self.service_cidr)[1])

    async def setup(self) -> None:
        self.storage = Storage(self.etcd, CATALOGUE)
        self.storage.start()
        allocator = ServiceAllocator(self.storage.of("", "services"), self.service_cidr)
        self.registry = Registry(self.storage, CATALOGUE)
        self.discovery = Discovery(self.registry.served.values(), f"{self.host}:{self.port}")
        pipeline = Pipeline(self.storage, self.clock, self.journal, authenticate=self._authenticate,
                            authorise=self._authorise, admission=Plugins(self.storage, allocator), serve=self._serve)
        self.registry.pipeline, self.registry.deleter = pipeline, Deleter(self.storage, self.clock)
        now = self.clock.now()
        await bootstrap.write(self.storage, bootstrap.bootstrap_objects(self.host, self.port, self.service_ip, ""), now)
        await bootstrap.refresh_endpoints(self.storage, self.host, self.port, now)
        allocator.start()
        self._pipeline = pipeline

    async def run(self) -> None:
        """Send bookmarks now and then, so that an idle watch can go on from a recent revision."""
        while True:
            await self.clock.sleep(BOOKMARK_EVERY_S)
            for collection in self.storage.collections.values():
                for watcher in collection.fanout:
                    if watcher.bookmarks:
                        watcher.push(collection.bookmark(self.storage.revision))

    async def teardown(self) -> None:
        if self._pipeline is not None:
            self._pipeline = None
            self.storage.stop()

    async def handle(self, request: Request) -> Response:
        """Answer one request: the whole API server as a function."""
        if self._pipeline is None:
            return Response(503, ApiError(503, "ServiceUnavailable", "the API server is stopped").status)
        response = await self._pipeline.handle(request)
        return response

    def _authenticate(self, request: Request) -> User:
        assert request.user is not None
        return request.user

    def _authorise(self, user: User, info: RequestInfo) -> None:
        """TODO-B"""

    async def _serve(self, request: Request, info: RequestInfo, user: User) -> Response:
        if info.is_resource:
            return await self.registry.serve(request, info, user)
        path = request.path
        if path == "/version":
            return Response(200, VERSION)
        if path == "/metrics":
            return self.metrics.show()
        probe = self.health.probe(path, request.query)
        if probe is not None:
            return probe
        document = self.discovery.document(path, request.headers.get("accept", ""))
        if document is not None:
            return Response(200, document)
        if path.startswith("/apis/") and path.count("/") == 3:
            raise no_such_resource()
        return text("404 page not found\n", 404)

    def _etcd_answers(self) -> bool:
        try:
            self.etcd.range(b"/health")
        except Exception:  # whatever it is, the store does not answer
            return False
        return True
