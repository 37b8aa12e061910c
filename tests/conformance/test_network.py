"""Services, endpoints, slices and the addresses behind them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import STRATEGIC, Api, Obj


def core(ns: str, plural: str) -> str:
    return f"/api/v1/namespaces/{ns}/{plural}"


def slices(ns: str, service: str = "s") -> str:
    return (
        f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices?labelSelector=kubernetes.io/service-name={service}"
    )


def service(**spec: Any) -> Obj:
    return {"metadata": {"name": "s", "labels": {"story": "s"}}, "spec": spec}


def pod(name: str, *ports: int) -> Obj:
    return {
        "metadata": {"name": name, "labels": {"app": "a"}},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "nginx",
                    "ports": [{"containerPort": port, "name": f"p{port}"} for port in ports],
                }
            ]
        },
    }


def test_the_api_server_has_a_service(api: Api) -> None:
    """`default/kubernetes`, its Endpoints and its slice tell of the same addresses and port."""
    assert api.get("/api/v1/namespaces/default/services/kubernetes")["spec"]["ports"][0]["port"] == 443
    [subset] = api.get("/api/v1/namespaces/default/endpoints/kubernetes")["subsets"]
    [one] = api.get(slices("default", "kubernetes"))["items"]
    assert [a["ip"] for a in subset["addresses"]] == [a for e in one["endpoints"] for a in e["addresses"]]
    assert [p["port"] for p in subset["ports"]] == [p["port"] for p in one["ports"]]
    assert one["metadata"]["name"] == "kubernetes"


EXTERNAL: Obj = {
    "type": "ExternalName",
    "externalName": "example.com",
    "clusterIP": None,
    "clusterIPs": None,
    "ports": None,
    "ipFamilies": None,
    "ipFamilyPolicy": None,
    "selector": None,
}


@pytest.mark.parametrize(
    ("before", "after", "has_ip", "has_node_port"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 80}]}, EXTERNAL, False, False),
        ({"type": "NodePort", "ports": [{"port": 80}]}, EXTERNAL, False, False),
        (
            {"type": "ExternalName", "externalName": "example.com"},
            {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80, "protocol": "TCP"}]},
            True,
            False,
        ),
        (
            {"type": "ExternalName", "externalName": "example.com"},
            {"type": "NodePort", "externalName": None, "ports": [{"port": 80, "protocol": "TCP"}]},
            True,
            True,
        ),
        ({"type": "NodePort", "ports": [{"port": 80}]}, {"type": "ClusterIP"}, True, False),
        ({"type": "ClusterIP", "ports": [{"port": 80}]}, {"type": "LoadBalancer"}, True, True),
    ],
)
def test_a_service_changes_its_type(
    api: Api, ns: str, before: Obj, after: Obj, has_ip: bool, has_node_port: bool
) -> None:
    """Addresses and node ports are taken and given back as the type needs them, by update as by patch."""
    made = api.made(core(ns, "services"), service(**before))
    spec = {k: v for k, v in {**made["spec"], **after}.items() if v is not None}
    updated = api.put(f"{core(ns, 'services')}/s", {**made, "spec": spec})
    assert bool(updated["spec"].get("clusterIP")) is has_ip, updated
    assert any(p.get("nodePort") for p in updated["spec"].get("ports") or ()) is has_node_port
    assert api.delete(f"{core(ns, 'services')}/s").status == 200
    if "clusterIP" in made["spec"]:  # it may be taken again
        again = {**before, "clusterIP": made["spec"]["clusterIP"]}
        assert api.made(core(ns, "services"), service(**again))["spec"]["clusterIP"] == made["spec"]["clusterIP"]


def test_the_status_of_a_service(api: Api, ns: str) -> None:
    """A load balancer's address and conditions are written through /status and stay."""
    path = f"{core(ns, 'services')}/s"
    api.made(
        core(ns, "services"), service(type="LoadBalancer", loadBalancerClass="example.com/lb", ports=[{"port": 80}])
    )
    patched = api.patch(
        f"{path}/status",
        {
            "metadata": {"annotations": {"patchedstatus": "true"}},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
        },
    )
    assert patched["status"]["loadBalancer"]["ingress"] == [{"ip": "203.0.113.1", "ipMode": "VIP"}]
    read = api.get(f"{path}/status").body
    read["status"]["conditions"] = [
        {
            "type": "StatusUpdate",
            "status": "True",
            "reason": "E2E",
            "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]
    assert api.put(f"{path}/status", read)["status"]["conditions"][0]["type"] == "StatusUpdate"
    api.patch(path, {"metadata": {"labels": {"patched": "yes"}}}, STRATEGIC)
    shown = api.get(path).body
    assert shown["status"]["loadBalancer"]["ingress"] and shown["metadata"]["annotations"]["patchedstatus"] == "true"


def test_services_are_deleted_by_label(api: Api, ns: str) -> None:
    """Of three, the two of one label go."""
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        api.made(
            core(ns, "services"),
            {"metadata": {"name": name, "labels": {"of": label}}, "spec": {"ports": [{"port": 80}]}},
        )
    assert api.delete(f"{core(ns, 'services')}?labelSelector=of=x").status == 200
    assert [s["metadata"]["name"] for s in api.get(core(ns, "services"))["items"]] == ["c"]


def test_endpoints_follow_the_pods(api: Api, ns: str) -> None:
    """Empty at first, then each pod stands under the ports it has; with the service, Endpoints and slices go."""
    api.made(
        core(ns, "services"),
        service(
            selector={"app": "a"},
            ports=[
                {"name": "one", "port": 80, "targetPort": "p100"},
                {"name": "two", "port": 81, "targetPort": "p101"},
            ],
        ),
    )
    api.until(f"{core(ns, 'endpoints')}/s", lambda o: o and not o.get("subsets"))
    [empty] = api.until(slices(ns), lambda o: len(o["items"]) == 1)["items"]
    assert empty["endpoints"] in ([], None)

    def told() -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for subset in api.get(f"{core(ns, 'endpoints')}/s").body.get("subsets") or ():
            for address in subset.get("addresses") or ():
                found.setdefault(address["targetRef"]["name"], set()).update(p["port"] for p in subset["ports"])
        return found

    def sliced() -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for one in api.get(slices(ns))["items"]:
            for endpoint in one.get("endpoints") or ():
                if endpoint["conditions"]["ready"]:
                    found.setdefault(endpoint["targetRef"]["name"], set()).update(p["port"] for p in one["ports"] or ())
        return found

    for expected, change in (
        ({"pod1": {100}}, lambda: api.made(core(ns, "pods"), pod("pod1", 100))),
        ({"pod1": {100}, "pod2": {101}}, lambda: api.made(core(ns, "pods"), pod("pod2", 101))),
        ({"pod2": {101}}, lambda: api.delete(f"{core(ns, 'pods')}/pod1", {"gracePeriodSeconds": 0})),
        ({}, lambda: api.delete(f"{core(ns, 'pods')}/pod2", {"gracePeriodSeconds": 0})),
    ):
        change()
        api.until(f"{core(ns, 'endpoints')}/s", lambda _, e=expected: told() == e == sliced())
    api.delete(f"{core(ns, 'services')}/s")
    api.gone(f"{core(ns, 'endpoints')}/s")
    api.until(slices(ns), lambda o: o["items"] == [])


def test_endpoints_by_hand_are_mirrored(api: Api, ns: str) -> None:
    """Endpoints of a service without selector have a slice that follows them, and goes with them."""
    api.made(core(ns, "services"), service(ports=[{"name": "example", "port": 80}]))
    body = {
        "metadata": {"name": "s", "labels": {"l": "1"}},
        "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"name": "example", "port": 80}]}],
    }
    api.made(core(ns, "endpoints"), body)
    [one] = api.until(slices(ns), lambda o: len(o["items"]) == 1)["items"]
    assert one["endpoints"][0]["addresses"] == ["10.1.2.3"] and one["ports"][0]["port"] == 80
    assert (
        one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
        == "endpointslicemirroring-controller.k8s.io"
    )
    api.patch(
        f"{core(ns, 'endpoints')}/s",
        {"subsets": [{"addresses": [{"ip": "10.2.3.4"}], "ports": [{"name": "example", "port": 9090}]}]},
    )
    api.until(
        slices(ns),
        lambda o: (
            [(e["addresses"], i["ports"][0]["port"]) for i in o["items"] for e in i["endpoints"]]
            == [(["10.2.3.4"], 9090)]
        ),
    )
    assert api.delete(f"{core(ns, 'endpoints')}?labelSelector=l=1").status == 200
    api.until(slices(ns), lambda o: o["items"] == [])


def test_the_status_of_an_ingress(api: Api, ns: str) -> None:
    """A load balancer's address is patched and updated through /status."""
    path = f"/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses"
    api.made(
        path,
        {"metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    )
    patched = api.patch(
        f"{path}/i/status",
        {
            "metadata": {"annotations": {"patchedstatus": "true"}},
            "status": {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
        },
    )
    assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "169.1.1.1"
    read = api.get(f"{path}/i").body
    read["status"]["loadBalancer"] = {"ingress": [{"ip": "169.1.1.2"}]}
    assert api.put(f"{path}/i/status", read)["status"]["loadBalancer"]["ingress"][0]["ip"] == "169.1.1.2"
    assert api.get(f"{path}/i")["metadata"]["annotations"]["patchedstatus"] == "true"
