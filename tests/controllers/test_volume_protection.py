"""What is in use stays, though somebody wants it deleted."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.volume_protection import attributes_of, in_use

from .conftest import World

CLASSES = "volumeattributesclasses"


def pod(node: str = "n", phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": {"phase": phase}, "spec": {"nodeName": node, "volumes": [
        {"name": "a", "persistentVolumeClaim": {"claimName": "mine"}}, {"name": "scratch", "ephemeral": {}}]}}


def test_a_claim_is_used_by_a_pod_that_has_a_node_and_has_not_ended() -> None:
    """Its own ephemeral claims are named after the pod and the volume."""
    assert in_use("mine", [pod()])
    assert not in_use("mine", [pod(node=""), pod(phase="Succeeded")])
    assert not in_use("p-scratch", [pod()])  # an empty ephemeral source asks for none


def test_a_class_of_attributes_is_named_in_three_places() -> None:
    """By what a claim asks for, has, and is about to have."""
    assert attributes_of({"spec": {"volumeAttributesClassName": "a"}, "status": {
        "currentVolumeAttributesClassName": "b", "modifyVolumeStatus": {"targetVolumeAttributesClassName": "c"}}}) == {
        "a", "b", "c"}
    assert attributes_of({"spec": {}}) == set()


async def test_a_class_of_attributes_stays_while_a_claim_names_it(world: World) -> None:
    """The server puts a finalizer on; the controller takes it off when the last claim has gone."""
    client = world.client
    made = await client.create(CLASSES, {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass",
                                         "metadata": {"name": "gold"}, "driverName": "d", "parameters": {"a": "b"}})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
    await client.create("persistentvolumeclaims", {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "gold",
                 "resources": {"requests": {"storage": "1Gi"}}}})
    await client.delete(CLASSES, "gold")
    assert "deletionTimestamp" in (await client.get(CLASSES, "gold"))["metadata"]
    await client.delete("persistentvolumeclaims", "c", "default")

    async def gone() -> bool:
        return not await world.items(CLASSES, None)

    await world.until(gone)
