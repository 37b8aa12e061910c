"""Nodes that fall silent, and what becomes of their pods."""

from __future__ import annotations

from typing import Any

from kubelab.machinery.clock import micro_timestamp

UNREACHABLE = "node.kubernetes.io/unreachable"


async def renew(world: Any, node: str) -> None:
    """Renew a node's lease as its kubelet does."""
    spec = {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": micro_timestamp(world.manager.clock.now())}
    await world.client.patch("leases", node, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                                              "metadata": {"name": node}, "spec": spec}, "kube-node-lease",
                             type="apply", field_manager=node, force=True)


def pod(name: str, node: str, *, tolerates_s: int | None = None) -> Any:
    tolerations = [] if tolerates_s is None else [
        {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": tolerates_s}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": node, "containers": [{"name": "c", "image": "nginx"}], "terminationGracePeriodSeconds": 0,
        "tolerations": tolerations}}


async def test_a_silent_node_is_found_and_forgiven(make_world: Any) -> None:
    """One of two nodes stops renewing: Unknown, tainted, its pods not ready and evicted; then it comes back."""
    world = await make_world(2, node_grace_s=0.4)
    await world.client.create("pods", pod("stays", "node-2", tolerates_s=300))
    await world.client.create("pods", pod("goes", "node-2", tolerates_s=300))
    await world.client.create("pods", pod("leaves", "node-2", tolerates_s=1))

    async def silent() -> Any:
        await renew(world, "node-1")
        node = await world.client.get("nodes", "node-2")
        ready, = (c for c in node["status"]["conditions"] if c["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown"), ready
        assert {(t["key"], t["effect"]) for t in node["spec"]["taints"]} == {
            (UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}, node["spec"]
        stays = await world.client.get("pods", "stays")
        conditions = {c["type"]: c["status"] for c in stays["status"]["conditions"]}
        return conditions["Ready"] == "False"

    await world.until(silent)

    async def evicted() -> Any:
        await renew(world, "node-1")
        return {p["metadata"]["name"] for p in await world.items("pods")} == {"stays", "goes"}

    await world.until(evicted)
    await world.client.delete("pods", "goes")

    async def told() -> bool:
        events = {(about, reason, message) for about, _, reason, message, _ in await world.events()}
        return {("Pod/leaves", "TaintManagerEviction", "Marking for deletion Pod default/leaves"),
                ("Pod/goes", "TaintManagerEviction", "Cancelling deletion of Pod default/goes"),
                ("Pod/stays", "NodeNotReady", "Node is not ready"),
                ("Node/node-2", "NodeNotReady", "Node node-2 status is now: NodeNotReady")} <= events

    await world.until(told)
    node = await world.client.get("nodes", "node-1")
    assert "taints" not in node["spec"]

    await world.kubelets.post_status("node-2")

    async def back() -> Any:
        await renew(world, "node-1")
        await renew(world, "node-2")
        found = await world.client.get("nodes", "node-2")
        return not found["spec"].get("taints")

    await world.until(back)


async def test_all_nodes_silent_evicts_nobody(make_world: Any) -> None:
    """When every node is silent the taints NoSchedule tell so, and NoExecute is held back."""
    world = await make_world(2, node_grace_s=0.2)

    async def told() -> Any:
        taints = [t["effect"] for node in await world.items("nodes", None) for t in node["spec"].get("taints") or ()]
        assert taints == ["NoSchedule", "NoSchedule"], taints
        return True

    await world.until(told)


async def test_a_cordoned_node_is_tainted(world: Any) -> None:
    """`kubectl cordon` sets spec.unschedulable; the taint follows, and goes again."""
    key = "node.kubernetes.io/unschedulable"
    await world.client.patch("nodes", "node-1", {"spec": {"unschedulable": True}})

    async def taints() -> Any:
        return [t["key"] for t in (await world.client.get("nodes", "node-1"))["spec"].get("taints") or ()]

    async def cordoned() -> bool:
        return bool(await taints() == [key])

    async def free() -> bool:
        return not await taints()

    await world.until(cordoned)
    await world.client.patch("nodes", "node-1", {"spec": {"unschedulable": None}})
    await world.until(free)


async def test_pods_of_a_deleted_node_go(make_world: Any) -> None:
    """A pod whose node object is gone is marked and taken away without its kubelet."""
    world = await make_world(2, pod_quarantine_s=0.1)
    world.kubelets.silent.add("node-2")
    await world.client.create("pods", pod("lost", "node-2"))
    await world.client.delete("nodes", "node-2")

    async def gone() -> bool:
        return not await world.items("pods")

    await world.until(gone)
