"""Services of every kind before real servers: from the notebook, the host and inside containers."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections import Counter
from typing import Any

import dnslib
import pytest

from kubelab import Cluster
from kubelab.machinery.ports import mapped
from tests.e2e.conftest import until
from tests.e2e.programs import config_map, with_python

Obj = dict[str, Any]
HTTP = {"name": "http", "port": 80, "targetPort": "http"}


def _service(name: str, *ports: Obj, app: str | None = "web", **spec: Any) -> Obj:
    chosen = {"selector": {"app": app}} if app else {}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": chosen | ({"ports": list(ports)} if ports else {}) | spec}


SERVICES = [
    _service("web", HTTP, {"name": "echo", "port": 9053, "protocol": "UDP", "targetPort": "echo"}),
    _service("sticky", HTTP, sessionAffinity="ClientIP"),
    _service("outside", HTTP | {"nodePort": 30088}, type="NodePort"),
    _service("headless", HTTP, clusterIP="None"),
    _service("alias", app=None, type="ExternalName", externalName="web.default.svc.cluster.local"),
    _service("nobody", {"port": 80}, app="nobody"),
    _service("eager", {"port": 80}, app="unready", clusterIP="None", publishNotReadyAddresses=True),
    _service("patient", {"port": 80}, app="unready", clusterIP="None"),
]


def _deployment(runtime: str) -> Obj:
    server = {"name": "web", "ports": [{"name": "http", "containerPort": 8080},
                                       {"name": "echo", "containerPort": 9053, "protocol": "UDP"}],
              "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
              "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    spec = {"serviceAccountName": "reader", "terminationGracePeriodSeconds": 5, "containers": [server]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                     "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 3}},
                     "template": {"metadata": {"labels": {"app": "web"}}, "spec": with_python(runtime, spec)}}}


def _porter(runtime: str, node: str) -> Obj:
    ports = [{"containerPort": 8080, "hostPort": 28080}, {"containerPort": 9053, "hostPort": 29053, "protocol": "UDP"}]
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "ports": ports}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"porter-{node}"},
            "spec": with_python(runtime, spec)}


@pytest.fixture(scope="module", autouse=True)
def served(cluster: Cluster) -> None:
    """Everything at once: a Deployment of three, a pod with a host port on each node, all Services."""
    runtime = cluster.runtime_name
    cluster.apply(config_map(), SERVICES, _deployment(runtime), *(_porter(runtime, f"node-{n}") for n in (1, 2)))
    cluster.wait("deployment/web", "Available", timeout_s=40)
    until(lambda: len(_pods(cluster)) == 3 and cluster.http("http://web/").ok, "web answers")


def _pods(cluster: Cluster) -> dict[str, str]:
    """Return name and address of the Deployment's pods that are not ending."""
    return {p["metadata"]["name"]: p["status"]["podIP"] for p in cluster.get("pods", selector="app=web")
            if "deletionTimestamp" not in p["metadata"] and p["status"].get("podIP")}


def _run(cluster: Cluster, command: str) -> str:
    done = cluster.exec("pod/seen", command, container="main")
    assert done.exit_code == 0, done
    return done.stdout


def _dns(cluster: Cluster, name: str, kind: str = "A") -> dnslib.DNSRecord:
    """Ask the cluster's DNS server from the host, over UDP."""
    at = cluster.get("service/kube-dns", namespace="kube-system")["spec"]["clusterIP"]
    answer = dnslib.DNSRecord.question(name, kind).send(at, mapped(53, cluster.lowest_port), timeout=5)
    return dnslib.DNSRecord.parse(answer)


