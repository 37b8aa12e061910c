"""Who asks: certificates, tokens, nobody."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kubelab.client.pki import Pki
from kubelab.control_plane.apiserver.authentication import ANONYMOUS, Authenticator, impersonated
from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, User
from kubelab.units.tokens import ISSUER, InvalidToken, TokenIssuer

PKI = Pki.open(None)
ACCOUNT: Obj = {"kind": "ServiceAccount", "metadata": {"name": "app", "namespace": "shop", "uid": "sa-1"}}
POD: Obj = {"kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "uid": "p-1"}, "spec": {"nodeName": "n1"}}
NODE: Obj = {"kind": "Node", "metadata": {"name": "n1", "uid": "n-1"}}


class World:
    """Stored objects, a clock, and an issuer and an authenticator over them."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.objects = {("serviceaccounts", "shop", "app"): ACCOUNT, ("pods", "shop", "web"): POD,
                        ("nodes", "", "n1"): NODE}
        self.issuer = TokenIssuer(PKI.sa_key_pem, self.clock, lambda *key: self.objects.get(key))
        self.authenticator = Authenticator(self.issuer, {"letmein": User("boss", ("system:masters",))})

    def ask(self, token: str) -> User | None:
        return self.authenticator.authenticate({"authorization": f"Bearer {token}"})


@pytest.fixture
def world() -> World:
    return World()


