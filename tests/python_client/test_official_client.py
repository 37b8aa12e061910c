"""The official Python client does to this cluster what it does to any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kubelab import Cluster, Deployment

kubernetes = pytest.importorskip("kubernetes")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, quiet=True) as made:
        yield made


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Any:
    kubernetes.config.load_kube_config(str(cluster.kubeconfig))
    return kubernetes.client


def test_version_and_nodes(api: Any) -> None:
    """The server's version and its nodes."""
    assert api.VersionApi().get_code().git_version.startswith("v1.36")
    assert {n.metadata.name for n in api.CoreV1Api().list_node().items} == {"node-1", "node-2"}


def test_deployment_from_create_to_scale(api: Any) -> None:
    """create, watch until available, patch, scale, read status, delete."""
    apps = api.AppsV1Api()
    body = Deployment("py", image="nginx:1.28", replicas=2)
    assert apps.create_namespaced_deployment("default", body).metadata.generation == 1
    for event in kubernetes.watch.Watch().stream(apps.list_namespaced_deployment, "default", timeout_seconds=60):
        if event["object"].metadata.name == "py" and event["object"].status.available_replicas == 2:
            break
    apps.patch_namespaced_deployment("py", "default", {"metadata": {"labels": {"seen": "yes"}}})
    scaled = apps.patch_namespaced_deployment_scale("py", "default", {"spec": {"replicas": 1}})
    assert scaled.spec.replicas == 1
    assert apps.read_namespaced_deployment_status("py", "default").metadata.labels["seen"] == "yes"
    apps.delete_namespaced_deployment("py", "default")


def test_logs_exec_and_portforward(api: Any, cluster: Cluster) -> None:
    """read a log, run a command in a container."""
    core = api.CoreV1Api()
    core.create_namespaced_pod("default", {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "box"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "box", "image": "busybox:1.36", "command": ["sh", "-c", "echo printed; sleep 1000"]}]}})
    cluster.wait("pod/box", "Ready")
    assert "printed" in core.read_namespaced_pod_log("box", "default")
    said = kubernetes.stream.stream(core.connect_get_namespaced_pod_exec, "box", "default", command=["echo", "hello"],
                                    stdout=True, stderr=True, stdin=False, tty=False)
    assert said == "hello\n"
    core.delete_namespaced_pod("box", "default")


def test_errors_are_api_exceptions(api: Any) -> None:
    """A conflict, a missing object and an invalid one come as ApiException with status and reason."""
    core = api.CoreV1Api()
    config = core.create_namespaced_config_map("default", {"metadata": {"name": "one"}, "data": {"a": "1"}})
    core.patch_namespaced_config_map("one", "default", {"data": {"a": "2"}})
    with pytest.raises(api.ApiException) as stale:
        core.replace_namespaced_config_map("one", "default", config)
    assert stale.value.status == 409
    with pytest.raises(api.ApiException) as missing:
        core.read_namespaced_config_map("two", "default")
    assert missing.value.status == 404
    with pytest.raises(api.ApiException) as invalid:
        core.create_namespaced_config_map("default", {"metadata": {"name": "Bad_Name"}})
    assert invalid.value.status == 422


def test_the_dynamic_client_discovers_everything(api: Any) -> None:
    """The dynamic client finds kinds by discovery and applies on the server's side."""
    dynamic = kubernetes.dynamic.DynamicClient(api.ApiClient())
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    body = Deployment("dyn", image="nginx:1.28", replicas=0)
    made = deployments.server_side_apply(body=body, name="dyn", namespace="default", field_manager="test")
    assert made.spec.replicas == 0
    deployments.delete(name="dyn", namespace="default")
