from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.admission import admit
from kubelab.node.kubelet.resources import pod_requests

from .scenes import container, pod

NODE: Obj = {"metadata": {"name": "node-1", "labels": {"disk": "ssd"}}, "spec": {},
             "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "3"}}}


def asks(cpu: str, **more: Any) -> Obj:
    return container("c", resources={"requests": {"cpu": cpu}}, **more)


def verdict(made: Obj, node: Obj = NODE, *, pods: int = 0, ports: Any = (), **used: int) -> str:
    found = admit(made, pod_requests(made["spec"]), node, used, pods, ports)
    return "" if found is None else f"{found.reason}: {found.message}"


def affinity(*expressions: Obj, fields: list[Obj] | None = None) -> Obj:
    term: Obj = {"matchExpressions": list(expressions)} if expressions else {}
    if fields:
        term["matchFields"] = fields
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def test_what_fits_is_admitted() -> None:
    """Requests within what is left are no reason to refuse."""
    assert verdict(pod(asks("3")), cpu=1000) == ""


def test_what_does_not_fit_is_out_of_that_resource() -> None:
    """The message counts as the kubelet does: what is asked, used and there."""
    assert verdict(pod(asks("3500m")), cpu=1000) == (
        "OutOfcpu: Pod was rejected: Node didn't have enough resource: cpu, requested: 3500, used: 1000, "
        "capacity: 4000")
    assert verdict(pod(), pods=3).startswith("OutOfpods: ")


@pytest.mark.parametrize(("spec", "fits"), [
    ({"nodeSelector": {"disk": "ssd"}}, True), ({"nodeSelector": {"disk": "hdd"}}, False),
    ({"affinity": affinity({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]})}, True),
    ({"affinity": affinity({"key": "disk", "operator": "NotIn", "values": ["ssd"]})}, False),
    ({"affinity": affinity({"key": "gpu", "operator": "Exists"})}, False),
    ({"affinity": affinity({"key": "gpu", "operator": "DoesNotExist"})}, True),
    ({"affinity": affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["node-1"]}])}, True)])
def test_selector_and_affinity_must_match_the_node(spec: Obj, fits: bool) -> None:
    """A pod that was sent to a node it does not select is refused."""
    assert (verdict(pod(**spec)) == "") is fits
    assert fits or verdict(pod(**spec)).startswith("NodeAffinity: Pod was rejected: Predicate NodeAffinity failed")


def test_no_execute_taints_must_be_tolerated() -> None:
    """NoSchedule is the scheduler's matter, NoExecute the node's too."""
    tainted = NODE | {"spec": {"taints": [{"key": "out", "effect": "NoExecute"}, {"key": "s", "effect": "NoSchedule"}]}}
    assert verdict(pod(), tainted).startswith("TaintToleration: ")
    assert verdict(pod(tolerations=[{"key": "out", "operator": "Exists"}]), tainted) == ""


def test_a_taken_host_port_is_refused() -> None:
    """Two pods of one node cannot hold the same host port."""
    made = pod(container("c", ports=[{"containerPort": 80, "hostPort": 8080}]))
    assert verdict(made, ports=[("", "TCP", 8080)]).startswith("NodePorts: ")


def test_requests_of_a_pod_count_init_steps_and_sidecars() -> None:
    """Containers and sidecars add up; an init container counts beside the sidecars before it, if that is more."""
    proxy = container("p", restartPolicy="Always", resources={"requests": {"cpu": "100m"}})
    made = pod(asks("1"), init=[proxy, container("i", resources={"requests": {"cpu": "3"}})])
    assert pod_requests(made["spec"])["cpu"] == 3100
    assert pod_requests(pod(asks("1"), container("d", resources={"limits": {"cpu": "2"}}))["spec"])["cpu"] == 3000
