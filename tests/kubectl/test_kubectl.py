"""The real kubectl against a real cluster, on both runtimes: each command prints what its user expects."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest

from tests.kubectl.conftest import Kubectl, until

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: nginx:1.28
        ports: [{containerPort: 80}]
"""
BOX = """
apiVersion: v1
kind: Pod
metadata: {name: box, labels: {app: box}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: box
    image: busybox:1.36
    command: [sh, -c, "echo started; i=0; while true; do echo tick $i; i=$((i+1)); sleep 1; done"]
"""


@pytest.fixture(scope="module", autouse=True)
def applied(kubectl: Kubectl) -> None:
    """A Deployment `web`, its Service, and a pod `box` that prints a line a second."""
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=BOX) == "pod/box created\n"
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("wait", "pod/box", "--for=condition=Ready", "--timeout=60s")
    assert kubectl("expose", "deployment", "web", "--port=80") == "service/web exposed\n"


def test_version(kubectl: Kubectl) -> None:
    """version names the server's version."""
    assert "Server Version: v1.36" in kubectl("version")


def test_get_prints_the_known_columns(kubectl: Kubectl) -> None:
    """get shows the columns that kubectl users know, and -o wide more of them."""
    assert re.match(r"NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +2/2 +2 +2 +\d+s", kubectl("get", "deploy"))
    assert re.search(r"NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES",
                     kubectl("get", "pods", "-o", "wide"))
    assert re.search(r"NAME +STATUS +ROLES +AGE +VERSION\nnode-1 +Ready +<none> +\d+s +v1\.36", kubectl("get", "nodes"))
    assert re.search(r"web +ClusterIP +[\d.]+ +<none> +80/TCP", kubectl("get", "svc"))
    assert "deployment.apps/web" in kubectl("get", "all")
    assert kubectl("get", "pods", "-n", "empty-namespace") == ""
    assert json.loads(kubectl("get", "pod", "box", "-o", "json"))["status"]["phase"] == "Running"
    assert kubectl("get", "pods", "-l", "app=box", "-o", "name") == "pod/box\n"


def test_get_says_what_is_not_there(kubectl: Kubectl) -> None:
    """An object that is not there, and a kind that is not there, are told as by Kubernetes."""
    assert 'Error from server (NotFound): pods "nope" not found' in kubectl("get", "pod", "nope", ok=False)
    assert 'the server doesn\'t have a resource type "nopes"' in kubectl("get", "nopes", ok=False)


def test_describe(kubectl: Kubectl) -> None:
    """describe tells a pod's containers, conditions and events, and a deployment's roll-out."""
    pod = kubectl("describe", "pod", "box")
    for words in ("Image:         busybox:1.36", "State:          Running", "PodScheduled",
                  "Successfully assigned default/box", "Started"):
        assert words in pod
    deployment = kubectl("describe", "deployment", "web")
    assert "RollingUpdateStrategy:  25% max unavailable, 25% max surge" in deployment
    assert "Scaled up replica set" in deployment
    assert "Ready" in kubectl("describe", "node", "node-1")
    assert "Endpoints:" in kubectl("describe", "service", "web")


def test_create_edit_and_delete(kubectl: Kubectl, tmp_path: Path) -> None:
    """create refuses what exists; edit runs an editor; delete ends it."""
    assert kubectl("create", "configmap", "settings", "--from-literal=colour=blue") == "configmap/settings created\n"
    assert 'configmaps "settings" already exists' in kubectl("create", "configmap", "settings", ok=False)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/blue/green/ \"$1\"\n")
    editor.chmod(0o755)
    done = _edit(kubectl, editor)
    assert done == "configmap/settings edited\n"
    assert kubectl("get", "cm", "settings", "-o", "jsonpath={.data.colour}") == "green"
    assert 'configmap "settings" deleted' in kubectl("delete", "configmap", "settings")


