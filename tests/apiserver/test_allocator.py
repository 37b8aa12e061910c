"""Cluster IPs and node ports are given out once and come back."""

from __future__ import annotations

from kubelab.control_plane.apiserver.allocator import NODE_PORTS
from kubelab.machinery.request import Obj

from .conftest import World, refused


def service(name: str, **spec: object) -> Obj:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": 80}], **spec}}


async def test_every_service_gets_its_own_address(world: World) -> None:
    """Addresses lie in the range, and no two are equal."""
    made = [(await world.client.create("svc", service(f"s{i}")))["spec"] for i in range(20)]
    assert len({spec["clusterIP"] for spec in made}) == 20
    assert all(spec["clusterIP"].startswith("127.96.") and spec["clusterIPs"] == [spec["clusterIP"]] for spec in made)


async def test_a_taken_address_or_port_is_refused_in_words(world: World) -> None:
    """The field errors are Kubernetes' own."""
    first = (await world.client.create("svc", service("a", type="NodePort")))["spec"]
    ip, port = first["clusterIP"], first["ports"][0]["nodePort"]
    assert port in NODE_PORTS
    cases = {
        f'spec.clusterIPs: Invalid value: ["{ip}"]: failed to allocate IP {ip}: provided IP is already allocated':
            service("b", clusterIP=ip),
        f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated":
            service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}]),
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports "
        "is 30000-32767": service("b", type="NodePort", ports=[{"port": 80, "nodePort": 80}]),
        'spec.clusterIPs: Invalid value: ["8.8.8.8"]: failed to allocate IP 8.8.8.8: the provided network does '
        "not match the current range": service("b", clusterIP="8.8.8.8"),
    }
    for words, body in cases.items():
        assert (await refused(world.client.create("svc", body))).message == f'Service "b" is invalid: {words}'


async def test_what_is_no_longer_needed_is_free_at_once(world: World) -> None:
    """A change of type frees the node port, a deletion frees the address."""
    first = (await world.client.create("svc", service("a", type="NodePort")))["spec"]
    port = first["ports"][0]["nodePort"]
    changed = await world.client.patch("svc", "a", {"spec": {"type": "ClusterIP"}})
    assert "nodePort" not in changed["spec"]["ports"][0]
    await world.client.create("svc", service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    await world.client.delete("svc", "a")
    again = await world.client.create("svc", service("c", clusterIP=first["clusterIP"]))
    assert again["spec"]["clusterIP"] == first["clusterIP"]


async def test_a_refused_service_holds_nothing(world: World) -> None:
    """What was reserved for a write that failed can be had by the next."""
    body = service("a", clusterIP="127.96.200.1", type="NodePort", ports=[{"port": 80, "nodePort": 80}])
    await refused(world.client.create("svc", body))
    assert (await world.client.create("svc", service("b", clusterIP="127.96.200.1")))["metadata"]["name"] == "b"


async def test_headless_and_external_services_get_no_address(world: World) -> None:
    """`None` stays None, an ExternalName has nothing at all."""
    assert (await world.client.create("svc", service("h", clusterIP="None")))["spec"]["clusterIPs"] == ["None"]
    external = await world.client.create("svc", service("e", type="ExternalName", externalName="example.com"))
    assert "clusterIP" not in external["spec"]


async def test_ports_that_differ_in_protocol_share_a_node_port(world: World) -> None:
    """TCP and UDP of one port are one number outside, and no other service gets it for any protocol."""
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    made = (await world.client.create("svc", service("a", type="NodePort", ports=ports)))["spec"]["ports"]
    assert made[0]["nodePort"] == made[1]["nodePort"]
    other = [{"port": 1, "protocol": "UDP", "nodePort": made[0]["nodePort"]}]
    error = await refused(world.client.create("svc", service("b", type="NodePort", ports=other)))
    assert error.message.endswith("provided port is already allocated")


async def test_a_balancer_that_wants_local_pods_gets_a_port_for_health_checks(world: World) -> None:
    """It is kept on update, cannot be chosen anew or be had by two, and is free when nobody checks any more."""
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    made = await world.client.create("svc", service("a", **local))
    number = made["spec"]["healthCheckNodePort"]
    assert number in NODE_PORTS
    kept = await world.client.update("svc", service("a", **local))
    assert kept["spec"]["healthCheckNodePort"] == number
    moved = await refused(world.client.patch("svc", "a", {"spec": {"healthCheckNodePort": 30000}}))
    assert moved.message == 'Service "a" is invalid: spec.healthCheckNodePort: Forbidden: field is immutable'
    taken = await refused(world.client.create("svc", service("b", **local, healthCheckNodePort=number)))
    assert taken.message.endswith(f"failed to allocate requested HealthCheck NodePort {number}: provided port is "
                                  "already allocated")
    plain = await world.client.patch("svc", "a", {"spec": {"externalTrafficPolicy": "Cluster"}})
    assert "healthCheckNodePort" not in plain["spec"]
    assert (await world.client.create("svc", service("b", **local, healthCheckNodePort=number)))["spec"]
