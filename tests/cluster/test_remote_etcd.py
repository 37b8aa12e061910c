"""A whole cluster on Debian's etcd, which is killed under it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from kubelab import Cluster
from kubelab.machinery.errors import ApiError
from tests.etcd.real_members import RealMembers

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx}]}
"""


def config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def create(cluster: Cluster, name: str) -> bool:
    """Create as a client that retries does; tell whether it was acknowledged."""
    for _ in range(40):
        try:
            await cluster.client.create("cm", config_map(name))
            return True
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return False  # an attempt without an answer had made it
            await asyncio.sleep(0.2)
    raise AssertionError(f"{name} could not be created")


async def seen(watcher: object, count: int) -> list[str]:
    names: list[str] = []
    async with asyncio.timeout(20):
        async for event in watcher:  # type: ignore[attr-defined]
            names.append(event.obj["metadata"]["name"])
            if len(names) == count:
                break
    return names


@pytest.mark.etcd
def test_a_cluster_outlives_its_etcd(tmp_path: Path) -> None:
    """Pods run; kill -9 and a restart of etcd lose nothing, an open watch goes on, a new start finds it all."""
    with RealMembers(tmp_path) as real:
        with Cluster(2, runtime="hollow", etcd=real.urls, data_dir=tmp_path / "data", quiet=True) as cluster:
            cluster.apply(DEPLOYMENT)
            cluster.wait("deployment/web", "Available", timeout_s=30)
            version = cluster.call(cluster.client.list("cm", "default"))["metadata"]["resourceVersion"]
            path = f"/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={version}"
            watcher = cluster.call(_watch(cluster, path))
            for i in range(5):
                assert cluster.call(create(cluster, f"before-{i}"))
            real.kill(0)
            with pytest.raises(ApiError) as caught:
                cluster.call(cluster.client.raw("GET", "/readyz"))
            assert caught.value.code == 500
            real.start(0)
            for i in range(5):
                cluster.call(create(cluster, f"after-{i}"))
            names = [f"{when}-{i}" for when in ("before", "after") for i in range(5)]
            assert cluster.call(seen(watcher, 10)) == names
            cluster.apply(DEPLOYMENT.replace("replicas: 3", "replicas: 5"))
            cluster.wait("deployment/web", "Available", timeout_s=30)
            revision = cluster.etcd.revision
        with Cluster(2, runtime="hollow", etcd=real.urls, data_dir=tmp_path / "data", quiet=True) as cluster:
            assert cluster.etcd.revision >= revision
            listed = cluster.call(cluster.client.list("cm", "default"))
            assert {*names} <= {item["metadata"]["name"] for item in listed["items"]}
            cluster.wait("deployment/web", "Available", timeout_s=30)


async def _watch(cluster: Cluster, path: str) -> object:
    from kubelab.machinery.request import Request, User

    bare, _, query = path.partition("?")
    pairs = dict(part.split("=") for part in query.split("&"))
    server = cluster.components["apiserver"]
    answer = await server.handle(  # type: ignore[attr-defined]
        Request("GET", bare, pairs, {}, None, User("admin", ("system:masters",))))
    return answer.events


@pytest.mark.etcd
def test_of_three_members_the_leader_may_go(tmp_path: Path) -> None:
    """The API server goes on at the others: what was acknowledged stays, new writes come through in seconds."""
    with RealMembers(tmp_path, 3) as real, Cluster(1, runtime="hollow", etcd=real.urls, quiet=True) as cluster:
        made = [f"a-{i}" for i in range(10)]
        for name in made:
            assert cluster.call(create(cluster, name))
        real.kill(real.leader())
        began = time.monotonic()
        cluster.call(create(cluster, "b"))
        assert time.monotonic() - began < 10
        listed = cluster.call(cluster.client.list("cm", "default"))
        assert {*made, "b"} <= {item["metadata"]["name"] for item in listed["items"]}
