"""Who may have admin access to devices."""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.devices import LABEL
from kubelab.machinery.request import Obj

from .conftest import World, refused


def claim(admin: bool = True) -> Obj:
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {
        "generateName": "c-", "namespace": "default"}, "spec": {"devices": {"requests": [
            {"name": "gpu", "exactly": {"deviceClassName": "gpus", "adminAccess": admin}}]}}}


def template() -> Obj:
    return {**claim(), "kind": "ResourceClaimTemplate", "spec": {"spec": claim()["spec"]}}


async def test_admin_access_needs_a_marked_namespace(world: World) -> None:
    """A claim or template that asks for it is refused, until the namespace's label allows it."""
    for plural, sent in (("resourceclaims", claim()), ("resourceclaimtemplates", template())):
        error = await refused(world.client.create(plural, sent))
        assert error.code == 422 and error.message.endswith(
            "is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the "
            f"`{LABEL}: true` label on the containing namespace")
    await world.client.create("resourceclaims", claim(admin=False))
    await world.client.patch("namespaces", "default", {"metadata": {"labels": {LABEL: "true"}}}, type="merge")
    await world.client.create("resourceclaims", claim())
    await world.client.create("resourceclaimtemplates", template())


async def test_so_does_a_result(world: World) -> None:
    """A driver or scheduler cannot give what a claim may not ask for."""
    name = (await world.client.create("resourceclaims", claim(admin=False)))["metadata"]["name"]
    result = {"request": "gpu", "driver": "d", "pool": "p", "device": "a", "adminAccess": True}
    given = {"status": {"allocation": {"devices": {"results": [result]}}}}
    error = await refused(world.client.patch("resourceclaims", name, given, "default", type="merge",
                                             subresource="status"))
    assert "status.allocation.devices.results[0].adminAccess" in error.message
    result["adminAccess"] = False
    await world.client.patch("resourceclaims", name, given, "default", type="merge", subresource="status")
