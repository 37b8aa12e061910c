"""From a pod's spec to the runtime's orders."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.node.kubelet.container_config import container_config, refused_user, sandbox_config

POD: dict[str, Any] = {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"containers": [
    {"name": "main", "image": "x", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}}


def pod(**spec: Any) -> dict[str, Any]:
    return POD | {"spec": POD["spec"] | spec}


def test_names_and_dns() -> None:
    """The pod's full name by hostname and subdomain, its search path and options by dnsPolicy and dnsConfig."""
    plain = sandbox_config(pod(), "node-1", "10.0.0.10", "cluster.local")
    assert (plain.hostname, plain.domain, plain.dns_options) == ("web", "", ("ndots:5",))
    assert plain.dns_searches[0] == "shop.svc.cluster.local" and plain.ports[0].host_port == 8080
    config = {"options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}
    named = sandbox_config(pod(hostname="h", subdomain="s", setHostnameAsFQDN=True, dnsConfig=config,
                               hostAliases=[{"ip": "192.0.2.1", "hostnames": ["a", "b"]}]),
                           "node-1", "10.0.0.10", "cluster.local")
    assert (named.hostname, named.domain) == ("h.s.shop.svc.cluster.local", "s.shop.svc.cluster.local")
    assert named.dns_options == ("ndots:2", "rotate") and named.host_aliases == (("192.0.2.1", ("a", "b")),)
    assert sandbox_config(pod(hostNetwork=True), "node-1", "10.0.0.10", "cluster.local").hostname == "node-1"


def test_security() -> None:
    """The container's fields count before the pod's; fsGroup is a group of every process."""
    container = POD["spec"]["containers"][0] | {"securityContext": {
        "runAsUser": 7, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    owner = pod(securityContext={"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4, 3]},
                shareProcessNamespace=True)
    made = container_config(owner, container, 0, {}, ())
    assert (made.user, made.group, made.groups, made.pids) == (7, 2, (4, 3), "pod")
    assert made.no_new_privileges and made.drop_capabilities == ("ALL",)


@pytest.mark.parametrize(("security", "image_user", "why"), [
    ({}, "", "container has runAsNonRoot and image will run as root"),
    ({}, "0:0", "container has runAsNonRoot and image will run as root"),
    ({}, "nginx", "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root"),
    ({}, "101", ""),
    ({"runAsUser": 0}, "101", "container's runAsUser breaks non-root policy"),
    ({"runAsUser": 5}, "", ""),
])
def test_run_as_non_root(security: dict[str, Any], image_user: str, why: str) -> None:
    """Root is refused, whether asked for or the image's own; a user without number cannot be checked."""
    container = POD["spec"]["containers"][0] | {"securityContext": security | {"runAsNonRoot": True}}
    said = refused_user(POD, container, image_user)
    assert said == (f'{why} (pod: "web_shop(u)", container: main)' if why else "")