def _edit(kubectl: Kubectl, editor: Path) -> str:
    import os
    import subprocess

    from kubelab.magics import kubectl_path

    done = subprocess.run([kubectl_path(), "edit", "configmap", "settings"], capture_output=True, text=True,
                          env=kubectl.environment | {"KUBE_EDITOR": str(editor), "PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_apply_changes_only_what_changed(kubectl: Kubectl) -> None:
    """apply says unchanged, configured and created; --server-side owns fields and names conflicts."""
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web unchanged\n"
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owned}\ndata: {a: '%s'}\n"
    assert kubectl("apply", "--server-side", "-f", "-", stdin=config % 1) == "configmap/owned serverside-applied\n"
    assert kubectl("apply", "--server-side", "-f", "-", stdin=config % 2) == "configmap/owned serverside-applied\n"
    refused = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=config % 3, ok=False)
    assert 'conflict with "kubectl": .data.a' in refused
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=config % 3)
    assert kubectl("get", "cm", "owned", "-o", "jsonpath={.data.a}") == "3"
    kubectl("delete", "cm", "owned")


def test_diff(kubectl: Kubectl) -> None:
    """diff shows the change and exits 1; nothing is changed by it."""
    shown = kubectl("diff", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: 5"), ok=False)
    assert "-  replicas: 2" in shown
    assert "+  replicas: 5" in shown
    assert kubectl("diff", "-f", "-", stdin=WEB) == ""


def test_patch_label_annotate(kubectl: Kubectl) -> None:
    """patch in its three types, label and annotate, each with its answer."""
    def patch(patch: str, type_: str = "strategic") -> str:
        return kubectl("patch", "pod", "box", f"--type={type_}", "-p", patch)

    assert patch('{"metadata":{"labels":{"one":"1"}}}') == "pod/box patched\n"
    assert patch('{"metadata":{"labels":{"one":null}}}', "merge") == "pod/box patched\n"
    assert patch('[{"op":"add","path":"/metadata/labels/two","value":"2"}]', "json") == "pod/box patched\n"
    assert patch('{"metadata":{"labels":{"two":"2"}}}') == "pod/box patched (no change)\n"
    assert kubectl("label", "pod", "box", "tier=front") == "pod/box labeled\n"
    assert "'tier' already has a value" in kubectl("label", "pod", "box", "tier=back", ok=False)
    assert kubectl("label", "pod", "box", "tier-") == "pod/box unlabeled\n"
    assert kubectl("annotate", "pod", "box", "note=hello") == "pod/box annotated\n"


def test_scale_and_rollout(kubectl: Kubectl) -> None:
    """scale, rollout status, history, undo and restart."""
    assert kubectl("scale", "deployment", "web", "--replicas=3") == "deployment.apps/web scaled\n"
    assert 'deployment "web" successfully rolled out' in kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kubectl("set", "image", "deployment/web", "web=nginx:1.29") == "deployment.apps/web image updated\n"
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    history = kubectl("rollout", "history", "deployment/web")
    assert re.search(r"REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>", history)
    assert "nginx:1.29" in kubectl("rollout", "history", "deployment/web", "--revision=2")
    assert kubectl("rollout", "undo", "deployment/web") == "deployment.apps/web rolled back\n"
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "nginx:1.28"
    assert kubectl("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kubectl("rollout", "pause", "deployment/web") == "deployment.apps/web paused\n"
    assert kubectl("rollout", "resume", "deployment/web") == "deployment.apps/web resumed\n"
    kubectl("scale", "deployment", "web", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_logs(kubectl: Kubectl) -> None:
    """logs prints what was printed; --tail and -f work."""
    until(lambda: "tick 1" in kubectl("logs", "box"), "two ticks")
    assert kubectl("logs", "box").startswith("started\ntick 0\n")
    assert len(kubectl("logs", "box", "--tail=1").splitlines()) == 1
    following = kubectl.start("logs", "-f", "box", "--tail=1")
    assert following.stdout is not None
    first, second = following.stdout.readline(), following.stdout.readline()
    following.terminate()
    following.wait(10)
    assert int(second.split()[1]) == int(first.split()[1]) + 1


def test_exec(kubectl: Kubectl) -> None:
    """exec runs a command, carries standard input and the exit code."""
    assert kubectl("exec", "box", "--", "echo", "hello") == "hello\n"
    assert kubectl("exec", "box", "--", "hostname") == "box\n"
    assert kubectl("exec", "-i", "box", "--", "cat", stdin="through\n") == "through\n"
    assert "exit code 3" in kubectl("exec", "box", "--", "sh", "-c", "exit 3", ok=False)
    assert kubectl("exec", "deploy/web", "--", "echo", "one").endswith("one\n")


def test_debug(kubectl: Kubectl) -> None:
    """debug runs another container in the pod, or a copy of the pod with it."""
    kubectl("debug", "box", "--image=busybox:1.36", "-c", "look", "--", "sh", "-c", "echo looking; sleep 1000")
    state = ("get", "pod", "box", "-o", "jsonpath={.status.ephemeralContainerStatuses[0].state}")
    until(lambda: "running" in kubectl(*state), "the debug container runs")
    until(lambda: "looking" in kubectl("logs", "box", "-c", "look"), "the log of the debug container")
    assert kubectl("exec", "box", "-c", "look", "--", "echo", "inside") == "inside\n"
    kubectl("debug", "box", "--image=busybox:1.36", "--copy-to=box-copy", "-c", "look", "--", "sleep", "1000")
    kubectl("wait", "pod/box-copy", "--for=condition=Ready", "--timeout=60s")
    kubectl("delete", "pod", "box-copy", "--now")


def test_attach(kubectl: Kubectl) -> None:
    """attach shows what the container prints from now on."""
    attached = kubectl.start("attach", "box", "-c", "box")
    assert attached.stdout is not None
    lines = [attached.stdout.readline() for _ in range(3)]
    attached.terminate()
    attached.wait(10)
    assert any(line.startswith("tick") for line in lines)


def test_cp(kubectl: Kubectl, tmp_path: Path) -> None:
    """cp carries a file in and out again."""
    (tmp_path / "in.txt").write_text("carried\n")
    kubectl("cp", str(tmp_path / "in.txt"), "box:/tmp/kubelab-in.txt")
    assert kubectl("exec", "box", "--", "cat", "/tmp/kubelab-in.txt") == "carried\n"
    kubectl("cp", "box:/tmp/kubelab-in.txt", str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text() == "carried\n"
    kubectl("exec", "box", "--", "rm", "/tmp/kubelab-in.txt")


@pytest.mark.parametrize("target", ["deployment/web", "service/web"])
def test_port_forward(kubectl: Kubectl, target: str) -> None:
    """port-forward opens a local port that reaches a pod."""
    forward = kubectl.start("port-forward", target, ":80")
    try:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        match = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> 80", line)
        assert match, line
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{match[1]}/", timeout=10) as answer:
                assert answer.status == 200
                assert answer.read()
    finally:
        forward.terminate()
        forward.wait(10)


def test_proxy_subresource(kubectl: Kubectl) -> None:
    """get --raw reaches a Service and a pod through the API server's proxy."""
    assert kubectl("get", "--raw", "/api/v1/namespaces/default/services/web:80/proxy/")


def test_nodes_cordon_drain_taint(kubectl: Kubectl) -> None:
    """cordon, drain, uncordon and taint a node."""
    assert kubectl("cordon", "node-1") == "node/node-1 cordoned\n"
    assert "Ready,SchedulingDisabled" in kubectl("get", "node", "node-1")
    drained = kubectl("drain", "node-1", "--ignore-daemonsets", "--force", "--timeout=60s")
    assert "node/node-1 drained" in drained
    left = json.loads(kubectl("get", "pods", "-o", "json", "--field-selector=spec.nodeName=node-1"))["items"]
    assert [p for p in left if p["metadata"].get("deletionTimestamp") is None] == []
    assert kubectl("uncordon", "node-1") == "node/node-1 uncordoned\n"
    assert kubectl("taint", "node", "node-1", "dedicated=db:NoSchedule") == "node/node-1 tainted\n"
    assert "dedicated=db:NoSchedule" in kubectl("describe", "node", "node-1")
    assert kubectl("taint", "node", "node-1", "dedicated-") == "node/node-1 untainted\n"
    kubectl("apply", "-f", "-", stdin=BOX)
    kubectl("wait", "pod/box", "--for=condition=Ready", "--timeout=60s")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_wait(kubectl: Kubectl) -> None:
    """wait for a condition, a jsonpath and a deletion."""
    goals = (("deployment.apps/web", "condition=Available"), ("pod/box", "jsonpath={.status.phase}=Running"))
    for target, goal in goals:
        assert kubectl("wait", target, f"--for={goal}", "--timeout=30s") == f"{target} condition met\n"
    kubectl("create", "configmap", "short")
    kubectl("delete", "configmap", "short")
    kubectl("wait", "cm/short", "--for=delete", "--timeout=10s")


def test_explain(kubectl: Kubectl) -> None:
    """explain reads the API's own documentation."""
    shown = kubectl("explain", "deployment.spec.strategy")
    assert "KIND:       Deployment" in shown
    assert "rollingUpdate" in shown
    assert "<[]Container> -required-" in kubectl("explain", "pod.spec")


def test_api_resources(kubectl: Kubectl) -> None:
    """api-resources lists kinds with short names; api-versions their groups."""
    listed = kubectl("api-resources")
    for row in (r"deployments +deploy +apps/v1 +true +Deployment", r"pods +po +v1 +true +Pod",
                r"ingresses +ing +networking.k8s.io/v1 +true +Ingress", r"nodes +no +v1 +false +Node"):
        assert re.search(row, listed)
    assert "apps/v1" in kubectl("api-versions").splitlines()


def test_events(kubectl: Kubectl) -> None:
    """events lists what happened to one object."""
    shown = kubectl("events", "--for", "pod/box")
    assert re.search(r"LAST SEEN +TYPE +REASON +OBJECT +MESSAGE", shown)
    assert "Scheduled" in shown


def test_auth_can_i(kubectl: Kubectl) -> None:
    """auth can-i and whoami ask the API server."""
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    refused = kubectl("get", "pods", "--as=nobody", ok=False)
    denial = 'pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace "default"'
    assert denial in refused


def test_watch(kubectl: Kubectl) -> None:
    """get --watch shows changes as they come."""
    watching = kubectl.start("get", "configmaps", "--watch", "--output-watch-events")
    assert watching.stdout is not None
    kubectl("create", "configmap", "seen")
    lines = []
    while not lines or "seen" not in lines[-1]:
        lines.append(watching.stdout.readline())
    assert lines[-1].startswith("ADDED")
    kubectl("delete", "configmap", "seen")
    while "DELETED" not in lines[-1]:
        lines.append(watching.stdout.readline())
    watching.terminate()
    watching.wait(10)


def test_run_and_generators(kubectl: Kubectl) -> None:
    """run, create deployment, create namespace, and deleting a namespace with all that is in it."""
    assert kubectl("create", "namespace", "team") == "namespace/team created\n"
    assert kubectl("run", "one", "--image=nginx:1.28", "-n", "team") == "pod/one created\n"
    assert kubectl("create", "deployment", "two", "--image=nginx:1.28", "-n", "team") == "deployment.apps/two created\n"
    kubectl("wait", "pod/one", "-n", "team", "--for=condition=Ready", "--timeout=60s")
    assert 'namespace "team" deleted' in kubectl("delete", "namespace", "team", timeout_s=90)
    assert "NotFound" in kubectl("get", "namespace", "team", ok=False)


def test_bad_input_is_named(kubectl: Kubectl) -> None:
    """Unknown fields, wrong names and missing fields are refused with their paths."""
    unknown = kubectl("apply", "-f", "-", stdin=BOX.replace("containers:", "containres:"), ok=False)
    assert 'unknown field "spec.containres"' in unknown
    named = kubectl("create", "configmap", "Bad_Name", ok=False)
    assert "metadata.name: Invalid value: \"Bad_Name\"" in named
    assert "mapping values are not allowed" in kubectl("apply", "-f", "-", stdin="a: b: c", ok=False)
