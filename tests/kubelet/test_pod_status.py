from __future__ import annotations

from typing import Any

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.container_status import Scene
from kubelab.node.kubelet.observed import Health, Observed
from kubelab.node.kubelet.pod_status import Verdict, pod_status, status_patch

from .scenes import container, pod, ran, world

NOW, LATER = "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"


def status(made: Obj, observed: Observed, *, waits: Any = None, healths: Any = None, ending: bool = False,
           now: str = NOW, verdict: Verdict | None = None) -> Obj:
    scene = Scene(made, observed, healths or {}, waits or {}, "process", ending)
    return pod_status(scene, host_ip="127.0.0.1", now=now, verdict=verdict)


def conditions(found: Obj) -> dict[str, str]:
    return {c["type"]: c["status"] for c in found["conditions"]}


def test_a_pod_that_waits_says_container_creating() -> None:
    """Before the first start the pod is Pending and its container waits."""
    found = status(pod(), world(sandbox=False))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(found) == {"PodReadyToStartContainers": "False", "Initialized": "True", "Ready": "False",
                                 "ContainersReady": "False", "PodScheduled": "True"}
    ready = next(c for c in found["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [c]")


def test_a_running_pod_is_ready_and_has_its_addresses() -> None:
    """All containers running and unprobed: Running, Ready, with IP and start time."""
    found = status(pod(), world(ran()))
    assert (found["phase"], found["podIP"], found["hostIP"], found["startTime"]) == (
        "Running", "10.0.0.5", "127.0.0.1", NOW)
    assert set(conditions(found).values()) == {"True"}
    only = found["containerStatuses"][0]
    assert (only["ready"], only["started"], only["restartCount"], only["containerID"]) == (
        True, True, 0, "process://c-0")


def test_an_unready_probe_keeps_the_pod_running_but_not_ready() -> None:
    """Readiness says nothing about the phase."""
    found = status(pod(container("c", readinessProbe={})), world(ran()), healths={"c-0": Health(ready=False)})
    assert found["phase"] == "Running"
    assert conditions(found)["Ready"] == "False"


def test_crash_loop_shows_the_wait_and_the_last_end() -> None:
    """A crashing container waits with the reason, and its last end stands in lastState; the pod stays Running."""
    waits = {"c": ("CrashLoopBackOff", "back-off 10s restarting failed container=c pod=web_default(uid-1)")}
    found = status(pod(), world(ran("c", "exited", attempt=1, code=3)), waits=waits)
    only = found["containerStatuses"][0]
    assert only["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert only["lastState"]["terminated"]["exitCode"] == 3
    assert only["restartCount"] == 1
    assert found["phase"] == "Running"


def test_a_finished_pod_succeeds_or_fails_by_exit_codes() -> None:
    """With restartPolicy Never the exit codes decide the phase."""
    made = pod(restartPolicy="Never")
    good, bad = status(made, world(ran("c", "exited"))), status(made, world(ran("c", "exited", code=1)))
    assert (good["phase"], bad["phase"]) == ("Succeeded", "Failed")
    assert next(c for c in good["conditions"] if c["type"] == "Ready")["reason"] == "PodCompleted"
    assert next(c for c in bad["conditions"] if c["type"] == "Ready")["reason"] == "PodFailed"
    assert bad["containerStatuses"][0]["state"]["terminated"]["reason"] == "Error"


def test_init_containers_hold_the_pod_pending() -> None:
    """While an init container runs, the others wait with PodInitializing and Initialized is False."""
    found = status(pod(init=[container("one")]), world(ran("one")))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    first = next(c for c in found["conditions"] if c["type"] == "Initialized")
    assert (first["reason"], first["message"]) == ("ContainersNotInitialized",
                                                   "containers with incomplete status: [one]")


def test_a_failed_init_container_fails_a_never_pod() -> None:
    """restartPolicy Never: one failed init container is the end."""
    found = status(pod(init=[container("one")], restartPolicy="Never"), world(ran("one", "exited", code=2)))
    assert found["phase"] == "Failed"


def test_a_rejected_pod_fails_with_the_reason() -> None:
    """A verdict of the node's admission is the pod's phase, reason and message."""
    found = status(pod(), world(sandbox=False), verdict=Verdict("Failed", "OutOfcpu", "Pod was rejected: no room"))
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "OutOfcpu", "Pod was rejected: no room")
    assert "containerStatuses" not in found


def test_readiness_gates_hold_ready_back() -> None:
    """Ready waits for every gate, ContainersReady does not."""
    found = status(pod(readinessGates=[{"conditionType": "x.io/lb"}]), world(ran()))
    got = conditions(found)
    assert (got["ContainersReady"], got["Ready"]) == ("True", "False")


def test_transition_times_stay_while_the_status_does() -> None:
    """lastTransitionTime moves only when the condition turns."""
    made = pod()
    made["status"] = status(made, world(sandbox=False))
    after = {c["type"]: c["lastTransitionTime"] for c in status(made, world(ran()), now=LATER)["conditions"]}
    assert (after["PodScheduled"], after["Ready"]) == (NOW, LATER)


def test_the_patch_holds_the_difference_and_clears_what_went() -> None:
    """An unchanged status needs no write; reasons that vanished are set to null, since conditions merge by type."""
    made = pod()
    old = status(made, world(sandbox=False))
    assert status_patch(old, old) == {}
    patch = status_patch(old, status(made | {"status": old}, world(ran()), now=LATER))
    ready = next(c for c in patch["conditions"] if c["type"] == "Ready")
    assert ready["reason"] is None
    assert ready["message"] is None
    assert "startTime" not in patch
    assert all(c["type"] != "PodScheduled" for c in patch["conditions"])
