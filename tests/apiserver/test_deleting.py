"""Delete: at once, gracefully, or when the last finalizer goes."""

from __future__ import annotations

from kubelab.machinery.request import Obj

from .conftest import World, config_map, pod, refused


async def bound(world: World, name: str, **spec: object) -> Obj:
    await world.client.create("pods", pod(name, **spec))
    await world.client.create("pods", {"metadata": {"name": name}, "target": {"name": "n1"}}, "default", name=name,
                              subresource="binding")
    return await world.client.get("pods", name)


async def test_what_nothing_holds_goes_at_once(world: World) -> None:
    """The answer is a Status with the uid of what is gone."""
    made = await world.client.create("cm", config_map("a"))
    answer = await world.client.delete("cm", "a")
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await refused(world.client.get("cm", "a"))).message == 'configmaps "a" not found'


async def test_some_kinds_are_answered_with(world: World) -> None:
    """A client is given the last state of what held storage, devices or credentials."""
    sent = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "s"}, "provisioner": "p"}
    made = await world.client.create("storageclasses", sent)
    assert (await world.client.delete("storageclasses", "s"))["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_running_pod_gets_its_grace(world: World) -> None:
    """deletionTimestamp lies in the future; the kubelet's delete with grace 0 ends it."""
    await bound(world, "p", terminationGracePeriodSeconds=7)
    marked = (await world.client.delete("pods", "p"))["metadata"]
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"]) == ("2026-01-02T03:04:12Z", 7)
    again = (await world.client.delete("pods", "p"))["metadata"]
    assert again["resourceVersion"] == marked["resourceVersion"]
    await world.clock.step(1)
    shorter = (await world.client.delete("pods", "p", grace_period_s=3))["metadata"]  # counted from the beginning
    assert (shorter["deletionTimestamp"], shorter["deletionGracePeriodSeconds"]) == ("2026-01-02T03:04:08Z", 3)
    await world.client.delete("pods", "p", grace_period_s=0)
    assert (await refused(world.client.get("pods", "p"))).code == 404


async def test_a_pod_on_no_node_goes_at_once(world: World) -> None:
    """Nobody could end it gracefully."""
    await world.client.create("pods", pod("p"))
    await world.client.delete("pods", "p")
    assert (await refused(world.client.get("pods", "p"))).code == 404


async def test_a_finalizer_holds_and_its_removal_ends(world: World) -> None:
    """While it terminates no finalizer may be added; with the last one the object is gone."""
    held = config_map("a")
    held["metadata"]["finalizers"] = ["example.com/f"]
    await world.client.create("cm", held)
    assert "deletionTimestamp" in (await world.client.delete("cm", "a"))["metadata"]
    more = {"metadata": {"finalizers": ["example.com/f", "example.com/g"]}}
    error = await refused(world.client.patch("cm", "a", more))
    assert "no new finalizers can be added if the object is being deleted" in error.message
    await world.client.patch("cm", "a", {"metadata": {"finalizers": None}})
    assert (await refused(world.client.get("cm", "a"))).code == 404


async def test_some_kinds_answer_with_what_is_gone(world: World) -> None:
    """A Service as it was, at the revision of its end; only pods are marked on their way."""
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    made = (await world.client.create("services", service))["metadata"]
    dry = (await world.send("DELETE", "/api/v1/namespaces/default/services/s?dryRun=All")).body
    gone = await world.client.delete("services", "s")
    assert isinstance(dry, dict) and dry["metadata"] == made
    assert gone["metadata"] == made | {"resourceVersion": gone["metadata"]["resourceVersion"]}
    assert int(gone["metadata"]["resourceVersion"]) > int(made["resourceVersion"])


async def test_what_a_kind_does_with_its_dependents(world: World) -> None:
    """A controller of old orphans them whatever else holds it, unless asked to do otherwise; an Event has none."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await world.client.create("rc", {"metadata": {"name": "a", "finalizers": ["a.b/c"]},
                                     "spec": {"selector": {"a": "b"}, "template": template}})
    assert (await world.client.delete("rc", "a"))["metadata"]["finalizers"] == ["a.b/c", "orphan"]
    await world.client.create("events", {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}})
    await world.client.delete("events", "e", propagation="Foreground")
    assert (await refused(world.client.get("events", "e"))).code == 404


async def test_the_policy_becomes_a_finalizer(world: World) -> None:
    """Foreground and Orphan leave the object to the garbage collector."""
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        await world.client.create("cm", config_map(policy.lower()))
        left = await world.client.delete("cm", policy.lower(), propagation=policy)
        assert left["metadata"]["finalizers"] == [finalizer]


async def test_preconditions_are_kept(world: World) -> None:
    """A delete that means another object of this name is a conflict."""
    await world.client.create("cm", config_map("a"))
    error = await refused(world.client.delete("cm", "a", uid="other"))
    assert (error.code, "does not match the UID in record" in error.message) == (409, True)
    assert (await refused(world.client.delete("cm", "a", resource_version="1"))).code == 409


async def test_a_collection_is_deleted_by_selector(world: World) -> None:
    """deletecollection takes what a list with the same selector shows."""
    for name in ("a", "b", "c"):
        obj = config_map(name)
        obj["metadata"]["labels"] = {"keep": "yes" if name == "b" else "no"}
        await world.client.create("cm", obj)
    response = await world.send("DELETE", "/api/v1/namespaces/default/configmaps?labelSelector=keep=no")
    assert isinstance(response.body, dict)
    assert [item["metadata"]["name"] for item in response.body["items"]] == ["a", "c"]
    assert [i["metadata"]["name"] for i in (await world.client.list("cm", "default"))["items"]] == ["b"]


async def test_a_namespace_waits_for_its_controller(world: World) -> None:
    """It is Terminating, refuses new content, and goes when /finalize takes the last finalizer."""
    await world.client.create("ns", {"metadata": {"name": "x"}})
    gone = await world.client.delete("ns", "x")
    assert gone["status"]["phase"] == "Terminating"
    error = await refused(world.client.create("cm", config_map("a"), "x"))
    assert (error.code, "because it is being terminated" in error.message) == (403, True)
    await world.send("PUT", "/api/v1/namespaces/x/finalize", {**gone, "spec": {}})
    assert (await refused(world.client.get("ns", "x"))).code == 404


async def test_some_namespaces_stay(world: World) -> None:
    """default and the system's namespaces may not be deleted."""
    error = await refused(world.client.delete("ns", "default"))
    assert error.message == 'namespaces "default" is forbidden: this namespace may not be deleted'


async def test_the_priorities_of_the_system_stay(world: World) -> None:
    """Pods that the cluster needs count on them."""
    error = await refused(world.client.delete("pc", "system-node-critical"))
    assert (error.code, error.message) == (403, 'priorityclasses.scheduling.k8s.io "system-node-critical" is '
                                                "forbidden: this is a system priority class and cannot be deleted")