def test_a_certificate_names_user_and_groups(world: World) -> None:
    """CN is the user, each O a group, and everyone known is system:authenticated."""
    pem, _ = PKI.issue_client("ann", ["devs", "ops"])
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    user = world.authenticator.authenticate({"authorization": "Bearer nonsense"}, der)
    assert user is not None
    assert (user.name, user.groups) == ("ann", ("devs", "ops", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


def test_nothing_shown_and_wrong_shown(world: World) -> None:
    """Who shows nothing is anonymous; who shows a wrong token is refused."""
    assert world.authenticator.authenticate({}) == ANONYMOUS
    assert world.authenticator.authenticate({"authorization": "Basic eA=="}) == ANONYMOUS
    assert world.ask("nonsense") is None
    assert world.ask("letmein") == User("boss", ("system:masters",))


def test_a_service_account_token(world: World) -> None:
    """A token makes the service account's user with its groups, until it expires on the cluster's clock."""
    token, expires = world.issuer.issue(ACCOUNT, expires_s=600)
    assert expires == "2026-01-02T03:14:05Z"
    user = world.ask(token)
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:shop:app", "sa-1")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    world.clock.jump(599)
    assert world.ask(token) is not None
    world.clock.jump(1)
    assert world.ask(token) is None


def test_a_bound_token_dies_with_its_pod(world: World) -> None:
    """A token bound to a pod tells pod and node, and is void when the pod is gone or another of its name."""
    token, _ = world.issuer.issue(ACCOUNT, bound_to=POD)
    user = world.ask(token)
    assert user is not None
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    world.objects["pods", "shop", "web"] = {**POD, "metadata": {**POD["metadata"], "uid": "p-2"}}
    assert world.ask(token) is None
    del world.objects["pods", "shop", "web"]
    assert world.ask(token) is None


def test_a_token_dies_with_its_account(world: World) -> None:
    """Deleting the ServiceAccount voids its tokens at once, also those seen before."""
    token, _ = world.issuer.issue(ACCOUNT)
    assert world.ask(token) is not None
    del world.objects["serviceaccounts", "shop", "app"]
    assert world.ask(token) is None


def test_audiences(world: World) -> None:
    """A token for someone else is no login here, but a review for that audience accepts it."""
    token, _ = world.issuer.issue(ACCOUNT, audiences=["vault"])
    assert world.ask(token) is None
    assert world.authenticator.review(token, ["vault", "x"]).audiences == ("vault",)
    with pytest.raises(InvalidToken, match="audiences"):
        world.authenticator.review(token, [ISSUER])


def test_forged_tokens(world: World) -> None:
    """Another key, another algorithm or a changed body is refused."""
    import jwt

    token, _ = world.issuer.issue(ACCOUNT)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    other = TokenIssuer(Pki.open(None).sa_key_pem, world.clock, lambda *key: world.objects.get(key))
    assert world.ask(other.issue(ACCOUNT)[0]) is None
    assert world.ask(jwt.encode(claims, "", algorithm="none")) is None
    assert world.ask(jwt.encode(claims, "secret" * 8, algorithm="HS256")) is None
    head, _, rest = token.partition(".")
    assert world.ask(f"{head}.x{rest}") is None


def test_why_a_token_is_refused(world: World) -> None:
    """Audience, account, bound object and signature have words of their own; what goes has a minute left."""
    token, _ = world.issuer.issue(ACCOUNT, bound_to=POD)

    def why(shown: str = token, audiences: tuple[str, ...] = ()) -> str:
        with pytest.raises(InvalidToken) as refused:
            world.authenticator.review(shown, audiences)
        return str(refused.value)

    assert why(audiences=("a", "b")) == f'token audiences ["{ISSUER}"] is invalid for the target audiences ["a" "b"]'
    assert why("nonsense") == "invalid bearer token"
    head, body, _ = token.split(".")
    assert why(f"{head}.{body}.{'A' * 86}") == "go-jose/go-jose: error in cryptographic primitive"
    gone_for = {"deletionTimestamp": "2020-01-01T00:00:00Z"}
    for key, uid, words in (
            (("pods", "shop", "web"), "p-2", "pod UID (p-2) does not match service account pod ref claim (p-1)"),
            (("serviceaccounts", "shop", "app"), "sa-2", "service account UID (sa-2) does not match claim (sa-1)")):
        kept = world.objects[key]
        world.objects[key] = {**kept, "metadata": {**kept["metadata"], "uid": uid}}
        assert why() == words
        world.objects[key] = {**kept, "metadata": {**kept["metadata"], **gone_for}}
        assert why() == ("service account shop/app has been deleted" if uid == "sa-2" else
                         "service account token has been invalidated")
        del world.objects[key]
        assert why() == ('serviceaccounts "app" not found' if uid == "sa-2" else
                         "service account token has been invalidated")
        world.objects[key] = kept


def test_others_can_check_our_tokens(world: World) -> None:
    """The published key set verifies a token by the key id it names."""
    import jwt

    token, _ = world.issuer.issue(ACCOUNT)
    keys = jwt.PyJWKSet.from_dict(world.issuer.jwks())
    claims = jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=["ES256"], audience=ISSUER,
                        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False})
    assert claims["sub"] == "system:serviceaccount:shop:app"
    assert world.issuer.openid_configuration("https://h")["jwks_uri"] == "https://h/openid/v1/jwks"


def test_impersonation_asks_for_every_part() -> None:
    """Acting as someone needs the right to be that user, each group and each extra; the result is authenticated."""
    asked = []

    def may(user: User, group: str, resource: str, subresource: str, namespace: str, name: str) -> None:
        asked.append((group, resource, subresource, namespace, name))
        if name == "root":
            raise ApiError(403, "Forbidden", "no")

    boss = User("boss")
    user = impersonated({"impersonate-user": "ann", "impersonate-extra-reason": "test"}, boss, ["devs"], may)
    assert (user.name, user.groups, user.extra) == ("ann", ("devs", "system:authenticated"), {"reason": ("test",)})
    assert asked == [("", "groups", "", "", "devs"), ("", "users", "", "", "ann"),
                     ("authentication.k8s.io", "userextras", "reason", "", "test")]
    robot = impersonated({"impersonate-user": "system:serviceaccount:shop:app"}, boss, (), may)
    assert robot.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert asked[-1] == ("", "serviceaccounts", "", "shop", "app")
    assert impersonated({}, boss, (), may) is boss
    with pytest.raises(ApiError, match="no"):
        impersonated({"impersonate-user": "root"}, boss, (), may)
    with pytest.raises(ApiError, match="without impersonating a user"):
        impersonated({"impersonate-uid": "7"}, boss, (), may)
