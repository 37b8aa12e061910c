"""Credentials that prove nothing: of another authority, expired, for someone else, of someone who is gone."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from aiohttp import ClientConnectionError

from kubelab.client import pki as authority
from kubelab.client.pki import Pki, load_cert_chain
from kubelab.machinery.clock import RealClock
from kubelab.machinery.request import Obj
from kubelab.units.tokens import TokenIssuer

from .wire import ADMIN, PKI, Caller, bare, caller, server

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
OPEN = ("/healthz", "/livez", "/readyz", "/version")


async def test_strangers_see_health_and_version_and_nothing_else() -> None:
    """Without credentials all but four paths is 403 for system:anonymous; with wrong ones everything is 401."""
    async with server() as api, caller(api) as nobody, caller(api, token="nonsense") as liar:
        for path in OPEN:
            assert (await nobody.get(path)).status == 200, path
            assert (await liar.get(path)).status == 401, path
        for path in ("/", "/api", "/apis", "/metrics", "/openapi/v2", "/openapi/v3", "/api/v1/pods", "/api/v1/secrets"):
            answer = await nobody.get(path)
            assert (answer.status, answer.reason) == (403, "Forbidden"), path
            assert 'User "system:anonymous" cannot' in answer.message
        answer = await liar.get("/api/v1/pods")
        assert (answer.status, answer.reason, answer.message) == (401, "Unauthorized", "Unauthorized")
        for text in ("Basic YTpi", "Bearer", "Bearer  ", "bearer x y", "Negotiate x"):
            assert (await nobody.get("/api/v1/pods", Authorization=text)).status in (401, 403), text


async def greets(context: ssl.SSLContext) -> int:
    """Return the status of a request with this client certificate, or 0 when TLS refuses it."""
    async with server() as api, caller(api, context=context) as http:
        try:
            return (await http.get("/api/v1/pods")).status
        except (ClientConnectionError, ssl.SSLError, OSError):
            return 0


async def test_certificates_that_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of another authority, of no authority, expired, or made for servers opens nothing."""
    assert await greets(PKI.client_context(ADMIN[0], ADMIN[1:])) == 200
    other = Pki.open(None)
    forged = bare()
    load_cert_chain(forged, *other.issue_client(ADMIN[0], ADMIN[1:]))
    assert await greets(forged) in (0, 401)
    serves = bare()
    load_cert_chain(serves, *PKI.issue_server(["kubernetes-admin"], ["127.0.0.1"]))
    assert await greets(serves) in (0, 401)

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=authority.LEAF_DAYS + 1)

    monkeypatch.setattr(authority, "datetime", Earlier)
    expired = bare()
    load_cert_chain(expired, *PKI.issue_client(ADMIN[0], ADMIN[1:]))
    monkeypatch.undo()
    assert await greets(expired) in (0, 401)


async def account(admin: Caller, name: str) -> Obj:
    made = await admin.post(ACCOUNTS, {"metadata": {"name": name}})
    assert made.status == 201
    return dict(made.body)


async def token_for(admin: Caller, name: str, **spec: object) -> str:
    made = await admin.post(f"{ACCOUNTS}/{name}/token", {"spec": spec})
    assert made.status == 201, made
    return str(made.body["status"]["token"])


async def test_tokens_that_prove_nothing() -> None:
    """Another key's, an unsigned, an expired, a wrong-audience and an altered token are all 401."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api) as http:
        app = await account(admin, "app")
        good = await token_for(admin, "app")
        claims = jwt.decode(good, options={"verify_signature": False})
        key = jwt.get_unverified_header(good)["kid"]
        issuer = api.authenticator.issuer
        assert issuer is not None
        other = TokenIssuer(Pki.open(None).sa_key_pem, RealClock(), api._stored)
        head, body, signature = good.split(".")
        root = jwt.encode(claims | {"sub": "system:serviceaccount:kube-system:root"}, "x" * 64, algorithm="HS256")
        bad = {
            "other key": other.issue(app)[0], "expired": issuer.issue(app, expires_s=-1)[0],
            "audience": await token_for(admin, "app", audiences=["vault"]),
            "unsigned": jwt.encode(claims, "", algorithm="none", headers={"kid": key}),
            "public key as secret": jwt.encode(claims, str(issuer.jwks()), algorithm="HS256", headers={"kid": key}),
            "claims swapped": f"{head}.{root.split('.')[1]}.{signature}", "no signature": f"{head}.{body}.",
            "cut": good[:-5], "huge": good + "x" * 10_000, "binary": "%00" * 10}

        async def who(token: str) -> int:
            return (await http.send("POST", WHO, {}, {"Authorization": f"Bearer {token}"})).status

        assert await who(good) == 201
        for what, token in bad.items():
            assert await who(token) == 401, what


async def test_a_token_ends_with_what_it_is_bound_to() -> None:
    """When the service account, or the pod that the token is bound to, is deleted, the token is void at once."""
    async with server() as api, caller(api, *ADMIN) as admin:
        await account(admin, "app")
        pods = "/api/v1/namespaces/default/pods"
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}],
                                                   "serviceAccountName": "app"}}
        assert (await admin.post(pods, pod)).status == 201
        loose = await token_for(admin, "app")
        bound = await token_for(admin, "app", boundObjectRef={"kind": "Pod", "name": "p"})
        async with caller(api, token=loose) as first, caller(api, token=bound) as second:
            assert [(await c.send("POST", WHO, {})).status for c in (first, second)] == [201, 201]
            await admin.send("DELETE", f"{pods}/p?gracePeriodSeconds=0")
            assert [(await c.send("POST", WHO, {})).status for c in (first, second)] == [201, 401]
            await admin.send("DELETE", f"{ACCOUNTS}/app")
            assert [(await c.send("POST", WHO, {})).status for c in (first, second)] == [401, 401]
            await account(admin, "app")
            assert (await first.send("POST", WHO, {})).status == 401, "another account of the same name"
