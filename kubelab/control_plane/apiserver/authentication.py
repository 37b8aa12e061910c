"""Authentication: who asks? Each way in turn; the first that knows the caller decides.

    client certificate (CN, O) ─► bearer token (static, then service account) ─► system:anonymous

Invariant: a token that is shown but wrong is refused (401), never taken for none. Who shows nothing is
           system:anonymous, whom the bootstrap policy lets see health and version and nothing else.
Models:    kube-apiserver's authentication chain
Left out:  OpenID Connect logins, webhook and bootstrap tokens
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import User
from kubelab.units.tokens import PREFIX, UNKNOWN, InvalidToken, TokenIssuer, Verified

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))

UNAUTHORIZED = ApiError(401, "Unauthorized", "Unauthorized")

MayImpersonate = Callable[[User, str, str, str, str, str], None]
"""(user, API group, resource, subresource, namespace, name); raises Forbidden."""


class Authenticator:
    """Finds out who sent a request. `static_tokens` maps a token to its user."""

    def __init__(self, issuer: TokenIssuer | None = None, static_tokens: Mapping[str, User] | None = None) -> None:
        self.issuer = issuer
        self._static = dict(static_tokens or {})

    def authenticate(self, headers: Mapping[str, str], peer_cert_der: bytes | None = None) -> User | None:
        """Return the user of a request, or None for 401 Unauthorized.

        `headers` have lower-case names; `peer_cert_der` is a certificate whose signature TLS has checked already.
        """
        if peer_cert_der is not None:
            user = user_of_certificate(peer_cert_der)
            if user is not None:
                return user
        authorization = headers.get("authorization", "")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return self._of_token(token.strip())
        return ANONYMOUS

    def review(self, token: str, audiences: Sequence[str] = ()) -> Verified:
        """Say who a token is for, as a TokenReview asks. Raises InvalidToken."""
        user = self._static.get(token)
        if user is not None:
            return Verified(user, tuple(audiences))
        if self.issuer is None:
            raise InvalidToken(UNKNOWN)
        return self.issuer.verify(token, audiences)

    def _of_token(self, token: str) -> User | None:
        try:
            return self.review(token).user
        except InvalidToken:
            return None


@lru_cache(1024)
def user_of_certificate(der: bytes) -> User | None:
    """Read the user from a certificate's subject: CN is the name, each O a group. None without a CN."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(der).subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names:
        return None
    groups = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    credential = f"X509SHA256={hashlib.sha256(der).hexdigest()}"
    return User(names[-1], (*groups, AUTHENTICATED), "", {"authentication.kubernetes.io/credential-id": (credential,)})


def peer_certificate(transport: Any) -> bytes | None:
    """Return the client certificate of a TLS connection (an asyncio transport), as DER."""
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    der: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
    return der


# ── impersonation: kubectl --as ──────────────────────────────────────────────────────────────────────────────────


def impersonated(headers: Mapping[str, str], user: User, groups: Sequence[str], may: MayImpersonate) -> User:
    """Return the user to act as: `user`, or whom the Impersonate-* headers name, if `user` may be them.

    `groups` are the values of all Impersonate-Group headers, which a mapping cannot hold. Raises Forbidden,
    BadRequest.
    """
    name = headers.get("impersonate-user", "")
    uid = headers.get("impersonate-uid", "")
    extra = {key.removeprefix("impersonate-extra-"): (value,) for key, value in headers.items()
             if key.startswith("impersonate-extra-")}
    if not name:
        if groups or uid or extra:
            raise ApiError(400, "BadRequest", "requested impersonating without impersonating a user")
        return user
    for group in groups:
        may(user, "", "groups", "", "", group)
    groups = tuple(groups)
    if name.startswith(PREFIX) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        may(user, "", "serviceaccounts", "", namespace, account)
        groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    else:
        may(user, "", "users", "", "", name)
    for key, values in extra.items():
        may(user, "authentication.k8s.io", "userextras", key, "", values[0])
    if uid:
        may(user, "authentication.k8s.io", "uids", "", "", uid)
    if name != ANONYMOUS.name and AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, groups or ANONYMOUS.groups, uid, extra)
