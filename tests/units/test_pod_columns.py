"""The word in the STATUS column: what a pod is going through, as kubectl says it."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.clock import timestamp

NOW = 1_767_323_045.0
READY = {"type": "Ready", "status": "True"}


def cells(status: dict[str, Any], spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    pod = {"metadata": {"name": "p", "creationTimestamp": timestamp(NOW - 90), **meta},
           "spec": {"containers": [{"name": "a"}, {"name": "b"}], **(spec or {})}, "status": status}
    return {c.name: c.cell(pod, NOW) for c in units.find("pods").columns}


def container(name: str, *, ready: bool = False, restarts: int = 0, last: float | None = None,
              **state: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "ready": ready, "restartCount": restarts, "state": state}
    if last is not None:
        out["lastState"] = {"terminated": {"finishedAt": timestamp(NOW - last)}}
    return out


def test_a_new_pod_is_pending() -> None:
    """Before anything runs, the phase is the word and nothing is ready."""
    got = cells({"phase": "Pending"})
    assert (got["Ready"], got["Status"], got["Restarts"], got["Age"]) == ("0/2", "Pending", "0", "90s")
    assert (got["IP"], got["Node"], got["Nominated Node"], got["Readiness Gates"]) == ("<none>",) * 4


def test_a_running_pod_counts_its_ready_containers() -> None:
    """READY is ready containers over all containers."""
    got = cells({"phase": "Running", "podIP": "10.0.0.1", "conditions": [READY], "containerStatuses": [
        container("a", ready=True, running={}), container("b", running={})]}, {"nodeName": "n"})
    assert (got["Ready"], got["Status"], got["IP"], got["Node"]) == ("1/2", "Running", "10.0.0.1", "n")


def test_a_crashing_container_gives_its_reason_and_restarts() -> None:
    """A container in back-off is what people must see, with how long ago it ended last."""
    got = cells({"phase": "Running", "containerStatuses": [
        container("a", ready=True, running={}),
        container("b", restarts=2, last=300, waiting={"reason": "CrashLoopBackOff"})]})
    assert (got["Status"], got["Restarts"]) == ("CrashLoopBackOff", "2 (5m ago)")


@pytest.mark.parametrize(("terminated", "word"), [
    ({"exitCode": 0, "reason": "Completed"}, "Completed"), ({"exitCode": 1, "reason": "Error"}, "Error"),
    ({"exitCode": 3}, "ExitCode:3"), ({"exitCode": 137, "signal": 9}, "Signal:9")])
def test_an_ended_container_gives_its_reason(terminated: dict[str, Any], word: str) -> None:
    """Completed, Error, or the exit code where there is no reason."""
    assert cells({"phase": "Running", "containerStatuses": [container("a", terminated=terminated)]})["Status"] == word


def test_a_pod_of_which_one_container_is_done_still_runs() -> None:
    """One completed container beside a running one leaves the pod Running while it is Ready, else NotReady."""
    statuses = [container("a", terminated={"exitCode": 0, "reason": "Completed"}),
                container("b", ready=True, running={})]
    assert cells({"phase": "Running", "conditions": [READY], "containerStatuses": statuses})["Status"] == "Running"
    assert cells({"phase": "Running", "containerStatuses": statuses})["Status"] == "NotReady"


@pytest.mark.parametrize(("state", "word"), [
    ({"running": {}}, "Init:1/2"), ({"waiting": {"reason": "PodInitializing"}}, "Init:1/2"),
    ({"waiting": {"reason": "ImagePullBackOff"}}, "Init:ImagePullBackOff"),
    ({"terminated": {"exitCode": 1, "reason": "Error"}}, "Init:Error"),
    ({"terminated": {"exitCode": 2}}, "Init:ExitCode:2")])
def test_an_initialising_pod_says_how_far_it_is(state: dict[str, Any], word: str) -> None:
    """The first init container that is not through gives the word."""
    spec = {"initContainers": [{"name": "i"}, {"name": "j"}]}
    done = container("i", terminated={"exitCode": 0, "reason": "Completed"})
    got = cells({"phase": "Pending", "initContainerStatuses": [done, container("j", **state)]}, spec)
    assert got["Status"] == word


def test_a_sidecar_counts_among_the_containers() -> None:
    """A restartable init container is one more container to be ready, and its restarts count."""
    spec = {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}
    sidecar = container("s", ready=True, restarts=1, last=60, running={}) | {"started": True}
    got = cells({"phase": "Running", "initContainerStatuses": [sidecar], "containerStatuses": [
        container("a", ready=True, running={}), container("b", ready=True, running={})]}, spec)
    assert (got["Ready"], got["Status"], got["Restarts"]) == ("3/3", "Running", "1 (60s ago)")


def test_a_deleted_pod_is_terminating_until_it_has_ended() -> None:
    """Terminating is said while the phase is not terminal; a lost node makes it Unknown."""
    gone = timestamp(NOW)
    assert cells({"phase": "Running"}, deletionTimestamp=gone)["Status"] == "Terminating"
    assert cells({"phase": "Succeeded"}, deletionTimestamp=gone)["Status"] == "Succeeded"
    assert cells({"phase": "Running", "reason": "NodeLost"}, deletionTimestamp=gone)["Status"] == "Unknown"


def test_a_status_reason_wins_over_the_phase() -> None:
    """An evicted pod says Evicted, a gated one SchedulingGated."""
    assert cells({"phase": "Failed", "reason": "Evicted"})["Status"] == "Evicted"
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    assert cells({"phase": "Pending", "conditions": [gated]})["Status"] == "SchedulingGated"


def test_readiness_gates_are_counted() -> None:
    """Readiness gates show how many of their conditions hold."""
    spec = {"readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]}
    got = cells({"phase": "Running", "conditions": [{"type": "a", "status": "True"}]}, spec)
    assert got["Readiness Gates"] == "1/2"
