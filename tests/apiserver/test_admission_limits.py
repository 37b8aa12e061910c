"""LimitRanger and ResourceQuota: what a pod and a namespace may use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.units.quota_usage import counts, usage_of

from .conftest import World, config_map, pod, refused


def sized(name: str, requests: Obj | None = None, limits: Obj | None = None, **spec: object) -> Obj:
    resources = {"requests": requests or {}, "limits": limits or {}}
    return pod(name, containers=[{"name": "c", "image": "nginx", "resources": resources}], **spec)


async def limit_range(world: World, **limit: object) -> None:
    await world.client.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limit]}})


async def quota(world: World, hard: Obj, name: str = "q", **spec: object) -> None:
    """Make a quota that its controller has counted."""
    await world.client.create("quota", {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    await world.client.patch("quota", name, {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}},
                             subresource="status")


async def used(world: World, name: str = "q") -> Obj:
    status: Obj = (await world.client.get("quota", name))["status"]
    return dict(status["used"])


async def test_containers_get_the_defaults_of_their_namespace(world: World) -> None:
    """They are written into the pod, with a note, and count for its quality of service."""
    await limit_range(world, type="Container", default={"cpu": "200m"}, defaultRequest={"cpu": "100m"})
    made = await world.client.create("pods", pod("a"))
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}
    assert made["metadata"]["annotations"] == {"kubernetes.io/limit-ranger":
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"}
    assert made["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(("limit", "requests", "limits", "why"), [
    ({"max": {"cpu": "1"}}, {"cpu": "2"}, {"cpu": "2"}, "maximum cpu usage per Container is 1, but limit is 2"),
    ({"min": {"memory": "64Mi"}}, {"memory": "32Mi"}, {}, "minimum memory usage per Container is 64Mi, but request is "
                                                          "32Mi"),
    ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "100m"}, {"cpu": "1"},
     "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000"),
    ({"type": "Pod", "max": {"cpu": "1"}}, {}, {}, "maximum cpu usage per Pod is 1.  No limit is specified"),
])
async def test_what_is_out_of_bounds_is_refused(world: World, limit: Obj, requests: Obj, limits: Obj, why: str) -> None:
    """In Kubernetes' words."""
    await limit_range(world, **{"type": "Container", **limit})
    assert (await refused(world.client.create("pods", sized("b", requests, limits)))).message == \
        f'pods "b" is forbidden: {why}'


async def test_claims_have_bounds_too(world: World) -> None:
    """The storage that is asked for."""
    await limit_range(world, type="PersistentVolumeClaim", max={"storage": "1Gi"})
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                                 "resources": {"requests": {"storage": "2Gi"}}}}
    assert (await refused(world.client.create("pvc", claim))).message.endswith(
        "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi")


async def test_a_quota_is_never_exceeded(world: World) -> None:
    """Of ten creates at the same time three pass, and the quota says three."""
    await quota(world, {"pods": "3", "requests.cpu": "1"})
    outcomes = await asyncio.gather(*(world.client.create("pods", sized(f"p{i}", {"cpu": "100m"})) for i in range(10)),
                                    return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert len(errors) == 7
    assert await used(world) == {"pods": "3", "requests.cpu": "300m"}
    error = await refused(world.client.create("pods", sized("x", {"cpu": "100m"})))
    assert error.message == 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3'
    assert error.code == 403


async def test_only_what_is_over_is_named(world: World) -> None:
    """Several resources are listed in order, with their units."""
    await quota(world, {"pods": "5", "requests.cpu": "1", "requests.memory": "1Gi"})
    error = await refused(world.client.create("pods", sized("x", {"cpu": "2", "memory": "2Gi"})))
    assert error.message.endswith("exceeded quota: q, requested: requests.cpu=2,requests.memory=2Gi, "
                                  "used: requests.cpu=0,requests.memory=0, limited: requests.cpu=1,requests.memory=1Gi")


async def test_who_is_counted_must_say_how_much(world: World) -> None:
    """A quota of cpu obliges every container to ask for some."""
    await quota(world, {"requests.cpu": "1", "limits.memory": "1Gi"})
    error = await refused(world.client.create("pods", pod("x")))
    assert error.message.endswith("failed quota: q: must specify limits.memory for: c; requests.cpu for: c")


async def test_a_quota_counts_from_when_its_controller_has_seen_it(world: World) -> None:
    """What it limits stands in its status; half of a status admits nothing."""
    await world.client.create("quota", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    await world.client.create("pods", pod("x"))
    status = {"hard": {"pods": "3", "cpu": "1", "services": "1"}}
    await world.client.patch("quota", "q", {"status": status}, subresource="status")
    error = await refused(world.client.create("pods", sized("y", {"cpu": "1"})))
    assert error.message.endswith("status unknown for quota: q, resources: cpu,pods")
    await world.client.create("cm", config_map("a"))


async def test_a_claim_grows_only_where_its_class_lets_it(world: World) -> None:
    """And once it is bound."""
    for name, grows in (("grows", True), ("stays", False)):
        await world.client.create("storageclasses", {"metadata": {"name": name}, "provisioner": "x.io/y",
                                                     "allowVolumeExpansion": grows})
        await world.client.create("pvc", {"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": name}})
        await world.client.patch("pvc", name, {"status": {"phase": "Bound"}}, subresource="status")
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert (await world.client.patch("pvc", "grows", more))["spec"]["resources"]["requests"] == {"storage": "2Gi"}
    error = await refused(world.client.patch("pvc", "stays", more))
    assert error.message == ('persistentvolumeclaims "stays" is forbidden: only dynamically provisioned pvc can be '
                             "resized and the storageclass that provisions the pvc must support resize")


async def test_objects_of_any_kind_are_counted(world: World) -> None:
    """Under their old names and under count/; a dry run and a refused create take nothing."""
    await quota(world, {"configmaps": "2", "count/configmaps": "2", "count/deployments.apps": "0"})
    await world.client.create("cm", config_map("a"))
    await world.client.create("cm", config_map("b"), dry_run=True)
    await refused(world.client.create("cm", config_map("a")))
    assert await used(world) == {"configmaps": "1", "count/configmaps": "1", "count/deployments.apps": "0"}
    error = await refused(world.client.create("deploy", {"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("p")[
            "spec"]}}}))
    assert error.message == ('deployments.apps "d" is forbidden: exceeded quota: q, requested: count/deployments.apps=1'
                             ", used: count/deployments.apps=0, limited: count/deployments.apps=0")


