"""Deleting a namespace takes everything in it along, or says what holds it."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.errors import ApiError


async def deleted(world: Any, name: str) -> None:
    async def check() -> bool:
        try:
            await world.client.get("namespaces", name)
        except ApiError as error:
            return error.code == 404
        return False

    await world.until(check)


async def test_a_namespace_goes_with_its_content(world: Any, deployment: Any) -> None:
    """A Deployment, its pods and a ConfigMap go, then the namespace."""
    await world.client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    body = deployment(replicas=2)
    body["metadata"]["namespace"] = "team"
    await world.client.create("deployments", body)

    async def pods() -> bool:
        return len(await world.items("pods", "team")) == 2

    await world.until(pods)
    await world.client.delete("namespaces", "team")
    await deleted(world, "team")
    for what in ("pods", "deployments", "replicasets", "configmaps", "serviceaccounts"):
        assert await world.items(what, "team") == []


async def test_a_finalizer_holds_it_and_the_conditions_say_so(make_world: Any) -> None:
    """The conditions are worded as recorded; when the finalizer goes, the namespace goes."""
    world = await make_world(0, enabled=("namespace-controller",))
    await world.client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": "team",
                                                                 "finalizers": ["a.b/c"]}}
    await world.client.create("configmaps", held)
    await world.client.delete("namespaces", "team")

    async def told() -> Any:
        conditions = (await world.client.get("namespaces", "team"))["status"]["conditions"]
        return [(c["type"], c["status"], c["reason"], c["message"]) for c in conditions]

    assert await world.until(told) == [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",
         "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", "False", "ContentDeleted",
         "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain",
         "Some resources are remaining: configmaps. has 1 resource instances"),
        ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
         "Some content in the namespace has finalizers remaining: a.b/c in 1 resource instances")]
    await world.client.patch("configmaps", "held", {"metadata": {"finalizers": None}}, "team")
    await deleted(world, "team")


async def test_every_namespace_is_furnished(make_world: Any) -> None:
    """The account `default` and the CA's ConfigMap come by themselves, and come back."""
    world = await make_world(0, root_ca_pem="PEM")
    await world.client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})

    async def furnished() -> bool:
        await world.client.get("serviceaccounts", "default", "team")
        found = await world.client.get("configmaps", "kube-root-ca.crt", "team")
        return bool(found["data"] == {"ca.crt": "PEM"})

    await world.until(furnished)
    await world.client.delete("serviceaccounts", "default", "team")
    await world.client.patch("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "forged"}}, "team")
    await world.until(furnished)


async def test_default_cannot_go(world: Any) -> None:
    """The namespace `default` is refused."""
    with pytest.raises(ApiError, match="may not be deleted"):
        await world.client.delete("namespaces", "default")
