"""How pods begin, go on and end, on real containers."""

from __future__ import annotations

import os
import threading
import time

from kubelab import Cluster
from tests.e2e.conftest import ended, events, status_of, until, waits_for


def test_init_containers_run_in_order_around_a_sidecar(cluster: Cluster) -> None:
    """Init containers run one after the other, a restartable one goes on beside the main container."""
    pod = cluster.wait("pod/ordered", "Ready", timeout_s=40)
    assert cluster.logs("pod/ordered", "main").split() == ["first", "sidecar", "second", "main"]
    first, sidecar, second = pod["status"]["initContainerStatuses"]
    assert first["state"]["terminated"]["reason"] == second["state"]["terminated"]["reason"] == "Completed"
    assert "running" in sidecar["state"] and sidecar["started"] and sidecar["ready"]
    assert [c["type"] for c in pod["status"]["conditions"] if c["status"] == "True"] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]


def test_a_sidecar_ends_after_the_main_container(cluster: Cluster) -> None:
    """At a pod's end its sidecars are stopped last, and do not keep a finished pod alive."""
    done = cluster.wait("pod/done-with-sidecar", ended("Succeeded"), timeout_s=40)
    assert status_of(done, "main")["state"]["terminated"]["reason"] == "Completed"
    cluster.wait("pod/ordered", "Ready")
    said: list[str] = []
    following = threading.Thread(target=lambda: said.extend(cluster.follow_logs("pod/ordered", "main")))
    following.start()
    until(lambda: "main" in said, "the log is followed")
    cluster.delete("pod/ordered")
    pod = cluster.wait("pod/ordered", lambda p: "terminated" in status_of(p, "main").get("state", {}))
    cluster.wait("pod/ordered", "Deleted")
    following.join(10)
    assert said[-1] == "main-end" and pod is not None


def test_a_failing_init_container(cluster: Cluster) -> None:
    """It fails a pod that is never restarted, and is tried again, with back-off, in one that is."""
    failed = cluster.wait("pod/init-fails", ended("Failed"), timeout_s=40)
    assert status_of(failed, "bad")["state"]["terminated"]["exitCode"] == 4
    assert status_of(failed, "main")["state"] == {"waiting": {"reason": "PodInitializing"}}
    pod = cluster.wait("pod/init-crashes", waits_for("CrashLoopBackOff", "bad"))
    assert pod["status"]["phase"] == "Pending"
    initialized = next(c for c in pod["status"]["conditions"] if c["type"] == "Initialized")
    assert (initialized["reason"], initialized["message"]) == (
        "ContainersNotInitialized", "containers with incomplete status: [bad]")


def test_ends_have_their_reasons(cluster: Cluster) -> None:
    """Completed, Error with the log's end as message, and the phases that follow from them."""
    done = status_of(cluster.wait("pod/completed", ended("Succeeded")), "main")["state"]["terminated"]
    assert (done["exitCode"], done["reason"], done["message"]) == (0, "Completed", "last words\n")
    pod = cluster.wait("pod/failed", ended("Failed"))
    bad = status_of(pod, "main")["state"]["terminated"]
    assert (bad["exitCode"], bad["reason"], bad["message"]) == (3, "Error", "oh no\n")
    assert status_of(pod, "good")["state"]["terminated"]["reason"] == "Completed"
    ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodFailed")


def test_on_failure_tries_again_until_it_succeeds(cluster: Cluster) -> None:
    """OnFailure restarts after an error, not after success; an emptyDir outlives the container."""
    pod = cluster.wait("pod/second-try", ended("Succeeded"), timeout_s=40)
    main = status_of(pod, "main")
    assert main["restartCount"] == 1 and main["lastState"]["terminated"]["exitCode"] == 1
    assert cluster.logs("pod/second-try") == "better\n"
    assert cluster.logs("pod/second-try", previous=True) == "worse\n"


def test_a_crash_loop_backs_off(cluster: Cluster) -> None:
    """A container that always ends waits in CrashLoopBackOff, in the kubelet's words."""
    pod = cluster.wait("pod/crasher", lambda p: waits_for("CrashLoopBackOff")(p)
                       and status_of(p, "main")["restartCount"] >= 1, timeout_s=40)
    main, uid = status_of(pod, "main"), pod["metadata"]["uid"]
    assert main["state"]["waiting"]["message"].endswith(
        f"restarting failed container=main pod=crasher_default({uid})")
    assert main["state"]["waiting"]["message"].startswith("back-off ")
    assert main["lastState"]["terminated"]["reason"] == "Error" and pod["status"]["phase"] == "Running"
    assert events(cluster, "crasher")["BackOff"] == \
        f"Back-off restarting failed container main in pod crasher_default({uid})"


def test_a_program_that_is_not_there(cluster: Cluster) -> None:
    """It cannot be started, and the message names it."""
    pod = cluster.wait("pod/no-such-program", ended("Failed"))
    end = status_of(pod, "main")["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert "not-a-program" in end["message"] and "executable file not found in $PATH" in end["message"]


def test_too_much_memory(cluster: Cluster) -> None:
    """Over its memory limit a container is killed, and says so where control groups can tell."""
    end = status_of(cluster.wait("pod/greedy", ended("Failed"), timeout_s=40), "main")["state"]["terminated"]
    if cluster.runtime_name == "docker" or os.access("/sys/fs/cgroup", os.W_OK):
        assert (end["exitCode"], end["reason"]) == (137, "OOMKilled")
    else:
        assert end["reason"] == "Error"  # without a control group of its own the program's allocation fails


def test_active_deadline(cluster: Cluster) -> None:
    """A pod past its deadline fails with the reason DeadlineExceeded."""
    pod = cluster.wait("pod/deadline", ended("Failed"))
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"


def test_sigterm_reaches_the_program(cluster: Cluster) -> None:
    """On delete the program hears SIGTERM and has its grace period to say good-bye."""
    cluster.wait("pod/polite", "Ready")
    said: list[str] = []
    following = threading.Thread(target=lambda: said.extend(cluster.follow_logs("pod/polite")))
    following.start()
    until(lambda: "up" in said, "the log is followed")
    began = time.monotonic()
    cluster.delete("pod/polite")
    cluster.wait("pod/polite", "Deleted")
    following.join(10)
    assert said[-2:] == ["got TERM", "bye"] and time.monotonic() - began < 5
    assert events(cluster, "polite")["Killing"] == "Stopping container main"


def test_sigkill_comes_after_the_grace_period(cluster: Cluster) -> None:
    """A program that ignores SIGTERM is killed when the grace period is over, not before."""
    cluster.wait("pod/stubborn", "Ready")
    until(lambda: "up" in cluster.logs("pod/stubborn"), "it ignores SIGTERM")
    began = time.monotonic()
    cluster.delete("pod/stubborn")
    pod = cluster.get("pod/stubborn")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 2 and pod["metadata"]["deletionTimestamp"]
    cluster.wait("pod/stubborn", "Deleted")
    assert 1.8 < time.monotonic() - began < 5
