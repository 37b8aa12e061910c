"""Every kind around workloads goes through every verb, as Kubernetes' conformance tests ask of its APIs."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.request import Obj

from .conftest import World

NET, STORE, ADM = "networking.k8s.io/v1", "storage.k8s.io/v1", "admissionregistration.k8s.io/v1"
FLOW, DRA = "flowcontrol.apiserver.k8s.io/v1", "resource.k8s.io/v1"
RULES = {"resourceRules": [{"apiGroups": ["a.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
                            "resources": ["things"]}]}
HOOKS = [{"name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1/x"}, "admissionReviewVersions": ["v1"],
          "sideEffects": "None"}]
DEVICES = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpus"}}]}}


def obj(api_version: str, kind: str, name: str = "x", **fields: Any) -> Obj:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": {"a": "b"}}, **fields}


OBJECTS = [
    obj(NET, "NetworkPolicy", spec={"podSelector": {}}),
    obj(NET, "ServiceCIDR", spec={"cidrs": ["10.111.0.0/24"]}),
    obj(NET, "IPAddress", "10.111.0.9", spec={"parentRef": {"resource": "services", "name": "s"}}),
    obj(STORE, "StorageClass", provisioner="example.com/p"),
    obj(STORE, "VolumeAttributesClass", driverName="example.com", parameters={"a": "b"}),
    obj(STORE, "CSIStorageCapacity", storageClassName="fast"),
    obj(STORE, "CSIDriver", spec={}), obj(STORE, "CSINode", spec={"drivers": []}),
    obj(STORE, "VolumeAttachment", spec={"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}}),
    obj("scheduling.k8s.io/v1", "PriorityClass", value=5), obj("node.k8s.io/v1", "RuntimeClass", handler="h"),
    obj(ADM, "ValidatingWebhookConfiguration", webhooks=HOOKS),
    obj(ADM, "MutatingWebhookConfiguration", webhooks=HOOKS),
    obj(ADM, "ValidatingAdmissionPolicy", spec={"matchConstraints": RULES, "validations": [{"expression": "true"}]}),
    obj(ADM, "ValidatingAdmissionPolicyBinding", spec={"policyName": "p", "validationActions": ["Deny"]}),
    obj(ADM, "MutatingAdmissionPolicy", spec={"matchConstraints": RULES, "mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]}),
    obj(ADM, "MutatingAdmissionPolicyBinding", spec={"policyName": "p"}),
    obj(FLOW, "FlowSchema", spec={"priorityLevelConfiguration": {"name": "global-default"}}),
    obj(FLOW, "PriorityLevelConfiguration", spec={"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}),
    obj(DRA, "ResourceClaim", spec=DEVICES), obj(DRA, "ResourceClaimTemplate", spec={"spec": DEVICES}),
    obj(DRA, "DeviceClass", spec={}),
    obj(DRA, "ResourceSlice", spec={"driver": "a.example.com", "nodeName": "n",
                                    "pool": {"name": "p", "resourceSliceCount": 1, "generation": 1}}),
]


@pytest.mark.parametrize("sent", OBJECTS, ids=lambda o: o["kind"])
async def test_a_kind_goes_through_every_verb(world: World, sent: Obj) -> None:
    """Create, get, list by label, watch, patch, update, status, delete collection; the watch tells of it in order."""
    client, kind = world.client, units.by_kind(sent["apiVersion"], sent["kind"])
    assert kind is not None
    namespace, name = "default" if kind.namespaced else None, sent["metadata"]["name"]
    events = await world.watch(f"{kind.path(namespace)}?labelSelector=a=b")
    created = await client.create(kind, sent)
    assert created == await client.get(kind, name, namespace)
    listed = await client.list(kind, namespace, selector="a=b")
    assert [item["metadata"]["uid"] for item in listed["items"]] == [created["metadata"]["uid"]]
    await client.patch(kind, name, {"metadata": {"annotations": {"patched": "yes"}}}, namespace, type="merge")
    read = await client.get(kind, name, namespace)
    read["metadata"]["annotations"]["updated"] = "yes"
    read["metadata"].pop("finalizers", None)  # no controller runs here that would take it off
    updated = await client.update(kind, read)
    assert updated["metadata"]["annotations"] == {"patched": "yes", "updated": "yes"}
    assert updated["metadata"].get("generation") == created["metadata"].get("generation")
    if "status" in kind.subresources:
        shown = await client.get(kind, name, namespace, subresource="status")
        assert shown["metadata"]["uid"] == created["metadata"]["uid"]
        await client.patch(kind, name, {"metadata": {"annotations": {"status": "yes"}}}, namespace, type="merge",
                           subresource="status")
    await client.delete_collection(kind, namespace, selector="a=b")
    assert (await client.list(kind, namespace, selector="a=b"))["items"] == []
    told = [event.type async for event in _until_deleted(events)]
    assert told[0] == "ADDED" and told[-1] == "DELETED" and set(told[1:-1]) == {"MODIFIED"}


async def _until_deleted(events: Any) -> Any:
    async for event in events:
        yield event
        if event.type == "DELETED":
            return


async def test_what_insists_on_a_version_is_not_replaced_blindly(world: World) -> None:
    """An update without a resourceVersion is refused by the kinds that say so; a RuntimeClass may be made by one."""
    path = f"/apis/{STORE}/csinodes"
    await world.send("POST", path, obj(STORE, "CSINode", spec={"drivers": []}))
    refused = await world.send("PUT", f"{path}/x", obj(STORE, "CSINode", spec={"drivers": []}))
    assert refused.status == 422 and "must be specified for an update" in str(refused.body)
    made = await world.send("PUT", "/apis/node.k8s.io/v1/runtimeclasses/x",
                            obj("node.k8s.io/v1", "RuntimeClass", handler="h"))
    assert made.status == 201


async def test_the_labels_of_a_slice_count(world: World) -> None:
    """They say which Service it belongs to; its annotations do not."""
    client = world.client
    await client.create("endpointslices", {**obj("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4"),
                                           "endpoints": [], "metadata": {"name": "x", "namespace": "default"}})
    for part, generation in (("annotations", 1), ("labels", 2)):
        changed = await client.patch("endpointslices", "x", {"metadata": {part: {"a": "b"}}}, "default", type="merge")
        assert changed["metadata"]["generation"] == generation


async def test_a_driver_has_a_generation_from_its_first_change_on(world: World) -> None:
    """Nothing counts its creation."""
    made = await world.client.create("csidrivers", obj(STORE, "CSIDriver", spec={}))
    assert "generation" not in made["metadata"]
    for seconds, counted in ((30, 1), (30, 1), (40, 2)):
        new = await world.client.patch("csidrivers", "x", {"spec": {"nodeAllocatableUpdatePeriodSeconds": seconds}},
                                       type="merge")
        assert new["metadata"]["generation"] == counted


async def test_endpoints_are_stored_in_one_layout(world: World) -> None:
    """Hosts with the same ports come together, in order, whatever was sent."""
    port = {"port": 80, "protocol": "TCP"}
    sent = [{"addresses": [{"ip": ip}], "ports": [port]} for ip in ("10.1.2.4", "10.1.2.3")]
    made = await world.client.create("endpoints", {
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "x", "namespace": "default"}, "subsets": sent})
    assert made["subsets"] == [{"addresses": [{"ip": "10.1.2.3"}, {"ip": "10.1.2.4"}], "ports": [port]}]