def _udp(ip: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(b"ping", (ip, port))
        return sock.recv(2048).decode()


def test_connections_go_round(cluster: Cluster) -> None:
    """A ClusterIP takes every ready pod in turn, by a named target port."""
    names = Counter(cluster.http("http://web/").text.split()[0] for _ in range(6))
    assert names == dict.fromkeys(_pods(cluster), 2)


def test_client_ip_affinity(cluster: Cluster) -> None:
    """With ClientIP affinity one client meets one pod."""
    assert len({cluster.http("http://sticky/").text.split()[0] for _ in range(6)}) == 1


def test_udp(cluster: Cluster) -> None:
    """Datagrams go through the Service too, from the host."""
    said = _udp(cluster.get("service/web")["spec"]["clusterIP"], 9053)
    assert said.removeprefix("ping from ") in _pods(cluster)


def test_node_port(cluster: Cluster) -> None:
    """A NodePort answers at every node's address."""
    for node in cluster.get("nodes"):
        ip = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        with urllib.request.urlopen(f"http://{ip}:30088/", timeout=5) as answer:
            assert answer.read().split()[0].decode() in _pods(cluster)


def test_node_port_inside_a_container(cluster: Cluster) -> None:
    """A pod reaches its node's address too, as status.hostIP tells it."""
    assert _run(cluster, "wget -q -O - http://$HOST_IP:30088/").split()[0] in _pods(cluster)


def test_host_ports(cluster: Cluster) -> None:
    """A hostPort answers at its own node's address alone, TCP and UDP; the same port is free on the other node."""
    for name in ("node-1", "node-2"):
        pod = cluster.wait(f"pod/porter-{name}", "Ready")
        ip = pod["status"]["hostIP"]
        page = until(lambda ip=ip: _page(f"http://{ip}:28080/"), f"{ip}:28080 answers")  # type: ignore[misc]
        assert page.split()[0] == f"porter-{name}"
        assert _udp(ip, 29053) == f"ping from porter-{name}"
    cluster.delete("pod/porter-node-1", grace_period_s=0)
    until(lambda: not _page(f"http://{cluster.get('node/node-1')['status']['addresses'][0]['address']}:28080/"),
          "the port is closed with its pod")


def _page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_no_endpoints_refuses(cluster: Cluster) -> None:
    """A Service without pods refuses at once; a name that is not there says so."""
    with pytest.raises(ConnectionError, match="refused"):
        cluster.http("http://nobody/")
    with pytest.raises(ConnectionError, match="no-such-name"):
        cluster.http("http://no-such-name/")
    assert "refused" in cluster.exec("pod/seen", "wget -q -O - http://nobody/", container="main").stderr


def test_names_from_the_host(cluster: Cluster) -> None:
    """A, SRV, CNAME and PTR records as the cluster's DNS gives them; NXDOMAIN for what is not there."""
    ip, pods = cluster.get("service/web")["spec"]["clusterIP"], _pods(cluster)
    assert [str(r.rdata) for r in _dns(cluster, "web.default.svc.cluster.local").rr] == [ip]
    assert {str(r.rdata) for r in _dns(cluster, "headless.default.svc.cluster.local").rr} == set(pods.values())
    srv = _dns(cluster, "_http._tcp.headless.default.svc.cluster.local", "SRV")
    assert {r.rdata.port for r in srv.rr} == {8080} and {str(r.rdata) for r in srv.ar} == set(pods.values())
    alias = _dns(cluster, "alias.default.svc.cluster.local").rr
    assert str(alias[0].rdata) == "web.default.svc.cluster.local." and str(alias[-1].rdata) == ip
    reverse = ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
    assert str(_dns(cluster, reverse, "PTR").rr[0].rdata) == "web.default.svc.cluster.local."
    assert dnslib.RCODE[_dns(cluster, "nothing.default.svc.cluster.local").header.rcode] == "NXDOMAIN"


def test_names_inside_a_container(cluster: Cluster) -> None:
    """Short names and every step of the search path reach the Service from a pod; so does its alias."""
    for name in ("web", "web.default", "web.default.svc", "web.default.svc.cluster.local", "alias"):
        assert _run(cluster, f"wget -q -O - http://{name}/").split()[0] in _pods(cluster), name
    found = _run(cluster, "nslookup headless.default.svc.cluster.local")
    assert all(ip in found for ip in _pods(cluster).values())


def test_from_the_notebook(cluster: Cluster) -> None:
    """`cluster.http` knows the same names, ports and addresses."""
    ip = cluster.get("service/web")["spec"]["clusterIP"]
    for url in ("web", "http://web.default/", "http://web.default.svc.cluster.local:80/x?y=1", f"http://{ip}/",
                "http://alias/", f"http://{next(iter(_pods(cluster).values()))}:8080/"):
        assert cluster.http(url).text.split()[0] in _pods(cluster), url


def test_addresses_that_are_not_ready(cluster: Cluster) -> None:
    """publishNotReadyAddresses shows a pod that is not ready; without it the name has no address."""
    ip = cluster.wait("pod/unready", lambda p: bool(p["status"].get("podIP")))["status"]["podIP"]
    until(lambda: [str(r.rdata) for r in _dns(cluster, "eager.default.svc.cluster.local").rr] == [ip], "published")
    assert _dns(cluster, "patient.default.svc.cluster.local").rr == []


def test_a_pod_talks_to_the_api_server(cluster: Cluster) -> None:
    """By name, TLS checked with ca.crt, with its account's token and its account's rights."""
    def call(*words: str) -> str:
        python = "/usr/bin/python3" if cluster.runtime_name == "docker" else "python3"
        return cluster.exec("deployment/web", [python, "/programs/call.py", *words]).stdout

    assert call("/api/v1/namespaces/default/configmaps/settings").startswith("200 {")
    refused = call("/api/v1/namespaces/default/secrets")
    assert refused.startswith("403") and 'User \\"system:serviceaccount:default:reader\\" cannot list' in refused
    assert call("/api/v1/namespaces/default/configmaps/settings", "anonymous")[:3] in ("401", "403")


def test_a_rolling_update_loses_no_request(cluster: Cluster) -> None:
    """Endpoints leave before their pods do: not one request fails while every pod is replaced."""
    before, stop, failures, answers = _pods(cluster), threading.Event(), [], Counter[str]()

    def knock() -> None:
        while not stop.is_set():
            try:
                answers[cluster.http("http://web/").text.split()[0]] += 1
            except ConnectionError as error:
                failures.append(error)

    knocking = [threading.Thread(target=knock) for _ in range(2)]
    for thread in knocking:
        thread.start()
    cluster.patch("deployment/web", {"spec": {"template": {"metadata": {"annotations": {"round": "2"}}}}})
    cluster.wait("deployment/web", "Available", timeout_s=60)
    until(lambda: not set(before) & {p["metadata"]["name"] for p in cluster.get("pods", selector="app=web")},
          "the old pods are gone")
    stop.set()
    for thread in knocking:
        thread.join()
    assert failures == [] and set(_pods(cluster)) < set(answers) and answers.total() > 50
