"""From Services and EndpointSlices to listeners: the pure part of the proxy."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.clock import SteppedClock
from kubelab.node.proxy.balancer import Balancer
from kubelab.node.proxy.table import Endpoint, Frontend, ServicePort, endpoints_of, service_ports


def piece(*endpoints: dict[str, Any], port: int = 8080, name: str = "") -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"name": name, "port": port,
            "protocol": "TCP"}], "endpoints": list(endpoints)}


def at(ip: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [ip], "conditions": conditions}


def test_ready_endpoints_come_first() -> None:
    """Ready endpoints are used; those that end but still serve only while none is ready; the rest never."""
    ending, dead = at("1.1.1.2", ready=False, serving=True, terminating=True), at("1.1.1.3", ready=False)
    unknown = at("1.1.1.4")
    assert [e.ip for e in endpoints_of([piece(at("1.1.1.1", ready=True), ending, dead, unknown)], "", "TCP")] == \
        ["1.1.1.1", "1.1.1.4"]
    assert [e.ip for e in endpoints_of([piece(ending, dead)], "", "TCP")] == ["1.1.1.2"]


def test_named_ports_meet_by_name() -> None:
    """A service port finds the endpoint port of its name, which may be another number for other pods."""
    service = {"metadata": {"namespace": "d", "name": "web"},
               "spec": {"clusterIP": "127.64.128.9", "ports": [{"name": "http", "port": 80},
                                                               {"name": "metrics", "port": 9090}]}}
    slices = [piece(at("1.1.1.1"), port=8080, name="http"), piece(at("1.1.1.2"), port=8081, name="http")]
    http, metrics = service_ports(service, slices, [])
    assert [str(e) for e in http.endpoints] == ["1.1.1.1:8080", "1.1.1.2:8081"]
    assert metrics.endpoints == ()


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "x"}])
def test_services_without_an_address(spec: dict[str, Any]) -> None:
    """Headless Services and ExternalName have nothing to listen on."""
    service = {"metadata": {"namespace": "d", "name": "web"}, "spec": spec | {"ports": [{"port": 80}]}}
    assert service_ports(service, [piece(at("1.1.1.1"))], ["127.64.0.10"]) == []


def test_frontends_of_a_node_port() -> None:
    """A NodePort is listened on at the ClusterIP, every node, and if possible on 127.0.0.1."""
    service = {"metadata": {"namespace": "d", "name": "web"},
               "spec": {"type": "NodePort", "clusterIP": "127.64.128.9", "ports": [{"port": 80, "nodePort": 30080}]}}
    port, = service_ports(service, [], ["127.64.0.10", "127.64.0.11"])
    assert port.frontends == (Frontend("127.64.128.9", 80, "TCP"), Frontend("127.64.0.10", 30080, "TCP"),
                              Frontend("127.64.0.11", 30080, "TCP"), Frontend("127.0.0.1", 30080, "TCP", True))


def test_affinity_ends_with_its_time() -> None:
    """A client keeps its endpoint for the session's time after its last connection, not longer."""
    clock, endpoints = SteppedClock(), tuple(Endpoint(f"1.1.1.{i}", 80) for i in range(3))
    balancer = Balancer(ServicePort("d/web", "", 80, (), endpoints, affinity_s=100), clock)
    mine = balancer.order("client")[0]
    balancer.chosen("client", mine)
    for _ in range(4):
        clock.jump(90)
        assert balancer.order("client")[0] == mine
        balancer.chosen("client", mine)
    clock.jump(101)
    assert {balancer.order("client")[0] for _ in range(3)} == set(endpoints)
