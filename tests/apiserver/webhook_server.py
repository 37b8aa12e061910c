"""An HTTPS webhook of a test: answers AdmissionReviews with what the test says, and remembers them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from kubelab.client.pki import Pki
from kubelab.machinery.request import Obj

Answer = Callable[[Obj], Obj]


@dataclass
class Hook:
    """A server that runs. `answer` makes a response (without uid) of a request."""

    port: int
    ca: str
    answer: Answer
    delay_s: float = 0.0
    seen: list[Obj] = field(default_factory=list)

    @property
    def client(self) -> Obj:
        return {"url": f"https://127.0.0.1:{self.port}/check", "caBundle": self.ca}


def patch(*operations: Obj) -> Obj:
    """Return the response that allows and changes."""
    return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(operations)).decode()}


@asynccontextmanager
async def webhook(answer: Answer, *names: str) -> AsyncIterator[Hook]:
    """Run a webhook whose certificate bears these names (and 127.0.0.1)."""
    pki = Pki.open(None)
    hook = Hook(0, base64.b64encode(pki.ca_pem).decode(), answer)

    async def serve(request: web.Request) -> web.Response:
        review = await request.json()
        hook.seen.append(review["request"])
        if hook.delay_s:
            await asyncio.sleep(hook.delay_s)
        response = {"uid": review["request"]["uid"], **hook.answer(review["request"])}
        return web.json_response({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})

    app = web.Application()
    app.router.add_post("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    context = pki.server_context(list(names) or ["localhost"], ["127.0.0.1"])
    site = web.TCPSite(runner, "127.77.0.9" if names else "127.0.0.1", 0, ssl_context=context)  # a pod, or a host
    await site.start()
    hook.port = runner.addresses[0][1]
    try:
        yield hook
    finally:
        await runner.cleanup()


def configuration(kind: str, name: str, hook: Hook, **fields: object) -> Obj:
    """Return a webhook configuration of one webhook for ConfigMaps, which `fields` may change."""
    rule = {"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    return {"kind": f"{kind}WebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"name": name},
            "webhooks": [{"name": f"{name}.example.com", "clientConfig": hook.client, "rules": [rule],
                          "sideEffects": "None", "admissionReviewVersions": ["v1"], **fields}]}


