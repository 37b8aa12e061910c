"""Paths are read as Kubernetes reads them."""

from __future__ import annotations

import pytest

from kubelab.machinery.routes import RequestInfo, request_info


@pytest.mark.parametrize(("method", "path", "query", "expected"), [
    ("GET", "/api/v1/pods", {}, ("list", "", "pods", "", "", "")),
    ("GET", "/api/v1/pods", {"watch": "true"}, ("watch", "", "pods", "", "", "")),
    ("GET", "/api/v1/namespaces/a", {}, ("get", "", "namespaces", "a", "a", "")),
    ("PUT", "/api/v1/namespaces/a/finalize", {}, ("update", "", "namespaces", "a", "a", "finalize")),
    ("DELETE", "/api/v1/namespaces/a/pods", {}, ("deletecollection", "", "pods", "a", "", "")),
    ("PATCH", "/apis/apps/v1/namespaces/a/deployments/w/scale", {},
     ("patch", "apps", "deployments", "a", "w", "scale")),
    ("GET", "/api/v1/namespaces/a/pods/p%3A80/proxy/x/y", {}, ("get", "", "pods", "a", "p:80", "proxy")),
])
def test_a_path_says_verb_kind_namespace_name_and_subresource(method: str, path: str, query: dict[str, str],
                                                             expected: tuple[str, ...]) -> None:
    """Every form of resource URL is understood."""
    info = request_info(method, path, query)
    assert (info.verb, info.group, info.resource, info.namespace, info.name, info.subresource) == expected


@pytest.mark.parametrize(("path", "rest"), [
    ("/api/v1/namespaces/proxy/pods/p/proxy/a/proxy/b", "/a/proxy/b"),
    ("/api/v1/namespaces/a/services/s/proxy", ""),
    ("/api/v1/nodes/n/proxy/", "/"),
])
def test_what_follows_proxy_is_kept_as_it_was_written(path: str, rest: str) -> None:
    """The proxied path keeps its slashes, whatever the namespace is called."""
    assert request_info("GET", path, {}).rest == rest


def test_health_is_no_resource() -> None:
    """A path outside /api and /apis asks for no resource, and its verb is the method."""
    assert request_info("GET", "/healthz", {}) == RequestInfo("get", "/healthz")