async def test_a_service_pays_for_its_node_ports(world: World) -> None:
    """Also when an update makes it need them."""
    await quota(world, {"services": "5", "services.nodeports": "1"})
    await world.client.create("svc", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    await world.client.patch("svc", "s", {"spec": {"type": "NodePort"}})
    assert await used(world) == {"services": "1", "services.nodeports": "1"}
    service: Any = {"metadata": {"name": "t"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    assert (await refused(world.client.create("svc", service))).code == 403


async def test_scopes_choose_pods(world: World) -> None:
    """Best effort or not, ending or not: each quota counts its own."""
    await quota(world, {"pods": "5"}, "best", scopes=["BestEffort"])
    await quota(world, {"pods": "5"}, "rest", scopes=["NotBestEffort"])
    await quota(world, {"pods": "5"}, "ends", scopes=["Terminating"])
    await world.client.create("pods", pod("a"))
    await world.client.create("pods", sized("b", {"cpu": "1"}, activeDeadlineSeconds=5))
    assert [(await used(world, name))["pods"] for name in ("best", "rest", "ends")] == ["1", "1", "1"]


@pytest.mark.parametrize(("rule", "counted"), [
    ({"operator": "In", "values": ["high"]}, True), ({"operator": "NotIn", "values": ["high"]}, False),
    ({"operator": "Exists"}, True), ({"operator": "DoesNotExist"}, False)])
def test_a_scope_selector_asks_for_the_class(rule: Obj, counted: bool) -> None:
    """Of pods by the name of their priority class; objects of other kinds have none."""
    selector = {"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", **rule}]}}}
    assert counts(selector, "pods", "", pod("p", priorityClassName="high")) == counted
    assert not counts(selector, "configmaps", "", config_map("a"))


def test_a_finished_pod_is_an_object_and_no_more() -> None:
    """What it asked for is free again."""
    done = {**sized("p", {"cpu": "1"}), "status": {"phase": "Succeeded"}}
    assert usage_of("pods", "", done) == {"count/pods": 1}


def test_a_balancer_pays_for_the_node_ports_that_it_gets() -> None:
    """All of its ports, or those it names when it wants none of its own."""
    ports = [{"port": 80}, {"port": 81, "nodePort": 30081}]
    for wants, count in ((True, 2), (False, 1)):
        service = {"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": wants, "ports": ports}}
        assert usage_of("services", "", service)["services.nodeports"] == count


def test_a_claim_pays_for_what_it_asks_or_has_been_given() -> None:
    """Whichever is more, also of its class, wherever its manifest names it."""
    claim = {"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "fast"}},
             "spec": {"resources": {"requests": {"storage": "1Gi"}}},
             "status": {"allocatedResources": {"storage": "2Gi"}}}
    usage = usage_of("persistentvolumeclaims", "", claim)
    assert usage["requests.storage"] == usage["fast.storageclass.storage.k8s.io/requests.storage"] == 2 << 30
