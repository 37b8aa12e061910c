"""The API server: wires the pipeline together, and listens.

    in process:  ApiServer.handle(Request) ─┐
    HTTPS:       socket ─► codec (http.py) ─┴─► Pipeline ─► Registry ─► Storage ─► etcd

Invariant: both ways end in the same handler; the listener adds nothing but encoding.
Models:    cmd/kube-apiserver
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from kubelab.client.component import Component
from kubelab.client.outbound import Outbound
from kubelab.client.tunnel import Tunnel
from kubelab.control_plane.apiserver import bootstrap, deadline
from kubelab.control_plane.apiserver.access_metrics import Authenticate, authenticated, authorised
from kubelab.control_plane.apiserver.admission import Plugins
from kubelab.control_plane.apiserver.admission.dynamic import Outside
from kubelab.control_plane.apiserver.admission.escalation import Escalation
from kubelab.control_plane.apiserver.aggregation import Aggregator, authentication_config
from kubelab.control_plane.apiserver.allocator import ServiceAllocator
from kubelab.control_plane.apiserver.authentication import UNAUTHORIZED, Authenticator, impersonated
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.component_statuses import ComponentStatuses, Probe
from kubelab.control_plane.apiserver.connect import Connect
from kubelab.control_plane.apiserver.crd import CustomResources
from kubelab.control_plane.apiserver.deleting import Deleter
from kubelab.control_plane.apiserver.flow_control import follow_flows
from kubelab.control_plane.apiserver.health import VERSION, Health, text
from kubelab.control_plane.apiserver.openapi import OpenApi
from kubelab.control_plane.apiserver.pipeline import Pipeline
from kubelab.control_plane.apiserver.registry import Registry, no_such_resource
from kubelab.control_plane.apiserver.request_metrics import RequestMetrics
from kubelab.control_plane.apiserver.reviews import Reviews
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.control_plane.apiserver.subresources import Subresources
from kubelab.control_plane.apiserver.upkeep import NETWORKING, Upkeep
from kubelab.control_plane.apiserver.webhook_client import WebhookClient
from kubelab.control_plane.etcd.api import EtcdApi, EtcdError
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError, bad_request, method_not_allowed
from kubelab.machinery.journal import Journal
from kubelab.machinery.negotiation import only, readable, tagged_json
from kubelab.machinery.request import Obj, Request, Response, User
from kubelab.machinery.routes import RequestInfo, request_info
from kubelab.units import CATALOGUE
from kubelab.units.answers import VIRTUAL
from kubelab.units.authorization import Authorizer
from kubelab.units.bootstrap_policy import policy_objects
from kubelab.units.catalogue import Kind
from kubelab.units.discovery import Discovery
from kubelab.units.system_objects import bootstrap_objects, system_objects
from kubelab.units.tokens import TokenIssuer

if TYPE_CHECKING:
    from kubelab.client.pki import Pki
    from kubelab.control_plane.apiserver.audit import AuditOptions
    from kubelab.control_plane.apiserver.http import HttpServer

BOOKMARK_EVERY_S = 60.0
DRAIN_S = 2.0  # what is under way when the server stops may take so long
ETCD_CHECK_S = 2.0  # then a store that says nothing counts as one that does not answer
PATHS = ("/.well-known/openid-configuration", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/version")
GROUPS = frozenset(kind.group for kind in (*CATALOGUE, *VIRTUAL))  # whose paths are answered with a Status
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
RBAC = "rbac.authorization.k8s.io"
STREAMED = frozenset({"exec", "attach", "portforward"})
RBAC_KINDS = frozenset({"roles", "rolebindings", "clusterroles", "clusterrolebindings"})


class ApiServer(Component):
    """The API of one cluster over one etcd. Without `pki` it is reachable in process only."""

    def __init__(self, etcd: EtcdApi, *, clock: Clock, journal: Journal, pki: Pki | None = None,
                 host: str = "127.0.0.1", port: int = 0, service_cidr: str = "127.96.128.0/17",
                 static_tokens: Mapping[str, User] | None = None, lowest_port: int = 0,
                 audit: AuditOptions | None = None, shutdown_delay_s: float = 0.0,
                 kubelet_ca_pem: bytes | None = None, verify_kubelets: bool = True,
                 reuse_port: bool = False) -> None:
        super().__init__("apiserver")
        self._kubelet_ca_pem, self._verify_kubelets, self.reuse_port = kubelet_ca_pem, verify_kubelets, reuse_port
        self.lowest_port, self.shutdown_delay_s = lowest_port, shutdown_delay_s
        self.etcd, self.clock, self.journal, self.pki = etcd, clock, journal, pki
        self.host, self.port, self.service_cidr = host, port, service_cidr
        self.probes: dict[str, Probe] = {  # what is wrong with the parts; whoever wires them adds more
            "etcd-0": self._etcd_problem}
        self.metrics = RequestMetrics()
        self._leaving = False
        self.health = Health({"ping": lambda: True, "etcd": self._etcd_answers,
                              "poststarthook/rbac/bootstrap-roles": lambda: self._pipeline is not None},
                             {"shutdown": lambda: not self._leaving})
        issuer = TokenIssuer(pki.sa_key_pem, clock, self._stored) if pki is not None else None
        self.authenticator = Authenticator(issuer, static_tokens)
        self.authorizer = Authorizer(self._all, self._stored)
        self._outbound = Outbound()
        self._connect = Connect(Tunnel(self._outbound, self._kubelet_tls), self._stored, lowest_port=lowest_port)
        self.audit, self._audit_trail = audit, contextlib.ExitStack()
        self._pipeline: Pipeline | None = None
        self._http: HttpServer | None = None
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
        self.storage = Storage(self.etcd, CATALOGUE, self.clock)
        await self.storage.start()
        self.webhooks = WebhookClient(self.storage, self._outbound, lowest_port=self.lowest_port)
        self.metrics.storage = self.storage
        joins = self.reuse_port and self.port != 0  # others answer there: connections come when we can
        if self.pki is not None and not joins:
            await self._listen(self.pki)
        allocator = ServiceAllocator(self.storage.of("", "services"), self.storage.of(NETWORKING, "servicecidrs"))
        self.registry = Registry(self.storage, CATALOGUE)
        self.discovery = Discovery(self.registry.served.values(), f"{self.host}:{self.port}")
        self.openapi = OpenApi(self.registry.served.values(), self.clock)
        outside = Outside(self.webhooks, self.authorizer.check, lambda: timestamp(self.clock.now()))
        self.plugins = Plugins(self.storage, allocator, outside, [Escalation(self.storage, self.authorizer)])
        authenticate = partial(self._authenticate, authenticated(self.authenticator.authenticate))
        pipeline = Pipeline(self.storage, self.clock, self.journal, authenticate=authenticate,
                            authorise=authorised(self.authorizer.check), admission=self.plugins,
                            serve=self._serve, metrics=self.metrics)
        deleter = Deleter(self.storage, self.clock, self.plugins.remove)
        self.registry.pipeline, self.registry.deleter = pipeline, deleter
        self.crds = CustomResources(self.registry, self.storage, self.clock, self.webhooks, self._publish)
        self.registry.afterwards["customresourcedefinitions"] = self.crds.settled
        self._register(pipeline, deleter)
        await self._bootstrap()
        allocator.start()
        upkeep = Upkeep(self.storage, allocator, self.clock, self.service_cidr)
        upkeep.start()
        self.spawn(upkeep.run, name="upkeep")
        for plural in RBAC_KINDS:
            self.storage.of(RBAC, plural).follow(lambda _: self.authorizer.invalidate())
        self.authorizer.invalidate()
        self.crds.start()
        self._aggregate()
        self.flow_control = follow_flows(self.storage)
        self.metrics.more = self.flow_control.metrics.families()
        pipeline.way = deadline.around(self.flow_control.around(pipeline.way))
        if self.audit is not None:
            trail = self.audit.open(self.clock, lambda request: self.authenticator.authenticate(
                request.headers, request.certificate))
            self._audit_trail.callback(trail.close)
            pipeline.way = trail.around(pipeline.way)
        self._leaving, self._pipeline = False, pipeline
        if self.pki is not None and joins:
            await self._listen(self.pki)

    def _publish(self, custom: list[Kind]) -> None:
        self.discovery.publish(custom)
        self.openapi.publish(custom)

    def _register(self, pipeline: Pipeline, deleter: Deleter) -> None:
        """Give the registry what is not a plain verb on a stored kind."""
        handlers = Subresources(pipeline, deleter, self.authenticator.issuer, self._stored)
        self.registry.subresources.update(handlers.handlers())
        for name in ("log", "exec", "attach", "portforward", "proxy"):
            self.registry.subresources["*", name] = self._connected
        self.registry.computed.update(ComponentStatuses(self.probes, self.clock.now).handlers())
        reviews = Reviews(self.authenticator, self.authorizer, pipeline.stamp)
        self.registry.virtual.update(reviews.handlers())

    def _aggregate(self) -> None:
        """Lead to extension servers what APIServices say is theirs."""
        self.aggregator = Aggregator(self.clock, self.handle, self.webhooks, self._outbound, self.discovery, self.pki)
        self.openapi.elsewhere = self.aggregator.documents
        self.storage.of("apiregistration.k8s.io", "apiservices").follow(
            lambda event: self.aggregator.registered(event.type, event.obj), known=True)
        for group, plural in (("", "services"), ("discovery.k8s.io", "endpointslices")):
            self.storage.of(group, plural).follow(lambda event: self.aggregator.moved(event.obj))
        self.spawn(self.aggregator.run, name="aggregator")

    async def _connected(self, call: Call) -> Response:
        if "dryRun" in call.query and call.subresource != "log":
            raise bad_request("dryRun is not supported")
        if call.subresource in STREAMED and call.info.verb == "get":  # a WebSocket begins with GET, and is no reading
            self.authorizer.check(call.user, replace(call.info, verb="create"))
        if call.subresource != "log":
            await self.plugins.connect(call)
        return await self._connect.serve(call.request, call.info)

    async def _listen(self, pki: Pki) -> None:
        from kubelab.control_plane.apiserver.http import HttpServer

        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
                 "localhost")
        context = pki.server_context(names, sorted({self.host, "127.0.0.1", self.service_ip}))
        self._http = HttpServer(self.handle, self._may, {*names, self.host}, reuse_port=self.reuse_port)
        self.port = await self._http.start(self.host, self.port, context)

    async def _bootstrap(self) -> None:
        """Write what every cluster has, all in one transaction at the first start."""
        now, ca_pem = self.clock.now(), self.pki.ca_pem.decode() if self.pki is not None else ""
        objects = bootstrap_objects(self.port, self.service_ip, ca_pem)
        groups = sorted({(kind.group, kind.version) for kind in (*self.registry.served.values(), *VIRTUAL)})
        objects += system_objects(self.service_cidr, self.service_ip, groups, timestamp(now))
        if self.pki is not None:
            objects.append(authentication_config(self.pki))
        await bootstrap.write(self.storage, [*objects, *policy_objects()], now)
        await bootstrap.refresh_endpoints(self.storage, self.host, self.port, now)

    async def run(self) -> None:
        """Send bookmarks now and then, so that an idle watch can go on from a recent revision."""
        while True:
            await self.clock.sleep(BOOKMARK_EVERY_S)
            for collection in self.storage.collections.values():
                for watcher in collection.fanout:
                    if watcher.bookmarks:
                        watcher.push(collection.bookmark(self.storage.revision))

    async def teardown(self) -> None:
        """Say that we are leaving, end the watches, let answers under way go out, then close."""
        self._leaving = True
        if self.shutdown_delay_s:
            await self.clock.sleep(self.shutdown_delay_s)
        self._pipeline = None
        self.storage.end_watches()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.metrics.drained()
        self.crds.stop()
        self.storage.stop()
        if self._http is not None:
            await self._http.stop()
            self._http = None
        self._audit_trail.close()
        await self._outbound.close()

    def _kubelet_tls(self) -> ssl.SSLContext:
        """Prove to kubelets that this is the API server."""
        if self.pki is None:
            raise ApiError(500, "InternalError", "Internal error occurred: this API server has no client certificate")
        return self.pki.client_context("kube-apiserver-kubelet-client", ("system:masters",),
                                       server_ca_pem=self._kubelet_ca_pem, verify=self._verify_kubelets)

    async def handle(self, request: Request) -> Response:
        """Answer one request: the whole API server as a function."""
        if self._pipeline is None:
            gone = ApiError(503, "ServiceUnavailable", "the API server is stopped")
            return Response(503, gone.status, {"retry-after": "1"})
        return await self._pipeline.handle(request)

    def _authenticate(self, authenticate: Authenticate, request: Request) -> User:
        """Find out who asks; in process, the caller has been given a user and nobody else can set one."""
        if request.user is not None:
            return request.user
        headers = request.headers
        user = authenticate(headers, request.certificate)
        if user is None:
            raise UNAUTHORIZED
        if any(name.startswith("impersonate-") for name in headers):
            groups = headers.get("impersonate-group", "")
            user = impersonated(headers, user, groups.split("\n") if groups else (), self._may_impersonate)
        return user

    async def _may(self, request: Request) -> bool:
        """Tell by its head whether a request will be let in, so that a stranger's body is never read."""
        info = request_info(request.method, request.path, request.query)

        def look() -> None:  # it is asked again with the body: only that counts
            user = self._authenticate(self.authenticator.authenticate, request)
            if not self.authorizer.decide(user, info).allowed:
                raise UNAUTHORIZED

        try:
            await self.storage.sure(look)
        except (ApiError, EtcdError):  # the answer says why
            return False
        return True

    def _may_impersonate(self, user: User, group: str, resource: str, subresource: str, namespace: str,
                         name: str) -> None:
        self.authorizer.check(user, RequestInfo("impersonate", "", group, "v1", namespace, resource, name, subresource))

    def _stored(self, plural: str, namespace: str, name: str) -> Obj | None:
        group = RBAC if plural in RBAC_KINDS else ""
        body = self.storage.of(group, plural).objects.get(f"{namespace}/{name}" if namespace else name)
        return body.obj if body is not None else None

    def _all(self, plural: str) -> Iterable[Obj]:
        group = RBAC if plural in RBAC_KINDS else ""
        return (body.obj for body in self.storage.of(group, plural).objects.values())

    async def _serve(self, request: Request, info: RequestInfo, user: User) -> Response:
        service = self.aggregator.of(info)
        if service is not None:
            return await self.aggregator.serve(service, request, info, user)
        if info.is_resource and (info.group in GROUPS or self.registry.serves(info)):
            return await self.registry.serve(request, info, user)
        path = request.path.rstrip("/") or "/"
        if path == "/version":
            if info.verb not in ("get", "head"):
                raise method_not_allowed()
            return Response(200, VERSION)
        if path == "/metrics":
            return self.metrics.answer()
        if path == "/":
            return Response(200, {"paths": sorted((*self.discovery.paths(), *self.health.paths(), *PATHS))})
        if self.authenticator.issuer is not None and path == "/.well-known/openid-configuration":
            return Response(200, self.authenticator.issuer.openid_configuration(self.url))
        if self.authenticator.issuer is not None and path == "/openid/v1/jwks":
            media = only("application/jwk-set+json", request.headers.get("accept", ""))
            return Response(200, self.authenticator.issuer.jwks(), media)
        probe = await self.health.probe(path, request.query)
        if probe is not None:
            return probe
        document = self.discovery.document(path, request.headers.get("accept", ""))
        if document is not None:
            custom = path.startswith("/apis/") and path.split("/")[2] not in GROUPS
            readable(request.headers.get("accept", ""), custom=custom)
            aggregated = document["kind"] == "APIGroupDiscoveryList"
            return tagged_json(request, document, AGGREGATED) if aggregated else Response(200, document)
        if path.startswith("/openapi/"):
            answer = self.openapi.answer(request)
            if answer is not None:
                return answer
        if path.startswith("/api/") or (path.startswith("/apis/") and path.split("/")[2] in GROUPS):
            raise no_such_resource()
        return text("404 page not found\n", 404)

    async def _etcd_answers(self) -> bool:
        try:
            await asyncio.wait_for(self.etcd.range(b"/health"), ETCD_CHECK_S)
        except Exception:  # whatever it is, the store does not answer
            return False
        return True

    async def _etcd_problem(self) -> str:
        return "" if await self._etcd_answers() else "context deadline exceeded"
