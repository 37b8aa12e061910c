"""The verbs of a notebook on a cluster of plain processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster, Deployment, Service
from kubelab.facade.wait import WaitTimeout
from kubelab.machinery.errors import ApiError
from kubelab.machinery.ports import mapped

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {n: '%s'}\n"


def pod(name: str, command: str, **container: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", command]} | container]}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, quiet=True) as made:
        yield made


def test_apply_takes_every_form(cluster: Cluster, tmp_path: Path) -> None:
    """A path, a folder, YAML text of several documents, dicts, and lists of these; then configured and unchanged."""
    (tmp_path / "one.yaml").write_text(CONFIG % ("one", 1))
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "two.yml").write_text(CONFIG % ("two", 2))
    (folder / "three.json").write_text('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"three"}}')
    (folder / "notes.txt").write_text("not a manifest")
    assert cluster.apply(tmp_path / "one.yaml") == ["configmap/one created"]
    assert cluster.apply(str(tmp_path / "one.yaml")) == ["configmap/one unchanged"]
    assert sorted(cluster.apply(folder)) == ["configmap/three created", "configmap/two created"]
    text = CONFIG % ("one", 5) + "---\n" + CONFIG % ("four", 4)
    assert cluster.apply(text) == ["configmap/one configured", "configmap/four created"]
    assert cluster.apply([{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "five"}}]}]) == ["configmap/five created"]
    assert cluster.delete(text) == ['configmap "one" deleted', 'configmap "four" deleted']
    assert cluster.delete(folder, "configmap/five") == [
        f'configmap "{name}" deleted' for name in ("three", "two", "five")]


def test_apply_says_what_is_wrong(cluster: Cluster, tmp_path: Path) -> None:
    """No such file, no such kind, no valid YAML, no valid object: each in a sentence."""
    with pytest.raises(FileNotFoundError, match="nothing"):
        cluster.apply(tmp_path / "nothing.yaml")
    with pytest.raises(ApiError, match='no matches for kind "Pood"'):
        cluster.apply({"apiVersion": "v1", "kind": "Pood", "metadata": {"name": "x"}})
    with pytest.raises(ApiError, match="error converting YAML"):
        cluster.apply("a: [1\n")
    with pytest.raises(ApiError) as error:
        cluster.apply(Deployment("Web", image="nginx"))
    assert error.value.code == 422 and "metadata.name" in error.value.message


def test_get_by_name_and_selector(cluster: Cluster) -> None:
    """Objects are plain dicts; selectors choose; a name that is not there is NotFound; kinds have short names."""
    cluster.apply(pod("red", "sleep 1000"), pod("green", "sleep 1000"))
    assert [p["metadata"]["name"] for p in cluster.get("po", selector="app in (red)")] == ["red"]
    assert cluster.get("pod/red") == cluster.get("pods", "red")
    cluster.wait("pod/green", "Ready")
    chosen = cluster.get("pods", field_selector="metadata.name=green,status.phase=Running")
    assert [p["kind"] for p in chosen] == ["Pod"] and "NAME" in repr(chosen).upper()
    assert "kube-dns" in {s["metadata"]["name"] for s in cluster.get("svc", namespace="*")}
    with pytest.raises(ApiError, match='pods "blue" not found'):
        cluster.get("pod/blue")


def test_a_deployment_from_apply_to_delete(cluster: Cluster) -> None:
    """apply, wait, http, logs, exec, scale, events, follow_logs, delete."""
    web = Deployment("web", image="nginx", replicas=2), Service("web", port=80)
    assert cluster.apply(*web) == ["deployment.apps/web created", "service/web created"]
    shown = cluster.wait("deployment/web", "Available")
    assert shown is not None and shown["status"]["availableReplicas"] == 2
    answer = cluster.http("http://web/")
    assert answer.ok and answer.address == f"{cluster.get('service/web')['spec']['clusterIP']}:{real_80(cluster)}"
    assert "start worker" in cluster.logs("deployment/web") and cluster.logs("service/web", tail=1)
    said = cluster.exec("deployment/web", "cat; echo low >&2; exit 3", stdin="given")
    assert (said.stdout, said.stderr, said.exit_code) == ("given", "low\n", 3)
    assert cluster.scale("deployment/web", 3) == ["deployment.apps/web scaled"]
    cluster.wait("deployment/web", lambda d: d["status"].get("readyReplicas") == 3)
    assert any("Scaled up replica set" in e["message"] for e in cluster.events("deployment/web"))
    count = pod("count", "echo one; echo two; echo three")
    count["spec"]["restartPolicy"] = "Never"  # a next attempt would have a log of its own, empty at first
    cluster.apply(count)
    cluster.wait("pod/count", lambda p: p["status"]["phase"] != "Pending")
    assert list(cluster.follow_logs("pod/count")) == ["one", "two", "three"]
    assert cluster.logs("pod/count", tail=1) == "three\n"
    assert cluster.delete(*web) == ['deployment.apps "web" deleted', 'service "web" deleted']
    cluster.wait("deployment/web", "Deleted")


def test_streams_choose_a_container_as_kubectl_does(cluster: Cluster) -> None:
    """Without a name the first container is meant; one that is not there, or has ended, is named in the error."""
    pair = pod("pair", "echo I am main; sleep 1000")
    pair["spec"]["containers"].append({"name": "other", "image": "busybox:1.36", "command": ["sleep", "1000"]})
    over = pod("over", "echo bye")
    over["spec"]["restartPolicy"] = "Never"
    cluster.apply(pair, over)
    cluster.wait("pod/pair", "Ready")
    assert cluster.exec("pod/pair", "echo $0 here").stdout == "sh here\n"
    assert cluster.logs("pod/pair") == "I am main\n" and cluster.logs("pod/pair", "other") == ""
    with pytest.raises(ApiError, match="container third is not valid for pod pair"):
        cluster.exec("pod/pair", "true", container="third")
    cluster.wait("pod/over", lambda p: p["status"]["phase"] == "Succeeded")
    with pytest.raises(ApiError, match=r'container not found \("main"\)'):
        cluster.exec("pod/over", "true")
    with pytest.raises(ConnectionError, match="executable file not found"):
        cluster.exec("pod/pair", ["nope"])


def real_80(cluster: Cluster) -> int:
    return mapped(80, cluster.lowest_port)


def why(cluster: Cluster, target: str, condition: str = "Ready", timeout_s: float = 2) -> str:
    with pytest.raises(WaitTimeout) as error:
        cluster.wait(target, condition, timeout_s=timeout_s)
    return str(error.value)


def test_a_wait_that_runs_out_says_why(cluster: Cluster) -> None:
    """A bad image, a crash loop, no room, a failing probe, a missing ConfigMap: the time-out names it."""
    probe = {"httpGet": {"path": "/", "port": 81}, "periodSeconds": 1}
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "not-there", "key": "x"}}}]
    cluster.apply(Deployment("typo", image="ngimx:1"), pod("crash", "echo boom; exit 3"),
                  pod("huge", "sleep 1", resources={"requests": {"cpu": "64"}}),
                  pod("mute", "sleep 1000", readinessProbe=probe), pod("unset", "true", env=env))
    image = why(cluster, "deployment/typo", "Available")
    assert "deployment/typo is not Available after 2 s" in image and 'Failed to pull image "ngimx:1"' in image
    crash = why(cluster, "pod/crash")
    assert "CrashLoopBackOff" in crash and "exit code 3" in crash
    assert "0/2 nodes are available: 2 Insufficient cpu." in why(cluster, "pod/huge", timeout_s=0.5)
    mute = why(cluster, "pod/mute", timeout_s=0.5)
    assert "readiness probe does not pass" in mute and ":81/\": dial tcp" in mute and "connection refused" in mute
    assert 'configmap "not-there" not found' in why(cluster, "pod/unset", timeout_s=0.5)
    with pytest.raises(ApiError, match='pods "nobody" not found'):
        cluster.wait("pod/nobody", "Ready", timeout_s=1)
