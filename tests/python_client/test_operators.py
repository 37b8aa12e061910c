"""Programs that others wrote for any Kubernetes run here unchanged: a kopf operator, kr8s and lightkube scripts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster

OPERATOR = Path(__file__).with_name("kopf_operator.py")
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "greetings.example.com"},
    "spec": {"group": "example.com", "scope": "Namespaced",
             "names": {"plural": "greetings", "singular": "greeting", "kind": "Greeting"},
             "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": {
                 "openAPIV3Schema": {"type": "object", "properties": {
                     "spec": {"type": "object", "properties": {"whom": {"type": "string"}}},
                     "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}]}}


def greeting(name: str, whom: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Greeting", "metadata": {"name": name, "namespace": "default"},
            "spec": {"whom": whom}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=1, runtime="hollow", quiet=True) as made:
        made.apply(DEFINITION)
        yield made


def until(check: Callable[[], Any], what: str, timeout_s: float = 30) -> None:
    """Wait for a condition that another process brings about."""
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.05)


def text_of(cluster: Cluster, name: str) -> str:
    found = cluster.call(cluster.client.list("configmaps", "default"))["items"]
    return next((o["data"]["text"] for o in found if o["metadata"]["name"] == f"{name}-text"), "")


def test_a_kopf_operator_runs_unchanged(cluster: Cluster, tmp_path: Path) -> None:
    """It makes, changes and lets go what belongs to its custom objects, and tells so in status and Events."""
    pytest.importorskip("kopf")
    log = (tmp_path / "operator.log").open("w+")
    operator = subprocess.Popen([sys.executable, "-m", "kopf", "run", "--namespace=default", str(OPERATOR)], stdout=log,
                                stderr=log, env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig)})
    try:
        cluster.apply(greeting("one", "world"))
        until(lambda: text_of(cluster, "one") == "Hello, world!", "created")
        kind = cluster.call(cluster._kind_of(greeting("one", "")))

        def stored() -> Any:
            return cluster.call(cluster.client.get(kind, "one", "default"))

        until(lambda: stored().get("status") == {"create": {"configMap": "one-text"}}, "status")
        assert "kopf.zalando.org/KopfFinalizerMarker" in stored()["metadata"]["finalizers"]
        cluster.call(cluster.client.patch(kind, "one", {"spec": {"whom": "lab"}}, "default"))
        until(lambda: text_of(cluster, "one") == "Hello, lab!", "updated")
        cluster.call(cluster.client.delete(kind, "one", "default"))
        until(lambda: text_of(cluster, "one") == "", "collected with its owner")
        assert cluster.call(cluster.client.list(kind, "default"))["items"] == []
    finally:
        operator.terminate()
        operator.wait(20)
        log.seek(0)
        said = log.read()
        log.close()
    assert "Traceback" not in said, said
    events = cluster.call(cluster.client.list("events", "default"))["items"]
    assert "Said hello to world." in [e["message"] for e in events if e["involvedObject"]["kind"] == "Greeting"]


def test_a_kr8s_script(cluster: Cluster) -> None:
    """Custom objects and pods: create, patch, label, list by selector, watch a condition, delete."""
    kr8s = pytest.importorskip("kr8s")
    from kr8s.objects import ConfigMap, new_class

    api = kr8s.api(kubeconfig=str(cluster.kubeconfig))
    greetings = new_class(kind="Greeting", version="example.com/v1", namespaced=True)
    made = greetings(greeting("kr8s", "you"), api=api)
    made.create()
    made.patch({"spec": {"whom": "them"}})
    made.label({"app": "kr8s"})
    assert [g.spec.whom for g in api.get("greetings.example.com", label_selector={"app": "kr8s"})] == ["them"]
    config = ConfigMap({"metadata": {"name": "kr8s", "namespace": "default"}, "data": {"a": "b"}}, api=api)
    config.create()
    assert config.exists()
    config.delete()
    made.delete()
    made.wait("delete", timeout=10)
    assert not made.exists()


def test_a_lightkube_script(cluster: Cluster) -> None:
    """Typed and generic resources: create, apply, list, watch, replace, status and delete."""
    lightkube = pytest.importorskip("lightkube")
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import ConfigMap
    from lightkube.types import PatchType

    config = lightkube.KubeConfig.from_file(str(cluster.kubeconfig))
    client = lightkube.Client(config, field_manager="script", namespace="default")
    greetings = create_namespaced_resource("example.com", "v1", "Greeting", "greetings")
    made = client.create(greetings(metadata=ObjectMeta(name="light"), spec={"whom": "a"}))
    made.spec["whom"] = "b"
    assert client.replace(made).spec["whom"] == "b"
    applied = greetings(apiVersion="example.com/v1", kind="Greeting", metadata=ObjectMeta(name="light"),
                        spec={"whom": "c"})
    assert client.apply(applied, force=True).spec["whom"] == "c"
    status = client.patch(greetings.Status, "light", {"status": {"ok": True}}, patch_type=PatchType.MERGE).status
    assert status == {"ok": True}
    assert [g.metadata.name for g in client.list(greetings)] == ["light"]
    event, first = next(iter(client.watch(greetings)))
    assert (event, first.metadata.name) == ("ADDED", "light")
    client.create(ConfigMap(metadata=ObjectMeta(name="light"), data={"a": "b"}))
    client.delete(ConfigMap, "light")
    client.delete(greetings, "light")
    with pytest.raises(lightkube.ApiError) as missing:
        client.get(greetings, "light")
    assert missing.value.status.code == 404
