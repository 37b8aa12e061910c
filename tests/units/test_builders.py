"""The builders write what a learner would: no noise, and every manifest passes the server's own rules."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery import decoding, schema
from kubelab.machinery.meta import copy_obj


def test_a_deployment_reads_as_a_person_would_write_it() -> None:
    """Nothing but apiVersion, kind, name, labels and the few lines of spec that matter."""
    assert units.Deployment("web", image="nginx", replicas=3) == {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                         "spec": {"containers": [{"name": "web", "image": "nginx",
                                                  "ports": [{"containerPort": 80}]}]}}}}


def test_a_service_needs_only_a_name_and_a_port() -> None:
    """The selector follows the name; a target port stands there only where it differs."""
    assert units.Service("web", port=80) == {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    several = units.Service("web", port=[80, {"port": 443, "name": "tls"}], target_port="http")
    assert [p["name"] for p in several["spec"]["ports"]] == ["port-80", "tls"]
    assert all(p["targetPort"] == "http" for p in several["spec"]["ports"])


@pytest.mark.parametrize(("image", "port"), [
    ("nginx:1.27", 80), ("docker.io/library/httpd", 80), ("traefik/whoami", 80), ("redis", 6379), ("busybox", None)])
def test_a_well_known_image_brings_its_port(image: str, port: int | None) -> None:
    """nginx listens on 80 whether the author says so or not."""
    ports = units.container("c", image).get("ports")
    assert ports == ([{"containerPort": port}] if port else None)


@pytest.mark.parametrize("manifest", [
    units.Pod("p", image="busybox", command=["sh"], args=["-c", "true"], env={"A": "1"}, restart="Never", node="n"),
    units.Deployment("web", image="nginx", readiness="/ready", resources={"requests": {"cpu": "100m"}}),
    units.ReplicaSet("web", image="nginx", replicas=2),
    units.ReplicationController("web", image="nginx", namespace="shop"),
    units.Service("web", port={"port": 80, "protocol": "UDP"}, type="NodePort", node_port=30080),
    units.ConfigMap("c", {"a": "b"}), units.Secret("s", {"a": "b"}), units.Namespace("shop", labels={"team": "red"}),
    units.Node("n", taints=[{"key": "a", "effect": "NoSchedule"}]), units.ServiceAccount("robot"),
    units.Ingress("web", host="web.example.com", port=8080),
], ids=lambda m: m["kind"])
def test_every_manifest_is_valid(manifest: dict[str, Any]) -> None:
    """What a builder writes is accepted as it stands."""
    kind = units.by_kind(manifest["apiVersion"], manifest["kind"])
    assert kind is not None
    node = schema.compiled(kind.api_version, kind.kind)
    assert node is not None
    assert decoding.check(node, manifest).errors == ()
    obj = copy_obj(manifest)
    kind.default(obj)
    kind.prepare_create(obj)
    assert list(kind.validate(obj)) == []
