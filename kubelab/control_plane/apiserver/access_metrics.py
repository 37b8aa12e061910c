"""What is counted of who asks and whether they may: each attempt, its result and how long it took.

    request ─► authenticated(...) ─► success │ error           ─► authorised(...) ─► allowed │ no-opinion
                                                                      └─ which authorizer let it pass: Node or RBAC

Invariant: what is asked in process comes with its user, and is no attempt to authenticate; no user makes a series.
Models:    k8s.io/apiserver/pkg/endpoints/filters/metrics.go and pkg/authorization/metrics
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from kubelab.machinery import metrics
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import User
from kubelab.machinery.routes import RequestInfo

BUCKETS = metrics.exponential(0.001, 2, 15)
KNOWN = frozenset({"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"})
USERS = metrics.counter("authenticated_user_requests", "Counter of authenticated requests broken out by username.",
                        ("username",))
AUTHENTICATIONS = metrics.histogram("authentication_duration_seconds",
                                    "Authentication duration in seconds broken out by result.", ("result",), BUCKETS)
metrics.gauge("authentication_attempts", "Counter of authenticated attempts.", ("result",), AUTHENTICATIONS.totals,
              "counter")
AUTHORIZATIONS = metrics.histogram("authorization_duration_seconds",
                                   "Authorization duration in seconds broken out by result.", ("result",), BUCKETS)
metrics.gauge("authorization_attempts_total", "Counter of authorization attempts broken down by result. It can be "
              "either 'allowed', 'denied', 'no-opinion' or 'error'.", ("result",), AUTHORIZATIONS.totals, "counter")
Authenticate = Callable[[Mapping[str, str], bytes | None], User | None]
Authorise = Callable[[User, RequestInfo], None]


def authenticated(authenticate: Authenticate) -> Authenticate:
    """Return the same way to find out who asks, counted."""
    def counted(headers: Mapping[str, str], certificate: bytes | None) -> User | None:
        began = perf_counter()
        user = authenticate(headers, certificate)
        AUTHENTICATIONS.observe(("success",) if user is not None else ("error",), perf_counter() - began)
        if user is not None:
            USERS.add((known(user.name),))
        return user

    return counted


def known(name: str) -> str:
    """Return the few words that upstream has for all user names."""
    return name if name in KNOWN else "email_id" if "@" in name else "other"


def authorised(authorise: Authorise) -> Authorise:
    """Return the same way to ask whether a user may, counted."""
    def counted(user: User, info: RequestInfo) -> None:
        began = perf_counter()
        try:
            authorise(user, info)
        except ApiError:
            AUTHORIZATIONS.observe(("no-opinion",), perf_counter() - began)  # RBAC never denies, it grants nothing
            raise
        AUTHORIZATIONS.observe(("allowed",), perf_counter() - began)

    return counted
