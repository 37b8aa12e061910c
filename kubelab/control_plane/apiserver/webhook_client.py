"""Webhooks: how the API server asks somebody else, over HTTPS, what to do with an object.

    clientConfig {url | service, caBundle} ─► address of a ready endpoint ─► POST review ─► review

Invariant: the server proves itself by `caBundle` under the name `<service>.<namespace>.svc`, wherever it runs.
Models:    k8s.io/apiserver/pkg/util/webhook
Left out:  client certificates for webhooks
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import ssl
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from kubelab.client.outbound import Outbound
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery.ports import mapped
from kubelab.machinery.request import Obj

HEADERS = {"content-type": "application/json", "accept": "application/json, */*",
           "user-agent": "kube-apiserver-admission"}
MAX_ANSWER = 3 * 1024 * 1024


class WebhookFailed(Exception):
    """A webhook that gave no answer; the text is what follows `failed to call webhook: `."""


class WebhookClient:
    """Calls webhooks, admission and conversion alike."""

    def __init__(self, storage: Storage, outbound: Outbound, *, lowest_port: int = 0) -> None:
        self._storage, self._outbound, self._lowest_port = storage, outbound, lowest_port

    async def call(self, config: Obj, review: Obj, timeout_s: float) -> Obj:
        """Return the answer to a review. Raises `WebhookFailed`."""
        import aiohttp

        shown = f"{shown_url(config)}?timeout={timeout_s:g}s"
        try:
            url, name = self.address(config)
            async with asyncio.timeout(timeout_s):
                async with await self._outbound.request(
                        "POST", f"{url}?timeout={timeout_s:g}s", encoded=False, data=orjson.dumps(review),
                        ssl=_context(config.get("caBundle")), server_hostname=name,
                        headers=HEADERS | ({"host": name} if name else {})) as answer:
                    body = await answer.content.read(MAX_ANSWER)
        except TimeoutError:
            raise WebhookFailed(f'Post "{shown}": context deadline exceeded') from None
        except aiohttp.ClientConnectorCertificateError as error:
            why = f"tls: failed to verify certificate: x509: {error.certificate_error}"
            raise WebhookFailed(f'Post "{shown}": {why}') from None
        except aiohttp.ClientConnectorError as error:
            reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error.os_error)
            why = f"dial tcp {error.host}:{error.port}: connect: {reason}"
            raise WebhookFailed(f'Post "{shown}": {why}') from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise WebhookFailed(f'Post "{shown}": {error}') from None
        return _read(answer.status, body)

    def address(self, config: Obj) -> tuple[str, str | None]:
        """Return the URL to call, and the name that its certificate must bear where it is not the URL's own.

        Raises ValueError: no such service, port, or endpoint.
        """
        service = config.get("service")
        if not service:
            return str(config.get("url") or ""), None
        namespace, name = service.get("namespace", ""), service.get("name", "")
        found = self._storage.of("", "services").objects.get(f"{namespace}/{name}")
        if found is None:
            raise ValueError(f'service "{name}" not found')
        wanted = service.get("port") or 443
        ports = [p.get("name", "") for p in found.obj["spec"].get("ports") or () if p["port"] == wanted]
        if not ports:
            raise ValueError(f'no service port {wanted} found for service "{name}"')
        places = list(self._endpoints(namespace, name, ports[0]))
        if not places:
            raise ValueError(f'no endpoints available for service "{name}"')
        ip, port = random.choice(places)
        host = f"[{ip}]" if ":" in ip else ip
        return f"https://{host}:{mapped(port, self._lowest_port)}{_path(service)}", f"{name}.{namespace}.svc"

    def _endpoints(self, namespace: str, service: str, port_name: str) -> Iterable[tuple[str, int]]:
        slices = self._storage.of("discovery.k8s.io", "endpointslices")
        for key in slices.range(namespace):
            slice_ = slices.objects[key].obj
            if (slice_["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != service:
                continue
            for port in slice_.get("ports") or ():
                if (port.get("name") or "") == port_name and port.get("port"):
                    for endpoint in slice_.get("endpoints") or ():
                        if (endpoint.get("conditions") or {}).get("ready") is not False:
                            yield endpoint["addresses"][0], port["port"]


def _read(status: int, body: bytes) -> Obj:
    if status >= 400:
        text = body[:2048].decode(errors="replace").strip()
        raise WebhookFailed(f'an error on the server ("{text}") has prevented the request from succeeding'
                            if status >= 500 else "the server rejected our request for an unknown reason")
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise WebhookFailed(f"could not get REST client response: couldn't get version/kind; json parse error: {error}"
                            ) from None
    if not isinstance(answer, dict):
        raise WebhookFailed("could not get REST client response: the answer is no object")
    return answer


def shown_url(config: Obj) -> str:
    """Return the URL of a webhook as errors show it."""
    service = config.get("service")
    if not service:
        return str(config.get("url") or "")
    return f"https://{service.get('name')}.{service.get('namespace')}.svc:{service.get('port') or 443}{_path(service)}"


def _path(service: Obj) -> str:
    path = str(service.get("path") or "/")
    return quote(path if path.startswith("/") else f"/{path}", safe="/%:@!$&'()*+,;=-._~")


@lru_cache(maxsize=256)
def _context(ca_bundle: str | None) -> ssl.SSLContext:
    if not ca_bundle:
        return ssl.create_default_context()
    return ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode())
