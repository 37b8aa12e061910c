"""The aggregation layer: group versions that another server answers for, behind the same door.

    /apis/metrics.k8s.io/v1beta1/... ─► authenticated and authorised here ─► an endpoint of the APIService's Service
                                          over TLS, with the front proxy's certificate and X-Remote-User, -Group, -Extra

    every 30 s, and when its Service or endpoints change:
        does it answer? ─► condition Available ─► its resources appear in discovery, its document in /openapi/v3

Invariant: what a client says of itself in X-Remote-* never reaches an extension server, what we found out does.
Models:    kube-aggregator
Left out:  upgraded connections; an extension server's part of /openapi/v2 (its /openapi/v3 is there)
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson

from kubelab.client.outbound import Outbound, chunks
from kubelab.control_plane.apiserver.deadline import is_long_running
from kubelab.control_plane.apiserver.webhook_client import WebhookClient
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj, Request, Response, User
from kubelab.machinery.routes import RequestInfo, is_true

if TYPE_CHECKING:
    import aiohttp

    from kubelab.client.pki import Pki
    from kubelab.units.discovery import Discovery

APISERVER = User("system:apiserver", ("system:masters", "system:authenticated"))
SERVICE_NAME = "kubernetes.io/service-name"
NAME, ALLOWED = "extension-apiserver-authentication", "front-proxy-client"
CHECK_EVERY_S, CHECK_TAKES_S = 30.0, 5.0
Version = tuple[str, str]
# Hop by hop, or the client's own credentials, or what only the front proxy may say.
NOT_PASSED_ON = frozenset({"authorization", "connection", "content-length", "host", "keep-alive", "te", "trailer",
                           "transfer-encoding", "upgrade", "x-remote-user", "x-remote-group", "x-remote-uid"})
NOT_PASSED_BACK = frozenset({"cache-control", "connection", "content-length", "date", "keep-alive",
                             "transfer-encoding"})


def authentication_config(pki: Pki) -> Obj:
    """Return the ConfigMap from which extension servers learn whose word on users they may take."""
    front = pki.front_proxy
    data = {"client-ca-file": pki.ca_pem.decode(), "requestheader-allowed-names": json.dumps([ALLOWED]),
            "requestheader-client-ca-file": front.ca_pem.decode(),
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]', "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]'}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": NAME, "namespace": "kube-system"},
            "data": data}


class Aggregator:
    """Knows the APIServices that lead elsewhere, leads requests there, and says whether they are available."""

    def __init__(self, clock: Clock, handle: Callable[[Request], Awaitable[Response]], finder: WebhookClient,
                 outbound: Outbound, discovery: Discovery, pki: Pki | None) -> None:
        self._clock, self._handle, self._finder, self._outbound = clock, handle, finder, outbound
        self._discovery, self._pki = discovery, pki
        self._services: dict[Version, Obj] = {}
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._changed = asyncio.Event()
        self.documents: dict[Version, str] = {}  # where a group version is described, as its own server says

    def moved(self, obj: Obj) -> None:
        """Hear of a change of a Service or an EndpointSlice: what leads there may be available now, or no longer."""
        if not self._services:
            return
        metadata = obj["metadata"]
        name = (metadata.get("labels") or {}).get(SERVICE_NAME) if obj["kind"] == "EndpointSlice" else metadata["name"]
        if any(service["spec"]["service"].get("namespace") == metadata["namespace"]
               and service["spec"]["service"].get("name") == name for service in self._services.values()):
            self._changed.set()

    def registered(self, type_: str, service: Obj) -> None:
        """Follow one change of an APIService."""
        spec = service["spec"]
        version = (spec.get("group", ""), spec.get("version", ""))
        old = self._services.pop(version, None)
        if type_ != "DELETED" and spec.get("service") is not None:
            self._services[version] = service
            self._discovery.elsewhere.setdefault(version, [])
            if old is None or old["spec"] != spec:
                self._changed.set()
        else:
            self._discovery.elsewhere.pop(version, None)
            self.documents.pop(version, None)

    def of(self, info: RequestInfo) -> Obj | None:
        """Return the APIService that answers for a request, None when that is us."""
        if not self._services:
            return None
        if info.group:
            return self._services.get((info.group, info.version))
        parts = info.path.strip("/").split("/")
        if parts[:2] == ["openapi", "v3"]:
            parts = parts[2:]
        return self._services.get((parts[1], parts[2])) if len(parts) == 3 and parts[0] == "apis" else None

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────

    async def serve(self, service: Obj, request: Request, info: RequestInfo, user: User) -> Response:
        """Let the extension server answer."""
        import aiohttp

        condition = get_condition(service, "Available")
        if condition is None or condition["status"] != "True":
            return Response(503, b"service unavailable\n", {"content-type": "text/plain; charset=utf-8"})
        body = request.body
        if body is not None and not isinstance(body, (bytes, bytearray)):
            body = orjson.dumps(body)
        try:
            answer = await self._send(service, request.method, _path_qs(request), _headers(request, user), body or None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ApiError(503, "ServiceUnavailable", f"error trying to reach service: {error}", {}) from None
        headers = {key.lower(): value for key, value in answer.headers.items() if key.lower() not in NOT_PASSED_BACK}
        if is_true(request.query.get("watch")) or is_long_running(info):
            return Response(answer.status, headers=headers, chunks=chunks(answer))
        async with answer:
            raw = await answer.read()
        if request.wire is None and "json" in headers.get("content-type", ""):
            return Response(answer.status, orjson.loads(raw), headers)  # in process, an answer is a dict
        return Response(answer.status, raw, headers)

    async def _send(self, service: Obj, method: str, path_qs: str, headers: Any,
                    body: bytes | None) -> aiohttp.ClientResponse:
        """Send one request to an endpoint of the service. Raises ValueError where there is none."""
        spec = service["spec"]
        url, name = self._finder.address({"service": {**spec["service"], "path": "/"}})
        context = self._context(spec.get("caBundle") or "", bool(spec.get("insecureSkipTLSVerify")))
        return await self._outbound.request(method, url.rstrip("/") + path_qs, headers=headers, data=body, ssl=context,
                                            server_hostname=name)

    def _context(self, ca_bundle: str, insecure: bool) -> ssl.SSLContext:
        """Return our side of TLS: whom we trust, and the front proxy's certificate."""
        from kubelab.client.pki import load_cert_chain

        found = self._contexts.get((ca_bundle, insecure))
        if found is None:
            found = ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode() if ca_bundle else None)
            if insecure:
                found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
            if self._pki is not None:
                load_cert_chain(found, *self._pki.front_proxy.issue_client(ALLOWED))
            self._contexts[ca_bundle, insecure] = found
        return found

    # ── availability and discovery ───────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Ask every extension server now and then whether it is there."""
        while True:
            self._changed.clear()
            await asyncio.gather(*(self._check(version, service) for version, service in [*self._services.items()]))
            timer = self._clock.call_later(CHECK_EVERY_S, self._changed.set) if self._services else None
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    async def _check(self, version: Version, service: Obj) -> None:
        status, reason, message = await self._ask(version, service)
        old = get_condition(service, "Available") or {}
        if (old.get("status"), old.get("reason"), old.get("message")) == (status, reason, message):
            return
        since = old["lastTransitionTime"] if old.get("status") == status else timestamp(self._clock.now())
        condition = {"type": "Available", "status": status, "lastTransitionTime": since, "reason": reason,
                     "message": message}
        path = f"/apis/apiregistration.k8s.io/v1/apiservices/{service['metadata']['name']}/status"
        await self._handle(Request("PATCH", path, {}, {"content-type": "application/merge-patch+json",
                                                       "user-agent": "kube-apiserver"},
                                   {"status": {"conditions": [condition]}}, APISERVER))
        if status != "True":
            self._clock.call_later(1.0, self._changed.set)  # it may be about to come up

    async def _ask(self, version: Version, service: Obj) -> tuple[str, str, str]:
        """Fetch the group version's discovery document; return status, reason and message of the condition."""
        import aiohttp

        path = f"/apis/{version[0]}/{version[1]}"
        try:
            async with asyncio.timeout(CHECK_TAKES_S):
                async with await self._send(service, "GET", path, _identity(APISERVER), None) as answer:
                    raw, code = await answer.read(), answer.status
            if code != 200:
                raise OSError(f"bad status from {path}: {code}")
            document = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            return "False", "FailedDiscoveryCheck", f"failing or missing response from {path}: {error}"
        except ValueError as error:
            return "False", *_missing(service["spec"]["service"], str(error))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return "False", "FailedDiscoveryCheck", f"failing or missing response from {path}: {error or 'timed out'}"
        self._discovery.elsewhere[version] = document.get("resources") or []
        await self._look_for_document(version, service)
        return "True", "Passed", "all checks passed"

    async def _look_for_document(self, version: Version, service: Obj) -> None:
        """Learn from the extension server's own index where it describes the group version, if it does."""
        import aiohttp

        name = f"apis/{version[0]}/{version[1]}"
        try:
            async with asyncio.timeout(CHECK_TAKES_S):
                async with await self._send(service, "GET", "/openapi/v3", _identity(APISERVER), None) as answer:
                    index = orjson.loads(await answer.read()) if answer.status == 200 else {}
            self.documents[version] = index["paths"][name]["serverRelativeURL"]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            self.documents.pop(version, None)  # it describes nothing: neither do we


