"""A Service's update carries over what was allocated and drops what its new type does not have."""

from __future__ import annotations

from typing import Any

from kubelab import units
from kubelab.machinery.meta import copy_obj

SERVICE = units.find("services")


def stored(**spec: Any) -> dict[str, Any]:
    """Return a service as it stands in the store, with what the allocators gave it."""
    obj = units.Service("web", port=80)
    obj["spec"] |= spec
    SERVICE.default(obj)
    SERVICE.prepare_create(obj)
    obj["spec"] |= {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}
    return obj


def update(old: dict[str, Any], **spec: Any) -> dict[str, Any]:
    new, before = units.Service("web", port=80), copy_obj(old)
    new["spec"] |= spec
    SERVICE.default(new)
    SERVICE.prepare_update(new, old)
    assert old == before, "a stored object is never changed"
    out: dict[str, Any] = new["spec"]
    return out


def test_a_writer_who_does_not_know_the_address_keeps_it() -> None:
    """`kubectl replace` with the first manifest does not lose the cluster IP or the node port."""
    old = stored(type="NodePort")
    old["spec"]["ports"][0]["nodePort"] = 30080
    spec = update(old, type="NodePort")
    assert (spec["clusterIP"], spec["clusterIPs"], spec["ports"][0]["nodePort"]) == ("10.0.0.1", ["10.0.0.1"], 30080)


def test_a_service_that_becomes_internal_gives_its_node_ports_back() -> None:
    """From NodePort to ClusterIP: port and traffic policy go, the address stays."""
    old = stored(type="NodePort")
    old["spec"]["ports"][0]["nodePort"] = 30080
    spec = update(old, type="ClusterIP", ports=[dict(old["spec"]["ports"][0])], externalTrafficPolicy="Cluster")
    assert "nodePort" not in spec["ports"][0]
    assert "externalTrafficPolicy" not in spec
    assert spec["clusterIP"] == "10.0.0.1"


def test_a_service_that_becomes_a_name_has_no_address() -> None:
    """ExternalName knows no cluster IP and no families."""
    old = stored()
    kept = {k: old["spec"][k] for k in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")}
    spec = update(old, type="ExternalName", externalName="e.com", **kept)
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"} & spec.keys()


def test_a_headless_service_without_selector_is_of_both_families() -> None:
    """Nobody allocates for it, so that it may name addresses of both families."""
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"},
                           "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
    SERVICE.default(obj)
    SERVICE.prepare_create(obj)
    assert (obj["spec"]["ipFamilyPolicy"], obj["spec"]["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])
    assert list(SERVICE.validate(obj)) == []


def test_a_service_that_is_no_balancer_any_more_has_no_address_of_one() -> None:
    """Its provider takes it away later, which nobody needs to see."""
    old = stored(type="LoadBalancer")
    old["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}
    new = units.Service("web", port=80) | {"status": old["status"]}
    SERVICE.default(new)
    SERVICE.prepare_update(new, old)
    assert new["status"] == {"loadBalancer": {}}
    assert old["status"]["loadBalancer"]["ingress"]


def test_a_service_with_fewer_ports_that_becomes_internal_gives_all_node_ports_back() -> None:
    """As long as its writer asks for none that it did not have."""
    old = stored(type="NodePort", ports=[{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81,
                                                                                      "nodePort": 30081}])
    spec = update(old, type="ClusterIP", ports=[{"name": "a", "port": 80, "nodePort": 30080}])
    assert "nodePort" not in spec["ports"][0]
