"""Service account tokens: who a pod is, signed by the cluster, good for a time, an audience and one object.

    TokenRequest ─► issue ─► JWT (ES256) ─► the pod shows it as a bearer token ─► verify ─► User

Invariant: a token dies with what it is bound to: the ServiceAccount, and the Pod, Secret or Node if it names one.
Models:    kube-apiserver's serviceaccount package (KEP-1205)
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.machinery.clock import Clock, parse_timestamp, timestamp
from kubelab.machinery.request import Obj, User

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://kubernetes.default.svc"
PREFIX = "system:serviceaccount:"
ALGORITHM = "ES256"
REMEMBERED = 1024  # tokens whose signature has been checked
LEEWAY_S = 60  # what is going to go lets its tokens live so long
UNKNOWN, INVALIDATED = "invalid bearer token", "service account token has been invalidated"

GetObject = Callable[[str, str, str], Obj | None]
"""(plural, namespace, name) -> the stored object."""

_PLURAL = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
_AUTH = "authentication.kubernetes.io/"


class InvalidToken(Exception):
    """The token proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Verified:
    user: User
    audiences: tuple[str, ...]  # of those asked for, the ones the token is for


class TokenIssuer:
    """Signs and checks the tokens of one cluster."""

    def __init__(self, key_pem: bytes, clock: Clock, get_object: GetObject, *, issuer: str = ISSUER,
                 audiences: Sequence[str] = (ISSUER,)) -> None:
        self.issuer, self.audiences = issuer, tuple(audiences)
        self._key_pem, self._clock, self._get = key_pem, clock, get_object
        self._private: ec.EllipticCurvePrivateKey | None = None
        self._key_id = ""
        self._checked: dict[str, Mapping[str, Any]] = {}

    def issue(self, service_account: Obj, *, audiences: Sequence[str] = (), expires_s: int = 3600,
              bound_to: Obj | None = None) -> tuple[str, str]:
        """Return (token, expirationTimestamp) for a ServiceAccount; `bound_to` is a Pod, Secret or Node."""
        import jwt

        metadata, now = service_account["metadata"], int(self._clock.now())
        about: dict[str, Any] = {"namespace": metadata["namespace"],
                                 "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]}}
        if bound_to is not None:
            about[bound_to["kind"].lower()] = _reference(bound_to)
            node = self._node_of(bound_to)
            if node is not None:
                about["node"] = node
        claims = {"aud": list(audiences or self.audiences), "exp": now + expires_s, "iat": now, "nbf": now,
                  "iss": self.issuer, "jti": str(uuid.uuid4()), "kubernetes.io": about,
                  "sub": f"{PREFIX}{metadata['namespace']}:{metadata['name']}"}
        token = jwt.encode(claims, self._key(), algorithm=ALGORITHM, headers={"kid": self._key_id})
        return token, timestamp(now + expires_s)

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Verified:
        """Return who a token is for, if it is for one of `audiences` (the API server's by default).

        Raises InvalidToken.
        """
        claims = self._claims(token)
        now = self._clock.now()
        if now >= claims["exp"]:
            raise InvalidToken("service account token has expired")
        if now < claims["nbf"] - 60:
            raise InvalidToken("service account token is not valid yet")
        wanted = tuple(audiences) or self.audiences
        matching = tuple(a for a in wanted if a in claims["aud"])
        if not matching:
            raise InvalidToken(f"token audiences {_quoted(claims['aud'])} is invalid for the target audiences "
                               f"{_quoted(wanted)}")
        return Verified(self._user(claims), matching)

    def _claims(self, token: str) -> Mapping[str, Any]:
        found = self._checked.get(token)
        if found is not None:
            return found
        import jwt

        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, self._key().public_key(), algorithms=[ALGORITHM], issuer=self.issuer,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False,
                         "require": ["exp", "nbf", "aud", "sub", "kubernetes.io"]})
        except jwt.InvalidSignatureError as error:
            raise InvalidToken("go-jose/go-jose: error in cryptographic primitive") from error
        except jwt.InvalidTokenError as error:  # the times are checked on the cluster's clock, not here
            raise InvalidToken(UNKNOWN) from error
        if len(self._checked) >= REMEMBERED:
            self._checked.clear()
        self._checked[token] = claims
        return claims

    def _user(self, claims: Mapping[str, Any]) -> User:
        about = claims["kubernetes.io"]
        namespace, account = about["namespace"], about["serviceaccount"]
        self._must_exist("ServiceAccount", "serviceaccounts", namespace, account)
        extra = {_AUTH + "credential-id": (f"JTI={claims['jti']}",)}
        for kind, plural in _PLURAL.items():
            bound = about.get(kind.lower())
            if bound is None:
                continue
            if kind != "Node" or "pod" not in about:  # the node of a bound pod is told, not bound
                self._must_exist(kind, plural, "" if kind == "Node" else namespace, bound)
            if kind != "Secret":
                extra[f"{_AUTH}{kind.lower()}-name"] = (bound["name"],)
                extra[f"{_AUTH}{kind.lower()}-uid"] = (bound.get("uid", ""),)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(f"{PREFIX}{namespace}:{account['name']}", groups, account["uid"], extra)

    def _must_exist(self, kind: str, plural: str, namespace: str, reference: Mapping[str, str]) -> None:
        """Raise InvalidToken, in upstream's words, for what is gone, has been going for a minute, or is another now."""
        name, account = reference["name"], kind == "ServiceAccount"
        found = self._get(plural, namespace, name)
        if found is None:
            raise InvalidToken(f'serviceaccounts "{name}" not found' if account else INVALIDATED)
        since = found["metadata"].get("deletionTimestamp")
        if since is not None and parse_timestamp(since) < self._clock.now() - LEEWAY_S:
            raise InvalidToken(f"service account {namespace}/{name} has been deleted" if account else INVALIDATED)
        now, told = found["metadata"].get("uid", ""), reference.get("uid", "")
        if now != told:
            ref = kind.lower()
            raise InvalidToken(f"service account UID ({now}) does not match claim ({told})" if account else
                               f"{ref} UID ({now}) does not match service account {ref} ref claim ({told})")

    def _node_of(self, bound_to: Obj) -> Mapping[str, str] | None:
        name = (bound_to.get("spec") or {}).get("nodeName") if bound_to["kind"] == "Pod" else None
        if not name:
            return None
        node = self._get("nodes", "", name)
        return _reference(node) if node is not None else {"name": name}

    # ── what others need to check our tokens ─────────────────────────────────────────────────────────────────

    def openid_configuration(self, url: str) -> Obj:
        """Return the discovery document of an OpenID Connect issuer; `url` is the API server's own."""
        return {"issuer": self.issuer, "jwks_uri": f"{url}/openid/v1/jwks", "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": [ALGORITHM]}

    def jwks(self) -> Obj:
        """Return the public key as a JSON Web Key Set (RFC 7517)."""
        from jwt.algorithms import ECAlgorithm

        public = ECAlgorithm.to_jwk(self._key().public_key(), as_dict=True)
        return {"keys": [{"use": "sig", "kid": self._key_id, "alg": ALGORITHM, **public}]}

    def _key(self) -> ec.EllipticCurvePrivateKey:
        if self._private is None:
            from cryptography.hazmat.primitives.asymmetric import ec
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

            key = load_pem_private_key(self._key_pem, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self._private, self._key_id = key, _base64url(hashlib.sha256(public).digest())
        return self._private


def _quoted(values: Iterable[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _reference(obj: Obj) -> Mapping[str, str]:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
