"""Garbage collection: what goes with its owner, and what stays."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Api, Obj
from tests.conformance.objects import DEPLOYMENT, POD, config_map


def pod_of(name: str, *owners: Obj) -> Obj:
    return {"metadata": {"name": name, "ownerReferences": list(owners)}, "spec": POD}


def owner(obj: Obj, kind: str, version: str = "v1", *, block: bool = False) -> Obj:
    return {
        "apiVersion": version,
        "kind": kind,
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        **({"blockOwnerDeletion": True} if block else {}),
    }


@pytest.mark.parametrize(("policy", "left"), [("Background", False), ("Orphan", True), ("Foreground", False)])
def test_what_a_deployment_owned(api: Api, ns: str, policy: str, left: bool) -> None:
    """Goes with it in the background and the foreground, and stays without owner when orphaned."""
    path = f"/apis/apps/v1/namespaces/{ns}"
    api.made(f"{path}/deployments", {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": 2}})
    sets = api.until(
        f"{path}/replicasets", lambda o: o["items"] and o["items"][0].get("status", {}).get("replicas") == 2
    )
    api.until(f"/api/v1/namespaces/{ns}/pods", lambda o: len(o["items"]) == 2)
    assert api.delete(f"{path}/deployments/d", {"propagationPolicy": policy}).status == 200
    api.gone(f"{path}/deployments/d")
    one = f"{path}/replicasets/{sets['items'][0]['metadata']['name']}"
    if left:
        assert (
            "ownerReferences"
            not in api.until(one, lambda o: o and not o["metadata"].get("ownerReferences"))["metadata"]
        )
        assert len(api.get(f"/api/v1/namespaces/{ns}/pods")["items"]) == 2
    else:
        api.gone(one)
        api.until(f"/api/v1/namespaces/{ns}/pods", lambda o: o["items"] == [])


def test_owners_in_a_circle(api: Api, ns: str) -> None:
    """Three pods that own each other all go when one is deleted."""
    pods = f"/api/v1/namespaces/{ns}/pods"
    made = [api.made(pods, pod_of(f"p{n}")) for n in range(3)]
    for n in range(3):
        api.patch(f"{pods}/p{n}", {"metadata": {"ownerReferences": [owner(made[n - 1], "Pod", block=True)]}})
    api.delete(f"{pods}/p0", {"propagationPolicy": "Foreground", "gracePeriodSeconds": 0})
    api.until(pods, lambda o: o["items"] == [])


def test_a_second_owner_keeps_a_dependent(api: Api, ns: str) -> None:
    """A dependent with an owner that is not waited for loses the other reference, and stays."""
    maps = f"/api/v1/namespaces/{ns}/configmaps"
    one, two = api.made(maps, config_map("one")), api.made(maps, config_map("two"))
    api.made(
        maps,
        {
            **config_map("both"),
            "metadata": {
                "name": "both",
                "ownerReferences": [owner(one, "ConfigMap", block=True), owner(two, "ConfigMap")],
            },
        },
    )
    api.made(
        maps,
        {
            **config_map("alone"),
            "metadata": {"name": "alone", "ownerReferences": [owner(one, "ConfigMap", block=True)]},
        },
    )
    api.delete(f"{maps}/one", {"propagationPolicy": "Foreground"})
    api.gone(f"{maps}/one")
    assert api.get(f"{maps}/alone").status == 404
    kept = api.get(f"{maps}/both")["metadata"]
    assert [o["name"] for o in kept["ownerReferences"]] == ["two"] and "deletionTimestamp" not in kept
