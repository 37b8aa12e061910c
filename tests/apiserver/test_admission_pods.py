"""Priority, RuntimeClass, default classes and Pod Security: what else becomes of a pod on its way in."""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.units import Deployment

from .conftest import World, pod, refused

GOOD: Obj = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
             "seccompProfile": {"type": "RuntimeDefault"}}


async def test_a_priority_class_gives_number_and_policy(world: World) -> None:
    """By name or as the default; numbers of one's own are refused."""
    for name, value, fields in (("low", 5, {"globalDefault": True}), ("high", 9, {"preemptionPolicy": "Never"})):
        await world.client.create("priorityclasses", {"metadata": {"name": name}, "value": value, **fields})
    spec = (await world.client.create("pods", pod("a")))["spec"]
    assert (spec["priorityClassName"], spec["priority"]) == ("low", 5)
    spec = (await world.client.create("pods", pod("b", priorityClassName="high")))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (9, "Never")
    error = await refused(world.client.create("pods", pod("c", priority=7)))
    assert "the integer value of priority (7) must not be provided in pod spec" in error.message
    error = await refused(world.client.create("priorityclasses", {"metadata": {"name": "x"}, "value": 1,
                                                                  "globalDefault": True}))
    assert error.message.endswith("PriorityClass low is already marked as default. Only one default can exist")


async def test_a_runtime_class_adds_overhead_and_placement(world: World) -> None:
    """What the class says becomes the pod's; a class that is not there is refused."""
    await world.client.create("runtimeclasses", {
        "metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}})
    spec = (await world.client.create("pods", pod("a", runtimeClassName="vm", nodeSelector={"x": "y"})))["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "250m"}, {"x": "y", "vm": "yes"})
    assert "vm" in [t["key"] for t in spec["tolerations"]]
    error = await refused(world.client.create("pods", pod("b", runtimeClassName="nope")))
    assert error.message == 'pods "b" is forbidden: pod rejected: RuntimeClass "nope" not found'
    error = await refused(world.client.create("pods", pod("b", runtimeClassName="vm", nodeSelector={"vm": "no"})))
    assert "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no" in error.message


async def test_what_names_no_class_gets_the_default(world: World) -> None:
    """A claim its storage class; "" is a name too and stays."""
    mark = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    await world.client.create("storageclasses", {"metadata": {"name": "fast", **mark}, "provisioner": "x"})
    claim: Obj = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                                      "resources": {"requests": {"storage": "1Gi"}}}}
    assert (await world.client.create("pvc", claim))["spec"]["storageClassName"] == "fast"
    claim = {"metadata": {"name": "d"}, "spec": {**claim["spec"], "storageClassName": ""}}
    assert (await world.client.create("pvc", claim))["spec"]["storageClassName"] == ""


async def test_a_bound_pod_knows_its_zone(world: World) -> None:
    """The node's topology becomes the pod's labels; what the pod says itself stays."""
    labels = {"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r", "x": "y"}
    await world.client.create("nodes", {"metadata": {"name": "n1", "labels": labels}})
    await world.client.create("pods", {**pod("p"), "metadata": {"name": "p", "labels": {
        "topology.kubernetes.io/region": "mine"}}})
    await world.client.create("pods", {"metadata": {"name": "p"}, "target": {"name": "n1"}}, "default", name="p",
                              subresource="binding")
    assert (await world.client.get("pods", "p"))["metadata"]["labels"] == {
        "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "mine"}


async def labelled(world: World, **modes: str) -> None:
    labels = {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}
    await world.client.patch("namespaces", "default", {"metadata": {"labels": labels}})


async def test_a_namespace_may_ask_for_safe_pods(world: World) -> None:
    """enforce refuses the pod, with everything that is wrong about it."""
    await labelled(world, enforce="restricted")
    error = await refused(world.client.create("pods", pod("p")))
    assert error.message == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container '
        '"c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must '
        'set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
        'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")')
    await world.client.create("pods", pod("p", containers=[{"name": "c", "image": "x", "securityContext": GOOD}]))


async def test_workloads_are_warned_of(world: World) -> None:
    """A Deployment is not refused; who writes it learns what will become of its pods."""
    await labelled(world, enforce="restricted", warn="baseline")
    deployment = Deployment("w", image="nginx")
    deployment["spec"]["template"]["spec"]["hostNetwork"] = True
    response = await world.send("POST", "/apis/apps/v1/namespaces/default/deployments", deployment)
    assert response.status == 201
    assert response.headers["warning"] == \
        '299 - "would violate PodSecurity \\"baseline:latest\\": host namespaces (hostNetwork=true)"'


async def test_a_stricter_namespace_tells_of_its_pods(world: World) -> None:
    """The label is taken, with a warning of each pod that would not be admitted now; a wrong one is refused."""
    await world.client.create("pods", pod("p", hostPID=True))
    body = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    response = await world.send("PATCH", "/api/v1/namespaces/default", body,
                                headers={"content-type": "application/merge-patch+json"})
    assert response.headers["warning"] == (
        '299 - "existing pods in namespace \\"default\\" violate the new PodSecurity enforce level '
        '\\"baseline:latest\\""\n299 - "p: host namespaces"')
    error = await refused(labelled(world, enforce="strict"))
    assert (error.code, "must be one of privileged, baseline, restricted" in error.message) == (422, True)


async def test_a_pod_is_written_again_as_it_was_first(world: World) -> None:
    """What admission computed and added is not for its author to know: it is kept, or added again."""
    mine: Obj = pod("a", serviceAccountName="default", automountServiceAccountToken=False)
    first = await world.client.create("pods", mine)
    mine["spec"]["containers"][0]["image"] = "other"
    again = await world.client.update("pods", mine)
    assert again["spec"]["containers"][0]["image"] == "other"
    assert all(again["spec"][key] == first["spec"][key] for key in ("priority", "tolerations"))


async def test_labels_that_a_pod_selects_by_get_its_own_values(world: World) -> None:
    """The keys become rules of the selectors, once."""
    keys = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["app", "none"]}
    mine: Obj = pod("a", affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {**keys, "mismatchLabelKeys": ["tenant"]}]}},
        topologySpreadConstraints=[{**keys, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}])
    mine["metadata"]["labels"] = {"app": "web", "tenant": "t"}
    spec = (await world.client.create("pods", mine))["spec"]
    same = {"key": "app", "operator": "In", "values": ["web"]}
    [term] = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchExpressions"] == [same, {"key": "tenant", "operator": "NotIn", "values": ["t"]}]
    assert spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"] == [same]


async def test_a_kubelet_that_tells_less_takes_nothing_back(world: World) -> None:
    """The class of service stays, and so does the generation that a condition is of."""
    await world.client.create("pods", pod("a"))
    for condition in ({"observedGeneration": 1}, {}):
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", **condition}]}
        told = await world.client.update("pods", {"metadata": {"name": "a"}, "status": status}, subresource="status")
        assert told["status"]["qosClass"] == "BestEffort"
        assert told["status"]["conditions"][0]["observedGeneration"] == 1
