"""The kubelet's HTTPS server: logs, exec, attach, port-forward, statistics. The API server is its one caller.

    API server ─► TLS, client certificate ─► route ─► the pod's worker ─► runtime
    /containerLogs/{ns}/{pod}/{container}    /exec, /attach/{ns}/{pod}[/{uid}]/{container}
    /portForward/{ns}/{pod}[/{uid}]          /pods  /healthz  /stats/summary  /metrics/resource

Invariant: off loopback there is no answer without TLS; nobody but the API server and system:masters gets past 401.
Models:    pkg/kubelet/server
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from kubelab.client.component import Component
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.routes import HttpError, PodTarget

if TYPE_CHECKING:
    from aiohttp import web

    from kubelab.node.kubelet.kubelet import Kubelet

API_SERVER = "kube-apiserver-kubelet-client"
ADMINS = "system:masters"
HANDSHAKE_S, IDLE_S = 10.0, 90.0  # how long a connection may take for TLS, and for a request to come


class KubeletServer(Component):
    """Serves one kubelet, or many hollow ones. Without `ssl_context` it refuses to listen anywhere but on loopback."""

    def __init__(self, host: str = "127.0.0.1", port: int = 10250, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__("kubelet-server")
        self.host, self.port, self.ssl_context = host, port, ssl_context
        self.kubelets: dict[str, Kubelet] = {}
        self._server: asyncio.Server | None = None
        self._http: web.Server | None = None

    async def add(self, kubelet: Kubelet) -> None:
        """Serve this kubelet too; the first one opens the socket."""
        self.kubelets[kubelet.node_name] = kubelet
        await self.start()

    async def remove(self, kubelet: Kubelet) -> None:
        """Stop serving it; the last one closes the socket."""
        if self.kubelets.get(kubelet.node_name) is kubelet:
            del self.kubelets[kubelet.node_name]
        if not self.kubelets:
            await self.stop()

    async def setup(self) -> None:
        from aiohttp import web

        if self.ssl_context is None and not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(f"the kubelet's server needs TLS to listen on {self.host}")
        self._http = web.Server(self._handle, handler_cancellation=True, access_log=None, auto_decompress=False,
                                keepalive_timeout=IDLE_S)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._http, self.host, self.port, ssl=self.ssl_context,
            ssl_handshake_timeout=HANDSHAKE_S if self.ssl_context is not None else None)
        self.port = self._server.sockets[0].getsockname()[1]

    async def teardown(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._http is not None:
            self._http.pre_shutdown()
            await self._http.shutdown(0.1)
        self._server = self._http = None

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _handle(self, request: web.BaseRequest) -> Any:
        from aiohttp import web

        try:
            if not self._trusted(request):
                raise HttpError(401, "Unauthorized")
            return await self._route(request)
        except HttpError as error:
            return web.Response(status=error.status, text=error.message + "\n")

    def _trusted(self, request: web.BaseRequest) -> bool:
        """Tell whether the caller's certificate, which TLS has checked against the cluster's CA, is one we serve."""
        if self.ssl_context is None:
            return True
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        subject = [pair for part in (certificate or {}).get("subject", ()) for pair in part]
        return ("commonName", API_SERVER) in subject or ("organizationName", ADMINS) in subject

    async def _route(self, request: web.BaseRequest) -> Any:
        from kubelab.node.kubelet import exec_route, forward_route, log_route, usage

        first, *parts = [unquote(p) for p in request.rel_url.raw_path.strip("/").split("/")]
        match first:
            case "healthz":
                return _text("ok")
            case "pods":
                return _json(self._pods())
            case "stats" if parts == ["summary"]:
                return _json(await usage.summary(self.kubelets.values()))
            case "metrics" if parts == ["resource"]:
                return _text(await usage.metrics(self.kubelets.values()))
            case "containerLogs":
                return await log_route.serve(request, self.target(parts, container=True))
            case "exec" | "attach":
                return await exec_route.serve(request, self.target(parts, container=True), first)
            case "portForward":
                return await forward_route.serve(request, self.target(parts, container=False))
        raise HttpError(404, "404 page not found")

    def target(self, parts: list[str], *, container: bool) -> PodTarget:
        """Find what the rest of a path names. Raises HttpError."""
        want = 3 if container else 2
        if len(parts) not in (want, want + 1):
            raise HttpError(404, "404 page not found")
        namespace, name = parts[0], parts[1]
        uid = parts[2] if len(parts) == want + 1 else ""
        for kubelet in self.kubelets.values():
            worker = kubelet.worker(namespace, name, uid)
            if worker is not None:
                target = PodTarget(kubelet, worker, parts[-1] if container else "")
                if container and worker.container(target.container) is None:
                    raise HttpError(404, f"container {target.container} is not valid for pod {name}")
                return target
        raise HttpError(404, f'pod "{name}" not found')

    def _pods(self) -> Obj:
        items = [pod for kubelet in self.kubelets.values() for pod in kubelet.pods.list()]
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def _text(text: str) -> web.Response:
    from aiohttp import web

    return web.Response(text=text)


def _json(body: Obj) -> web.Response:
    from aiohttp import web

    return web.Response(body=orjson.dumps(body), content_type="application/json")
