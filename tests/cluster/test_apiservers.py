"""Several API servers on one store and one port: who talks to which cannot be told, nor when one dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from kubelab import Cluster
from kubelab.client import kubeconfig

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(1, runtime="hollow", apiservers=3, quiet=True) as made:
        yield made


class Browser:
    """Sends each request on a connection of its own, so that the kernel chooses the server anew, and retries."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        for _ in range(60):
            try:
                async with self._session.request(method, self._url + path, json=body) as answer:
                    if answer.status < 500:
                        said = answer.content_type == "application/json"  # an unknown path is answered in plain words
                        return answer.status, await answer.json() if said else None
            except aiohttp.ClientError:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
        raise AssertionError(f"{method} {path} was never answered")


@asynccontextmanager
async def browser(cluster: Cluster) -> AsyncIterator[Browser]:
    context = kubeconfig.load(cluster.kubeconfig).ssl_context()
    connector = aiohttp.TCPConnector(ssl=context, force_close=True, limit=8)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Browser(session, cluster.url)


def replicas(cluster: Cluster) -> list[int]:
    pids: list[int] = cluster.component("apiserver-replicas").pids
    return pids


async def test_a_write_is_read_through_any_server(cluster: Cluster) -> None:
    """Each create is found by the next get, list and update, whichever servers answer."""
    async with browser(cluster) as send:
        for i in range(40):
            status, made = await send("POST", CONFIG_MAPS, {"metadata": {"name": f"own-{i}"}})
            assert status == 201
            status, found = await send("GET", f"{CONFIG_MAPS}/own-{i}")
            assert (status, found["metadata"]["uid"]) == (200, made["metadata"]["uid"])
            found["data"] = {"i": str(i)}
            status, updated = await send("PUT", f"{CONFIG_MAPS}/own-{i}", found)
            assert status == 200
            _, listed = await send("GET", CONFIG_MAPS)
            versions = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}
            assert versions[f"own-{i}"] == updated["metadata"]["resourceVersion"]


async def test_no_two_services_get_the_same_address_or_port(cluster: Cluster) -> None:
    """Made at once through all servers, each Service has an address and a node port of its own."""
    spec = {"type": "NodePort", "ports": [{"port": 80}]}
    async with browser(cluster) as send:
        made = await asyncio.gather(*(send("POST", "/api/v1/namespaces/default/services", {
            "metadata": {"name": f"s-{i}"}, "spec": spec}) for i in range(60)))
        assert {status for status, _ in made} == {201}
        assert len({obj["spec"]["clusterIP"] for _, obj in made}) == 60
        assert len({obj["spec"]["ports"][0]["nodePort"] for _, obj in made}) == 60
        wanted = {"clusterIP": str(cluster.addresses.service_cidr).rpartition(".")[0] + ".77", "ports": [{"port": 80}]}
        both = await asyncio.gather(*(send("POST", "/api/v1/namespaces/default/services", {
            "metadata": {"name": f"same-{i}"}, "spec": wanted}) for i in range(6)))
        assert sorted(status for status, _ in both) == [201, 422, 422, 422, 422, 422]


async def test_a_new_kind_is_served_everywhere_at_once(cluster: Cluster) -> None:
    """A moment after its definition is established, every server serves it, and goes on to."""
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
                 "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                     "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
    async with browser(cluster) as send:
        status, _ = await send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        assert status == 201
        served = 0
        async with asyncio.timeout(3):  # a second where the machine is idle
            while served < 12:  # in a row: no server is left that does not know it
                answered, _ = await send("GET", "/apis/example.com/v1/namespaces/default/widgets")
                served = served + 1 if answered == 200 else 0
        for i in range(20):
            body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": f"w-{i}"}}
            status, _ = await send("POST", "/apis/example.com/v1/namespaces/default/widgets", body)
            assert status == 201
            status, listed = await send("GET", "/apis/example.com/v1/namespaces/default/widgets")
            assert (status, len(listed["items"])) == (200, i + 1)
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
        assert (await send("DELETE", path))[0] == 200
        gone = 0
        async with asyncio.timeout(5):
            while gone < 12:
                both = [(await send("GET", where))[0] for where in (path, "/apis/example.com/v1/widgets")]
                gone = gone + 1 if both == [404, 404] else 0


async def test_the_death_of_one_server_is_not_noticed(cluster: Cluster) -> None:
    """kill -9 under load: who retries is served, nothing acknowledged is lost, and a new server takes its place."""
    acknowledged: list[str] = []
    before = replicas(cluster)

    async def write(send: Browser, writer: int) -> None:
        for i in range(40):
            name = f"load-{writer}-{i}"
            status, _ = await send("POST", CONFIG_MAPS, {"metadata": {"name": name}})
            assert status in (201, 409)  # an attempt whose answer was lost had made it
            acknowledged.append(name)
            assert (await send("GET", f"{CONFIG_MAPS}/{name}"))[0] == 200

    async with browser(cluster) as send:
        work = asyncio.gather(*(write(send, n) for n in range(4)))
        while len(acknowledged) < 40:  # noqa: ASYNC110 - other processes have no event for us
            await asyncio.sleep(0.01)
        os.kill(before[0], signal.SIGKILL)
        await work
        _, listed = await send("GET", CONFIG_MAPS)
        assert {*acknowledged} <= {item["metadata"]["name"] for item in listed["items"]}
        assert len(acknowledged) == 160
    async with asyncio.timeout(30):
        while before[0] in replicas(cluster) or not all(map(psutil.pid_exists, replicas(cluster))):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len(replicas(cluster)) == 2


def test_replicas_end_with_their_cluster_also_after_kill_9() -> None:
    """Nothing is left of a cluster whose process was killed."""
    script = ("from kubelab import Cluster\nc = Cluster(0, runtime='hollow', apiservers=2, quiet=True)\n"
              "print(c.component('apiserver-replicas').pids[0], flush=True)\nimport time; time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    replica = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 15
    while replica.is_running() and replica.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "a replica outlived its cluster"
        time.sleep(0.05)


async def test_each_server_writes_an_audit_trail_of_its_own(tmp_path: Path) -> None:
    """Every request stands in exactly one of the trails, and both servers have one."""
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
              "rules": [{"level": "Metadata", "verbs": ["create"], "resources": [{"resources": ["configmaps"]}]}]}
    trail = tmp_path / "audit.log"
    with Cluster(0, runtime="hollow", apiservers=2, audit_policy=policy, audit_log=trail, quiet=True) as made:
        async with browser(made) as send:
            for i in range(30):
                assert (await send("POST", CONFIG_MAPS, {"metadata": {"name": f"seen-{i}"}}))[0] == 201
    named = [[json.loads(line)["objectRef"]["name"] for line in file.read_text().splitlines()]
             for file in (trail, tmp_path / "audit-2.log")]
    first, second = ([name for name in names if name.startswith("seen-")] for names in named)
    assert first and second
    assert sorted(first + second) == sorted(f"seen-{i}" for i in range(30))
    with pytest.raises(ValueError, match="each its own"):
        Cluster(0, apiservers=2, audit_policy=policy, audit_log="-", quiet=True)
