"""EndpointSlices and Endpoints planned from pods written by hand."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.endpoints import plan_subsets, truncated
from kubelab.control_plane.controllers.slice_plan import FULL, plan_slices, wanted_endpoints


def pod(i: int, *, ready: bool = True, deleted: bool = False, ip: str | None = None, **spec: Any) -> Any:
    meta = {"name": f"p{i}", "namespace": "default", "uid": f"uid-{i:04}"}
    if deleted:
        meta["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": meta, "spec": {"nodeName": "n1", "containers": [
        {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}], **spec},
        "status": {"phase": "Running", "podIP": f"10.0.0.{i}" if ip is None else ip, "conditions": conditions}}


def service(target: Any = "http", **spec: Any) -> Any:
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {
        "clusterIP": "10.96.0.1", "selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": target}], **spec}}


def test_endpoints_of_pods_in_every_state() -> None:
    """Ready, waiting and terminating pods are worded apart; a pod without address is left out."""
    pods = [pod(1), pod(2, ready=False), pod(3, deleted=True), pod(4, ip="")]
    (ports, endpoints), = wanted_endpoints(service(), pods, {"n1": "z1"}).items()
    assert [dict(port) for port in ports] == [{"name": "", "protocol": "TCP", "port": 8080}]
    assert [tuple(e["conditions"].values()) for e in endpoints.values()] == [
        (True, True, False), (False, False, False), (False, True, True)]
    assert endpoints["uid-0001"] == {
        "addresses": ["10.0.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "p1", "uid": "uid-0001"}, "nodeName": "n1",
        "zone": "z1"}
    published = wanted_endpoints(service(publishNotReadyAddresses=True), [pod(2, ready=False)], {})
    assert next(iter(published.values()))["uid-0002"]["conditions"]["ready"] is True


def made(plan: Any, start: int = 0) -> list[Any]:
    return [{"metadata": {"name": f"s{start + i}"}, "ports": [dict(p) for p in ports], "endpoints": endpoints}
            for i, (ports, endpoints) in enumerate(plan.create)]


def test_slices_fill_up_and_change_little() -> None:
    """250 pods make three slices; one pod more or less writes one slice."""
    wanted = wanted_endpoints(service(), [pod(i) for i in range(250)], {})
    plan = plan_slices(wanted, [])
    assert [len(endpoints) for _, endpoints in plan.create] == [FULL, FULL, 50]
    slices = made(plan)
    same = plan_slices(wanted, slices)
    assert not (same.create or same.update or same.delete)
    fewer = plan_slices(wanted_endpoints(service(), [pod(i) for i in range(250) if i != 7], {}), slices)
    assert [s["metadata"]["name"] for s, _, _ in fewer.update] == ["s0"]
    more = plan_slices(wanted_endpoints(service(), [pod(i) for i in range(251)], {}), slices)
    assert [(s["metadata"]["name"], len(e)) for s, _, e in more.update] == [("s2", 51)]
    assert not more.create and not more.delete


def test_no_pods_leave_one_empty_slice() -> None:
    """A Service without pods still has a slice, and only one: the last that had endpoints."""
    plan = plan_slices({}, [])
    assert plan.create == [((), [])]
    full = made(plan_slices(wanted_endpoints(service(), [pod(1)], {}), []))
    plan = plan_slices({}, full)
    assert plan.update == [(full[0], (), [])] and not plan.create and not plan.delete
    kept = plan_slices({}, [full[0] | {"ports": [], "endpoints": []}])
    assert not kept.create and not kept.update and not kept.delete


def test_new_ports_are_written_into_the_slice_that_has_the_old_ones() -> None:
    """A slice keeps its name when its Service moves to another port."""
    old = made(plan_slices(wanted_endpoints(service(), [pod(1)], {}), []))
    plan = plan_slices(wanted_endpoints(service(target=9090), [pod(1)], {}), old)
    (existing, ports, endpoints), = plan.update
    assert existing == old[0] and ports is not None and len(endpoints) == 1 and not plan.create and not plan.delete
    assert dict(ports[0])["port"] == 9090


def hints(wish: str, **notes: str) -> Any:
    wanted = wanted_endpoints({**service(trafficDistribution=wish), "metadata": {
        "name": "web", "namespace": "default", "annotations": notes}}, [pod(1), pod(2, ready=False)], {"n1": "z1"})
    first, second = next(iter(wanted.values())).values()
    assert "hints" not in second  # nobody is sent to what is not ready
    return first.get("hints")


def test_traffic_that_stays_close_has_hints() -> None:
    """They name the zone, and the node where the Service says so; the older annotation goes before them."""
    assert hints("PreferClose") == hints("PreferSameZone") == {"forZones": [{"name": "z1"}]}
    assert hints("PreferSameNode") == {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]}
    assert hints("PreferClose", **{"service.kubernetes.io/topology-mode": "Auto"}) is None
    assert hints("Else") is None


def test_headless_names_and_named_ports() -> None:
    """A hostname goes into the endpoint of its own headless Service; a port that no container names is left out."""
    one = pod(1, hostname="db-0", subdomain="web")
    (endpoints,) = wanted_endpoints(service(clusterIP="None"), [one], {}).values()
    assert endpoints["uid-0001"]["hostname"] == "db-0"
    assert list(wanted_endpoints(service(target="missing"), [one], {})) == [()]


def test_endpoints_keep_ready_and_waiting_apart() -> None:
    """The old Endpoints object lists addresses by readiness, without terminating pods, sorted by address."""
    subset, = plan_subsets(service(), [pod(2), pod(1), pod(3, ready=False), pod(4, deleted=True)])
    assert [a["ip"] for a in subset["addresses"]] == ["10.0.0.1", "10.0.0.2"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.0.0.3"]
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_endpoints_end_at_a_thousand() -> None:
    """More than 1,000 addresses are cut, ready ones kept before the others."""
    subsets = plan_subsets(service(), [pod(i, ready=i % 2 == 0) for i in range(2400)])
    (subset,), cut = truncated(subsets)
    assert cut and len(subset["addresses"]) == 1000 and "notReadyAddresses" not in subset
    assert truncated(plan_subsets(service(), [pod(1)]))[1] is False
