"""Probes and hooks on real containers, and the words of their events."""

from __future__ import annotations

import time

from kubelab import Cluster
from tests.e2e.conftest import events, status_of, until, waits_for


def said(cluster: Cluster, pod: str, container: str) -> set[str]:
    """Return every message about one container of a pod."""
    return {e["message"] for e in cluster.events(f"pod/{pod}")
            if e["involvedObject"].get("fieldPath") == f"spec.containers{{{container}}}"}


def test_probes_that_pass(cluster: Cluster) -> None:
    """Startup by HTTP on a named port, readiness by TCP, liveness with headers: ready and never restarted."""
    pod = cluster.wait("pod/healthy", "Ready", timeout_s=40)
    assert status_of(pod, "web")["started"] and status_of(pod, "web")["restartCount"] == 0


def test_readiness_probes_that_fail(cluster: Cluster) -> None:
    """Each kind of probe says what it found; the pod is not ready and says which containers are not."""
    pod = cluster.wait("pod/unready", lambda p: p["status"]["phase"] == "Running", timeout_s=40)
    ip = pod["status"]["podIP"]
    ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [http tcp exec slow]"
    for container, message in {
        "http": "Readiness probe failed: HTTP probe failed with statuscode: 404",
        "tcp": f"Readiness probe failed: dial tcp {ip}:4444: connect: connection refused",
        "exec": "Readiness probe failed: not yet\n",
        "slow": 'Readiness probe failed: command timed out: "sleep 10" timed out after 1s',
    }.items():
        until(lambda c=container, m=message: m in said(cluster, "unready", c), f"{message!r} of {container}")  # type: ignore[misc]


def test_a_liveness_probe_that_fails_restarts(cluster: Cluster) -> None:
    """After failureThreshold failures the container is killed and started again."""
    pod = cluster.wait("pod/sick", lambda p: status_of(p, "main").get("restartCount", 0) >= 1, timeout_s=40)
    assert status_of(pod, "main")["lastState"]["terminated"]["exitCode"] in (137, 143)
    heard = until(lambda: (m := said(cluster, "sick", "main")) and any("Liveness" in w for w in m) and m, "Unhealthy")
    assert "Container main failed liveness probe, will be restarted" in heard
    assert any(w.startswith("Liveness probe failed: cat:") and "/tmp/healthy" in w and "No such file or directory" in w
               for w in heard)
    assert cluster.logs("pod/sick", previous=True) == "born\n"


def test_a_startup_probe_that_fails_restarts(cluster: Cluster) -> None:
    """Until the startup probe passes the container is not started, and the others probes wait."""
    pod = cluster.wait("pod/never-up", lambda p: status_of(p, "main").get("restartCount", 0) >= 1, timeout_s=40)
    assert not status_of(pod, "main")["started"] and not status_of(pod, "main")["ready"]
    assert "Container main failed startup probe, will be restarted" in said(cluster, "never-up", "main")
    assert not any("Readiness" in words for words in said(cluster, "never-up", "main"))


def test_a_post_start_hook_that_fails(cluster: Cluster) -> None:
    """It kills its container, which waits for the next try."""
    pod = cluster.wait("pod/bad-hook", lambda p: waits_for("PostStartHookError")(p) or waits_for("CrashLoopBackOff")(p),
                       timeout_s=40)
    assert status_of(pod, "main")["ready"] is False
    assert "PostStartHook failed" in events(cluster, "bad-hook")["FailedPostStartHook"]


def test_pre_stop_holds_the_end_while_endpoints_drain(cluster: Cluster) -> None:
    """A deleted pod leaves its Service first, while its preStop hooks run and it still answers."""
    cluster.wait("pod/hooked", "Ready", timeout_s=40)
    assert cluster.exec("pod/hooked", "cat /tmp/hook", container="main").stdout == "started\n"
    until(lambda: _endpoint(cluster).get("conditions", {}).get("ready"), "the endpoint is ready")
    ip = cluster.get("pod/hooked")["status"]["podIP"]
    began = time.monotonic()
    cluster.delete("pod/hooked")
    drained = until(lambda: (e := _endpoint(cluster)) and not e["conditions"]["ready"] and e["conditions"],
                    "the endpoint drains", 5)
    assert drained == {"ready": False, "serving": True, "terminating": True}
    assert time.monotonic() - began < 2
    assert cluster.http(f"http://{ip}/").ok
    cluster.wait("pod/hooked", "Deleted")
    assert 1.8 < time.monotonic() - began < 8


def _endpoint(cluster: Cluster) -> dict:  # type: ignore[type-arg]
    found = cluster.get("endpointslices", selector="kubernetes.io/service-name=hooked")
    return next((e for piece in found for e in piece["endpoints"] or ()), {})