def _missing(reference: Obj, error: str) -> tuple[str, str]:
    """Say in kube-aggregator's words which part of the way to the service is missing."""
    service, namespace, port = reference["name"], reference["namespace"], reference.get("port", 443)
    if error.startswith("no endpoints"):
        return "MissingEndpoints", f'endpointslices for service/{service} in "{namespace}" have no addresses'
    if error.startswith("no service port"):
        return "ServicePortError", f'service/{service} in "{namespace}" is not listening on port {port}'
    return "ServiceNotFound", f'service/{service} in "{namespace}" is not present'


def _path_qs(request: Request) -> str:
    from urllib.parse import urlencode

    raw = getattr(request.wire, "raw_path", "")
    if raw:
        return str(raw)
    return f"{request.path}?{urlencode(request.query)}" if request.query else request.path


def _identity(user: User) -> Any:
    from multidict import CIMultiDict

    headers: CIMultiDict[str] = CIMultiDict({"X-Remote-User": user.name})
    if user.uid:
        headers["X-Remote-Uid"] = user.uid
    for group in user.groups:
        headers.add("X-Remote-Group", group)
    for key, values in user.extra.items():
        for value in values:
            headers.add(f"X-Remote-Extra-{key.replace('/', '%2F')}", value)
    return headers


def _headers(request: Request, user: User) -> Any:
    """Return the client's headers with who it is in place of how it proved that."""
    headers = _identity(user)
    for key, value in request.headers.items():
        if key not in NOT_PASSED_ON and not key.startswith(("x-remote-extra-", "impersonate-")):
            headers.add(key, value)
    return headers
