"""Controllers and custom resources: what owns, is owned, and lives in a namespace need not be in the catalogue."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.custom_kinds import kind_of
from kubelab.units.catalogue import Kind

WIDGETS = Kind("Widget", "widgets", "example.com")


def crd(**version: Any) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema, **version}]}}


def widget(name: str, owner: Any = None, **metadata: Any) -> dict[str, Any]:
    if owner is not None:
        metadata["ownerReferences"] = [{"apiVersion": owner["apiVersion"], "kind": owner["kind"], "blockOwnerDeletion":
                                        True, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}]
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, **metadata}}


async def items(world: Any, kind: Any) -> list[str]:
    return [o["metadata"]["name"] for o in (await world.client.list(kind, "default"))["items"]]


async def test_what_a_custom_object_owns_goes_with_it(make_world: Any) -> None:
    """A ConfigMap and another custom object are collected when the custom object that owns them is deleted."""
    world = await make_world(enabled=("garbage-collector-controller",))
    await world.client.create("customresourcedefinitions", crd())
    owner = await world.client.create(WIDGETS, widget("owner"))
    await world.client.create(WIDGETS, widget("owned", owner))
    await world.client.create("configmaps", {**widget("owned", owner), "apiVersion": "v1", "kind": "ConfigMap"})
    await world.client.delete(WIDGETS, "owner")

    async def gone() -> bool:
        return await items(world, WIDGETS) == [] and "owned" not in await items(world, "configmaps")

    await world.until(gone)


async def test_foreground_and_orphan_work_without_strategic_merge(make_world: Any) -> None:
    """Finalizers and owner references of custom objects are taken off by merge patches."""
    world = await make_world(enabled=("garbage-collector-controller",))
    await world.client.create("customresourcedefinitions", crd())
    first = await world.client.create(WIDGETS, widget("first"))
    await world.client.create(WIDGETS, widget("left", first))
    await world.client.delete(WIDGETS, "first", propagation="Orphan")

    async def orphaned() -> bool:
        left = await world.client.get(WIDGETS, "left")
        return await items(world, WIDGETS) == ["left"] and "ownerReferences" not in left["metadata"]

    await world.until(orphaned)
    second = await world.client.create(WIDGETS, widget("second"))
    await world.client.create(WIDGETS, widget("taken", second))
    await world.client.delete(WIDGETS, "second", propagation="Foreground")

    async def taken() -> bool:
        return await items(world, WIDGETS) == ["left"]

    await world.until(taken)


async def test_a_namespace_takes_its_custom_objects_along(make_world: Any) -> None:
    """A namespace in deletion is emptied of custom objects, too."""
    world = await make_world(enabled=("namespace-controller",))
    await world.client.create("customresourcedefinitions", crd())
    await world.client.create("namespaces", {"metadata": {"name": "shop"}})
    await world.client.create(WIDGETS, widget("w"), "shop")
    await world.client.delete("namespaces", "shop")

    async def gone() -> bool:
        left = [n["metadata"]["name"] for n in (await world.client.list("namespaces"))["items"]]
        return "shop" not in left and (await world.client.list(WIDGETS))["items"] == []

    await world.until(gone)


def test_the_stored_version_is_followed_where_it_is_served() -> None:
    """Of a CRD's versions, the stored one is followed, or else one that is served, or none."""
    one = crd()
    found = kind_of(one)
    assert found is not None and (found.version, found.plural) == ("v1", "widgets")
    assert kind_of(crd(served=False)) is None
