"""Objects that are sent or answered and never stored: reviews, bindings, evictions, and what subresources speak.

    POST selfsubjectaccessreviews ─► the same object with a status        pods/exec ─► PodExecOptions (get, create)

Models:    the authentication, authorization and policy registries of kube-apiserver, and its subresources' storage
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.units.catalogue import Kind

AUTHN, AUTHZ = "authentication.k8s.io", "authorization.k8s.io"
_CREATE = ("create",)
BINDING = Kind("Binding", "bindings", verbs=_CREATE)
EVICTION = Kind("Eviction", "evictions", "policy", verbs=_CREATE)
TOKEN_REQUEST = Kind("TokenRequest", "tokenrequests", AUTHN, verbs=_CREATE)
REVIEWS = (
    *(Kind(kind, f"{kind.lower()}s", AUTHN, namespaced=False, verbs=_CREATE)
      for kind in ("SelfSubjectReview", "TokenReview")),
    Kind("LocalSubjectAccessReview", "localsubjectaccessreviews", AUTHZ, verbs=_CREATE),
    *(Kind(kind, f"{kind.lower()}s", AUTHZ, namespaced=False, verbs=_CREATE)
      for kind in ("SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview")),
)
VIRTUAL = (BINDING, *REVIEWS)
# Group, version and kind of what a subresource answers with ("" for its parent's), and its verbs.
_STREAM, _HTTP = ("create", "get"), ("create", "delete", "get", "patch", "update")
_PART = ("", "", "", ("get", "patch", "update"))
SUBRESOURCES: Mapping[str, tuple[str, str, str, tuple[str, ...]]] = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "binding": ("", "", "Binding", _CREATE),
    "eviction": ("policy", "v1", "Eviction", _CREATE),
    "token": (AUTHN, "v1", "TokenRequest", _CREATE),
    "log": ("", "", "", ("get",)),
    "exec": ("", "", "PodExecOptions", _STREAM),
    "attach": ("", "", "PodAttachOptions", _STREAM),
    "portforward": ("", "", "PodPortForwardOptions", _STREAM),
    "finalize": ("", "", "", ("update",)),
    "status": _PART, "approval": _PART, "ephemeralcontainers": _PART, "resize": _PART,
}


def answer_of(kind: Kind, subresource: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Return group, version, kind and verbs of what a subresource answers with."""
    if subresource == "proxy":
        return "", "", f"{kind.kind}ProxyOptions", _HTTP
    group, version, answer, verbs = SUBRESOURCES[subresource]
    return group, version, answer or kind.kind, verbs


def kind_of(kind: Kind, subresource: str) -> tuple[str, str, str]:
    """Return group, version and kind of what a request to a kind or a subresource of it is about."""
    group, version, answer, _ = answer_of(kind, subresource) if subresource else ("", "", kind.kind, ())
    return (kind.group, kind.version, answer) if answer == kind.kind else (group, version or "v1", answer)
