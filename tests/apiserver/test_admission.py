"""Admission: what the server adds to a pod or node, and what it refuses."""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.pods import TOKEN_PATH, add_tolerations
from kubelab.machinery.request import User

from .conftest import World, config_map, pod, refused


async def test_a_pod_gets_its_service_account_and_token(world: World) -> None:
    """The default account, a projected volume, and its mount in every container."""
    spec = (await world.client.create("pods", pod("p", initContainers=[{"name": "i", "image": "x"}])))["spec"]
    sources = [next(iter(source)) for source in spec["volumes"][0]["projected"]["sources"]]
    assert (spec["serviceAccountName"], sources) == ("default", ["serviceAccountToken", "configMap", "downwardAPI"])
    for container in (*spec["containers"], *spec["initContainers"]):
        assert [m["mountPath"] for m in container["volumeMounts"]] == [TOKEN_PATH]


async def test_a_pod_may_do_without_a_token(world: World) -> None:
    """automountServiceAccountToken: false, in the pod or its account, keeps the volume out."""
    assert "volumes" not in (await world.client.create("pods", pod("p", automountServiceAccountToken=False)))["spec"]
    await world.client.create("sa", {"metadata": {"name": "quiet"}, "automountServiceAccountToken": False})
    assert "volumes" not in (await world.client.create("pods", pod("q", serviceAccountName="quiet")))["spec"]


async def test_an_account_that_is_not_there_is_refused(world: World) -> None:
    """The message is the one that people search for."""
    error = await refused(world.client.create("pods", pod("p", serviceAccountName="nope")))
    assert error.message == ('pods "p" is forbidden: error looking up service account default/nope: '
                             'serviceaccount "nope" not found')


def test_tolerations_are_added_once() -> None:
    """A pod that says for itself how long it stays keeps that."""
    spec = {"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                             "tolerationSeconds": 5}]}
    add_tolerations(spec)
    add_tolerations(spec)
    assert [(t["key"], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 5), ("node.kubernetes.io/unreachable", 300)]


async def test_a_namespace_must_exist(world: World) -> None:
    """Nothing is created in a namespace that is not there."""
    assert (await refused(world.client.create("cm", config_map("a"), "nope"))).message == 'namespaces "nope" not found'


async def test_a_new_node_is_tainted_and_only_its_own(world: World) -> None:
    """A kubelet registers its Node under its own name; it starts as not ready."""
    kubelet = User("system:node:n1", ("system:nodes", "system:authenticated"))
    assert (await world.send("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, kubelet)).status == 403
    assert (await world.send("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}}, kubelet)).status == 201
    taints = (await world.client.get("nodes", "n1"))["spec"]["taints"]
    assert taints == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_priority_classes_of_the_system_are_known(world: World) -> None:
    """A class gives its value; one that does not exist is refused."""
    spec = (await world.client.create("pods", pod("p", priorityClassName="system-node-critical")))["spec"]
    assert spec["priority"] == 2_000_001_000
    assert (await refused(world.client.create("pods", pod("q", priorityClassName="nope")))).code == 403
