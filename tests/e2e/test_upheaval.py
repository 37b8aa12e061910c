"""Kubelets that stop and start, and nodes that throw their pods out. Last of all, for it empties a node."""

from __future__ import annotations

import time
from typing import Any

from kubelab import Cluster
from tests.e2e.conftest import Pod, events, status_of, until

TAINT = {"key": "maintenance", "value": "now", "effect": "NoExecute"}


def _pod(name: str, node: str, command: str, **spec: Any) -> Pod:
    container = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", command]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"part": "upheaval"}},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container]} | spec}


WAITS = "trap 'exit 0' TERM; i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.2; done"


def test_a_kubelet_that_starts_again_adopts_what_runs(cluster: Cluster) -> None:
    """Containers go on without their kubelet; back again it takes them over, restarts what ended, ends orphans."""
    cluster.apply(_pod("steady", "node-1", WAITS), _pod("brief", "node-1", "sleep 2"), _pod("doomed", "node-1", WAITS))
    before = cluster.wait("pod/steady", "Ready")
    for name in ("brief", "doomed"):
        cluster.wait(f"pod/{name}", "Ready")
    kubelet = cluster.kubelets["node-1"].stop()
    cluster.delete("pod/doomed", grace_period_s=0)
    assert kubelet.state == "stopped" and cluster.get("pod/steady")["status"]["phase"] == "Running"
    kubelet.start()
    pod = cluster.wait("pod/brief", lambda p: status_of(p, "main")["restartCount"] >= 1)
    assert status_of(pod, "main")["lastState"]["terminated"]["reason"] == "Completed"
    after = cluster.wait("pod/steady", "Ready")
    same = ("containerID", "restartCount")
    assert [status_of(after, "main")[k] for k in same] == [status_of(before, "main")[k] for k in same]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert cluster.exec("pod/steady", "echo here").stdout == "here\n"
    assert cluster.logs("pod/steady").startswith("tick 1\n")
    heard = len(cluster.logs("pod/steady").splitlines())
    until(lambda: len(cluster.logs("pod/steady").splitlines()) > heard, "its log goes on")
    until(lambda: not any(s.pod.name == "doomed" for s in cluster.call(kubelet.runtime.list_containers())),
          "the orphan is gone")


def test_a_taint_evicts(cluster: Cluster) -> None:
    """A NoExecute taint ends the pods that do not tolerate it, at once or after their tolerationSeconds."""
    key = {"key": "maintenance", "operator": "Exists", "effect": "NoExecute"}
    cluster.apply(_pod("guest", "node-2", WAITS), _pod("resident", "node-2", WAITS, tolerations=[key]),
                  _pod("lodger", "node-2", WAITS, tolerations=[key | {"tolerationSeconds": 2}]))
    for name in ("guest", "resident", "lodger"):
        cluster.wait(f"pod/{name}", "Ready")
    began = time.monotonic()
    cluster.patch("node/node-2", {"spec": {"taints": [TAINT]}})
    try:
        cluster.wait("pod/lodger", lambda p: "deletionTimestamp" in p["metadata"])
        assert time.monotonic() - began > 1.8
        cluster.wait("pod/guest", "Deleted")
        assert events(cluster, "guest")["TaintManagerEviction"] == "Marking for deletion Pod default/guest"
        cluster.wait("pod/lodger", "Deleted")
        assert cluster.get("pod/resident")["status"]["phase"] == "Running"
    finally:
        cluster.patch("node/node-2", {"spec": {"taints": None}})
