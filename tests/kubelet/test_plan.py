from __future__ import annotations

import pytest

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.observed import Health, Observed
from kubelab.node.kubelet.plan import Plan, plan_pod
from kubelab.node.runtime.protocol import Sandbox

from .scenes import REF, container, pod, ran, world

SIDECAR = container("proxy", restartPolicy="Always")


def plan(made: Obj, observed: Observed, **healths: Health) -> Plan:
    return plan_pod(made["spec"], observed, {k.replace("_", "-"): v for k, v in healths.items()})


def test_a_new_pod_gets_a_sandbox_and_all_its_containers() -> None:
    """Without init containers everything starts at once."""
    assert plan(pod(container("a"), container("b")), world(sandbox=False)) == Plan(True, (), ("a", "b"))


def test_init_containers_run_one_after_the_other() -> None:
    """The next init container starts when the one before has succeeded, the pod's containers after the last."""
    made = pod(container("main"), init=[container("one"), container("two")])
    assert plan(made, world(sandbox=False)) == Plan(True, (), ("one",))
    assert plan(made, world(ran("one"))).empty
    assert plan(made, world(ran("one", "exited"))).start == ("two",)
    assert plan(made, world(ran("one", "exited"), ran("two", "exited"))).start == ("main",)


def test_a_failed_init_container_is_run_again_unless_the_policy_is_never() -> None:
    """restartPolicy Never makes a failed init container final."""
    failed = world(ran("one", "exited", code=1))
    assert plan(pod(init=[container("one")]), failed).start == ("one",)
    assert plan(pod(init=[container("one")], restartPolicy="Never"), failed).empty


def test_a_sidecar_lets_the_next_one_start_once_it_has_started() -> None:
    """A restartable init container is not waited for, only its startup probe is."""
    made = pod(init=[SIDECAR | {"startupProbe": {}}, container("two")])
    assert plan(made, world(ran("proxy"))).empty
    assert plan(made, world(ran("proxy")), proxy_0=Health(started=True)).start == ("two",)


def test_a_sidecar_is_restarted_beside_running_containers_and_not_after_the_end() -> None:
    """A sidecar lives as long as its pod's containers do."""
    made = pod(init=[SIDECAR], restartPolicy="Never")
    assert plan(made, world(ran("proxy", "exited"), ran())).start == ("proxy",)
    assert plan(made, world(ran("proxy", "exited"), ran("c", "exited"))).empty


@pytest.mark.parametrize(("policy", "code", "again"), [
    ("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)])
def test_the_restart_policy_decides_about_an_ended_container(policy: str, code: int, again: bool) -> None:
    """Always restarts, OnFailure restarts failures, Never leaves it."""
    made = pod(restartPolicy=policy)
    assert plan(made, world(ran("c", "exited", code=code))).start == (("c",) if again else ())


def test_a_failed_liveness_probe_restarts_the_container() -> None:
    """The container is stopped with the words of the Killing event, and started again."""
    found = plan(pod(), world(ran()), c_0=Health(failed="liveness"))
    assert [s.message for s in found.stop] == ["Container c failed liveness probe, will be restarted"]
    assert found.start == ("c",)


def test_a_changed_image_restarts_the_container() -> None:
    """An in-place change of the image takes effect on the running pod."""
    observed = world(ran())
    observed.images["c-0"] = "nginx:1"
    found = plan(pod(container("c", "nginx:2")), observed)
    assert [s.message for s in found.stop] == ["Container c definition changed, will be restarted"]
    assert found.start == ("c",)


def test_a_lost_sandbox_starts_the_pod_over() -> None:
    """Running containers of the lost sandbox end, init containers run again, ended ones of a Never pod do not."""
    observed = world(ran("one", "exited"), ran("c"), sandbox=False)
    found = plan(pod(init=[container("one")]), observed)
    assert found.new_sandbox
    assert [s.name for s in found.stop] == ["c"]
    assert found.start == ("one",)
    assert plan(pod(restartPolicy="Never"), world(ran("c", "exited"), sandbox=False)).empty


def test_after_a_new_sandbox_init_containers_count_anew() -> None:
    """What ran in an earlier sandbox is known but no longer current."""
    observed = world(ran("one", "exited"), ran("c", "exited", code=1))
    observed.new_sandbox(Sandbox("s2", REF, "10.0.0.6"))
    made = pod(init=[container("one")])
    assert plan(made, observed).start == ("one",)
    observed.put(ran("one", "exited", attempt=1))
    assert plan(made, observed).start == ("c",)


def test_a_running_pod_needs_nothing() -> None:
    """The plan of a world that is as it should be is empty."""
    assert plan(pod(container("a"), container("b")), world(ran("a"), ran("b"))).empty


def test_an_ephemeral_container_runs_once() -> None:
    """It starts beside what runs, also while init containers still do, and never again."""
    made = pod(container("main"), init=[container("one")], ephemeralContainers=[container("look")])
    assert plan(made, world(ran("one"))).start == ("look",)
    assert plan(made, world(ran("one"), ran("look", "exited", code=1))).empty
