"""Subsets of Endpoints are stored in one layout, whatever was sent."""

from __future__ import annotations

from typing import Any

from kubelab.units import endpoint_subsets
from kubelab.units.endpoint_subsets import repacked

HTTP, DNS = {"port": 80, "protocol": "TCP", "name": "http"}, {"port": 53, "protocol": "UDP", "name": "dns"}


def subset(ready: str = "", waiting: str = "", *ports: Any) -> Any:
    found = {key: [{"ip": ip} for ip in ips.split()] for key, ips in (
        ("addresses", ready), ("notReadyAddresses", waiting)) if ips}
    return {**found, "ports": list(ports)} if ports else found


def test_hosts_are_in_order_and_once() -> None:
    """By the bytes of their addresses; not ready wins."""
    assert repacked([subset("10.0.0.9 10.0.0.10 10.0.0.9", "", HTTP)]) == [subset("10.0.0.10 10.0.0.9", "", HTTP)]
    assert repacked([subset("a b", "", HTTP), subset("", "b", HTTP)]) == [subset("a", "b", HTTP)]
    assert repacked([subset("a")]) == [subset("a")]


def test_hosts_with_the_same_ports_are_one_subset() -> None:
    """And ports of the same hosts; a host with one port more has a subset with it."""
    assert repacked([subset("a", "", HTTP), subset("b", "", HTTP)]) == [subset("a b", "", HTTP)]
    both = repacked([subset("a", "", HTTP), subset("a", "", DNS)])
    assert len(both) == 1 and sorted(p["name"] for p in both[0]["ports"]) == ["dns", "http"]
    apart = repacked([subset("a", "", HTTP), subset("b", "", HTTP, DNS)])
    assert {one["ports"][0]["name"]: [a["ip"] for a in one["addresses"]] for one in apart} == {
        "http": ["a", "b"], "dns": ["b"]}


def test_the_order_is_that_of_hashes_of_what_go_prints() -> None:
    """As spew printed and md5 hashed a port and a subset in a Go program."""
    port = {"name": "a", "port": 8443, "protocol": "UDP", "appProtocol": "http"}
    printed = f"(core.EndpointPort){endpoint_subsets._printed_port(port)}"
    assert endpoint_subsets._hash(printed).hex() == "4581c7641045a37320aeb7d64dc9eab9"
    found = endpoint_subsets._printed_subset({"addresses": [{"ip": "10.1.2.3"}, {
        "ip": "10.1.2.4", "hostname": "h", "nodeName": "node-1",
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"}}],
        "ports": [{"port": 80, "protocol": "TCP"}]})
    assert endpoint_subsets._hash(found.replace("types.UID", "core.UID")).hex() == "d61caf415d3c7d8cc468e255c4a240e4"


def test_what_is_in_order_stays() -> None:
    """Twice is once."""
    mixed = [subset("b a", "c", DNS, HTTP), subset("d", "a", HTTP)]
    assert repacked(repacked(mixed)) == repacked(mixed)
