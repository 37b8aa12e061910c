"""The scheduler's cache: sums that are always right, whatever comes in which order."""

from __future__ import annotations

import random
from typing import Any

from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, pod_amounts, requests_of


def test_sums_survive_any_order(cluster: Any, pod: Any, node: Any) -> None:
    """After random assumptions, confirmations, deletions and node changes the sums equal a fresh count."""
    lot = random.Random(7)
    cache = cluster(*(node(f"n{i}") for i in range(3)))
    pods = [pod(f"p{i}", labels={"app": str(i % 3)}, requests={"cpu": f"{i}m", "memory": "1Mi"},
                ports=[{"containerPort": 1, "hostPort": 7000 + i % 5}]) for i in range(40)]
    for _ in range(500):
        one, name = lot.choice(pods), f"n{lot.randrange(3)}"
        act = lot.randrange(5)
        if act == 0 and one.uid not in cache.pods:
            cache.assume(one, name)
        elif act == 1:
            cache.forget(one)
        elif act == 2:
            cache.remove_pod(one.uid)
            one.node_name = name
            cache.set_pod(one)
        elif act == 3:
            cache.remove_pod(one.uid)
        else:
            cache.remove_node(name)
            cache.set_node(node(name))
    for info in cache.node_list:
        fresh = NodeInfo(info.obj)
        here = [p for p in cache.pods.values() if p.node_name == info.name]
        for one in here:
            fresh.add(one)
        assert set(info.pods) == {p.uid for p in here}
        assert (info.used_cpu_m, info.used_memory_bytes, info.used_ports, info.scored_cpu_m) == (
            fresh.used_cpu_m, fresh.used_memory_bytes, fresh.used_ports, fresh.scored_cpu_m)
    assert sum(n for group in cache.groups.values() for n in group.values()) == len(cache.pods)


def test_a_pod_may_come_before_its_node(cluster: Any, pod: Any, node: Any) -> None:
    """A pod on a node that is not known yet is counted when the node appears."""
    cache = cluster(node("n1"))
    cache.set_pod(pod("p", requests={"cpu": "1"}, node="late"))
    cache.set_node(node("late"))
    assert cache.nodes["late"].used_cpu_m == 1000


def test_init_containers_and_sidecars_count_as_kubernetes_says() -> None:
    """The largest init phase counts if it is more than all containers together; sidecars count with both."""

    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec: dict[str, Any] = {"containers": [container("1"), container("2")], "overhead": {"cpu": "100m"}}
    assert requests_of(spec).cpu_m == 3100
    spec["initContainers"] = [container("5")]
    assert requests_of(spec).cpu_m == 5100
    spec["initContainers"] = [container("1", restartPolicy="Always"), container("5")]
    assert requests_of(spec).cpu_m == 6100
    assert pod_amounts({"containers": [{}]}, assume_minimum=True) == {"cpu": 100, "memory": 200 * 1024 * 1024}
