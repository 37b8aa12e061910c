"""DaemonSets: a pod on every node that will have one, replaced bit by bit, back to any template they had."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.control_plane.controllers import daemon_plan, revisions
from kubelab.control_plane.controllers.daemon_plan import fit, is_current, meant_for, node_of, plan_daemons, plan_update

from .conftest import World

NOW = 1_767_323_045.0


def daemon(**spec: Any) -> dict[str, Any]:
    out = units.DaemonSet("d", image="nginx")
    out["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    out["spec"]["template"]["spec"] |= spec
    return out


def node(name: str, *taints: tuple[str, str], **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels},
            "spec": {"taints": [{"key": key, "effect": effect} for key, effect in taints]}}


def pod(name: str, on: str, digest: str = "new", ready: bool = True, phase: str = "Running") -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {"metadata": {"name": name, "uid": name, "labels": {daemon_plan.HASH_LABEL: digest}},
            "spec": {"nodeName": on}, "status": {"phase": phase, "conditions": [condition]}}


@pytest.mark.parametrize(("spec", "where", "fits"), [
    ({}, node("a"), (True, True)),
    ({}, node("a", ("node.kubernetes.io/not-ready", "NoExecute")), (True, True)),
    ({}, node("a", ("node.kubernetes.io/unschedulable", "NoSchedule")), (True, True)),
    ({}, node("a", ("gpu", "NoSchedule")), (False, True)),
    ({}, node("a", ("gpu", "NoExecute")), (False, False)),
    ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, node("a", ("gpu", "NoExecute")), (True, True)),
    ({"nodeSelector": {"disk": "ssd"}}, node("a"), (False, False)),
    ({"nodeSelector": {"disk": "ssd"}}, node("a", disk="ssd"), (True, True)),
])
def test_a_daemon_belongs_on_nodes_that_take_it(spec: Any, where: Any, fits: tuple[bool, bool]) -> None:
    """Illness of a node does not keep daemons away; selectors and other taints do."""
    assert fit(daemon(**spec), where) == fits


def test_missing_pods_are_made_and_surplus_ones_given_up() -> None:
    """One pod a node; failed ones are replaced; none where none belongs."""
    nodes = [node("a"), node("b"), node("c", ("gpu", "NoExecute"))]
    plan = plan_daemons(daemon(), nodes, [pod("1", "b"), pod("2", "b"), pod("3", "c")])
    assert plan.create == ("a",)
    assert [p["metadata"]["name"] for p in plan.delete] == ["2", "3"]
    failed = plan_daemons(daemon(), [node("a")], [pod("1", "a", phase="Failed")])
    assert [p["metadata"]["name"] for p in failed.ended] == ["1"] and failed.delete == failed.ended


def test_an_update_takes_one_node_at_a_time() -> None:
    """Broken old pods go at once; of the working ones as many as may be missing."""
    it, belongs = daemon(), {"a": True, "b": True, "c": True}
    old = [pod("1", "a", "old"), pod("2", "b", "old"), pod("3", "c", "old")]
    assert [p["metadata"]["name"] for p in plan_update(it, belongs, old, "new", NOW).delete] == ["1"]
    half = [pod("1", "a", "new", ready=False), *old[1:]]
    assert plan_update(it, belongs, half, "new", NOW).delete == ()
    sick = [pod("1", "a", "old", ready=False), *old[1:]]
    assert [p["metadata"]["name"] for p in plan_update(it, belongs, sick, "new", NOW).delete] == ["1", "2"]
    it["spec"]["updateStrategy"]["rollingUpdate"] = {"maxUnavailable": 0, "maxSurge": 1}
    assert plan_update(it, belongs, old, "new", NOW).create == ("a",)
    both = [*old, pod("4", "a", "new")]
    again = plan_update(it, belongs, both, "new", NOW)
    assert ([p["metadata"]["name"] for p in again.delete], again.create) == (["1"], ("b",))
    assert plan_update(it, belongs, sick, "new", NOW).create == ("a", "b")
    waiting = [*old, pod("4", "a", "new", ready=False)]
    assert plan_update(it, belongs, waiting, "new", NOW) == plan_update(it, {}, [], "new", NOW)


def test_a_second_pod_on_a_node_is_there_for_a_surge_alone() -> None:
    """Beside a ready one of the old template, until it is available itself."""
    it, nodes = daemon(), [node("a")]

    def over(*pods: dict[str, Any]) -> list[str]:
        return [p["metadata"]["name"] for p in plan_daemons(it, nodes, pods, "new", NOW).delete]

    old, new = pod("1", "a", "old"), pod("2", "a", ready=False)
    assert over(old, new) == ["2"]
    it["spec"]["updateStrategy"]["rollingUpdate"] = {"maxUnavailable": 0, "maxSurge": 1}
    assert over(old, new) == []
    assert over(old, new, pod("3", "a")) == ["3"]
    assert over(old, pod("2", "a")) == ["1"]
    assert over(pod("1", "a", "old", ready=False), new) == ["1"]


def test_the_oldest_pod_of_a_node_counts() -> None:
    """While it goes as well; until it has gone, its node has a pod."""
    leaving = pod("1", "a", "old")
    leaving["metadata"]["deletionTimestamp"] = "x"
    status = daemon_plan.status_of(daemon(), {"a": True}, [leaving, pod("2", "a")], "new", NOW)
    assert (status["currentNumberScheduled"], status["numberReady"]) == (1, 1)
    assert "updatedNumberScheduled" not in status


def test_a_pod_is_meant_for_one_node() -> None:
    """By node affinity on the node's name, so that the scheduler still has a say; by node name once bound."""
    made = meant_for({"metadata": {}, "spec": {"containers": []}}, "a")
    assert node_of(made) == "a" and len(made["spec"]["tolerations"]) == 6
    assert is_current(daemon(), pod("1", "a", "x"), "x")


def test_only_unused_revisions_are_forgotten() -> None:
    """The oldest first, beyond the limit."""
    known = [{"metadata": {"name": f"d-{i}"}, "revision": i} for i in range(5)]
    assert [r["revision"] for r in revisions.to_forget(known, {"d-0", "d-4"}, 1)] == [1, 2]


async def test_a_daemon_set_follows_its_nodes_and_its_template(world: World) -> None:
    """A pod a node; a node more, a pod more; a new image reaches all of them and leaves the old revision behind."""
    await world.client.create("daemonsets", units.DaemonSet("agent", image="nginx:1.28"))

    async def ready(count: int, image: str) -> Any:
        found = (await world.client.get("daemonsets", "agent"))["status"]
        pods = await world.items("pods")
        assert found.get("numberReady") == found.get("updatedNumberScheduled") == len(pods) == count, found
        assert {p["spec"]["containers"][0]["image"] for p in pods} == {image}
        return {p["spec"]["nodeName"] for p in pods}

    assert await world.until(lambda: ready(2, "nginx:1.28")) == {"node-1", "node-2"}
    await world.kubelets.add_node("node-3")
    await world.until(lambda: ready(3, "nginx:1.28"))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": "nginx:1.29"}]}}}}
    await world.client.patch("daemonsets", "agent", patch, type="strategic")
    await world.until(lambda: ready(3, "nginx:1.29"))
    assert sorted(r["revision"] for r in await world.items("controllerrevisions")) == [1, 2]
