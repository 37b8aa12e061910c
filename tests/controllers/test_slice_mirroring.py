"""Endpoints written by hand are shown as slices."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.slice_mirroring import MANAGER, MOST, wanted_slices

from .conftest import World


def endpoints(*subsets: Any, **meta: Any) -> Any:
    return {"apiVersion": "v1", "kind": "Endpoints", "subsets": list(subsets), "metadata": {
        "name": "db", "namespace": "default", "uid": "u", **meta}}


def subset(*ips: str, port: int = 5432, field: str = "addresses") -> Any:
    return {field: [{"ip": ip} for ip in ips], "ports": [{"port": port}]}


def test_one_slice_for_each_family_and_set_of_ports() -> None:
    """Addresses are written in one way; what one subset has too many is counted."""
    slices, skipped = wanted_slices(endpoints(
        subset("10.0.0.1", "2001:DB8::1"), subset("10.0.0.2", field="notReadyAddresses"), subset("10.0.0.3", port=80)))
    assert [(s["addressType"], s["ports"][0]["port"], [e["addresses"][0] for e in s["endpoints"]]) for s in slices] == [
        ("IPv4", 5432, ["10.0.0.1", "10.0.0.2"]), ("IPv6", 5432, ["2001:db8::1"]), ("IPv4", 80, ["10.0.0.3"])]
    assert [e["conditions"]["ready"] for e in slices[0]["endpoints"]] == [True, False] and not skipped
    many = endpoints(subset(*(f"10.0.{i // 250}.{i % 250}" for i in range(MOST + 7))))
    (one,), skipped = wanted_slices(many)
    assert (len(one["endpoints"]), skipped) == (MOST, 7)


def test_labels_and_notes_go_along() -> None:
    """But for what others have written for themselves."""
    (one,), _ = wanted_slices(endpoints(subset("10.0.0.1"), labels={"a": "b"}, annotations={
        "c": "d", "kubectl.kubernetes.io/last-applied-configuration": "{}"}))
    assert one["metadata"]["annotations"] == {"c": "d"} and one["metadata"]["labels"] == {
        "a": "b", "endpointslice.kubernetes.io/managed-by": MANAGER, "kubernetes.io/service-name": "db"}


async def test_a_slice_follows_its_endpoints(world: World) -> None:
    """It is made, changed in place, and goes with them."""
    client = world.client
    await client.create("services", {"apiVersion": "v1", "kind": "Service", "metadata": {
        "name": "db", "namespace": "default"}, "spec": {"ports": [{"port": 5432}]}})
    made = endpoints(subset("10.0.0.1"))
    made["metadata"].pop("uid")
    await client.create("endpoints", made)

    async def shows(port: int, *ips: str) -> Any:
        found, = [s for s in await world.items("endpointslices") if s["metadata"]["name"] != "kubernetes"]
        assert [e["addresses"] for e in found["endpoints"]] == [[ip] for ip in ips]
        assert found["ports"][0]["port"] == port
        return found["metadata"]["name"]

    name = await world.until(lambda: shows(5432, "10.0.0.1"))
    await client.patch("endpoints", "db", {"subsets": [subset("10.0.0.1", "10.0.0.2", port=80)]}, "default",
                       type="merge")
    assert await world.until(lambda: shows(80, "10.0.0.1", "10.0.0.2")) == name
    await client.delete("endpoints", "db", "default")

    async def gone() -> bool:
        return {s["metadata"]["name"] for s in await world.items("endpointslices")} <= {"kubernetes"}

    await world.until(gone)
