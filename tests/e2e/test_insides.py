"""What a container sees of its pod: environment, volumes, users, names; and what it waits for when that is missing."""

from __future__ import annotations

import os

import pytest

from kubelab import Cluster
from tests.e2e.conftest import Pod, events, status_of, until, waits_for


@pytest.fixture(scope="module")
def seen(cluster: Cluster) -> Pod:
    return cluster.wait("pod/seen", "Ready", timeout_s=40)  # type: ignore[return-value]


def run(cluster: Cluster, command: str, pod: str = "seen", container: str = "main") -> str:
    done = cluster.exec(f"pod/{pod}", command, container=container)
    assert done.exit_code == 0, done
    return done.stdout


def test_environment(cluster: Cluster, seen: Pod) -> None:
    """Values, ConfigMaps, Secrets, fields, resources and $(VAR) all arrive."""
    env = dict(line.split("=", 1) for line in run(cluster, "env").splitlines() if "=" in line)
    want = {"GREETING": "hello world", "ESCAPED": "$(WHO)", "COLOUR": "blue", "PASSWORD": "hunter2", "POD": "seen",
            "NODE": seen["spec"]["nodeName"], "IP": seen["status"]["podIP"], "HOST_IP": seen["status"]["hostIP"],
            "TIER": "test", "CPU": "250", "MEMORY": "32", "CFG_colour": "blue", "CFG_size": "big", "user": "admin",
            "HOSTNAME": "visible"}
    assert {k: env.get(k) for k in want} == want
    assert "OPTIONAL" not in env
    assert cluster.logs("pod/seen", "main") == "hello world $(KEPT) $(UNKNOWN)\n"


def test_service_variables(cluster: Cluster, seen: Pod) -> None:
    """Services that were there before the pod are in its environment, as in Docker's links."""
    env = dict(line.split("=", 1) for line in run(cluster, "env").splitlines() if "=" in line)
    ip = cluster.get("service/early-bird")["spec"]["clusterIP"]
    assert env["EARLY_BIRD_SERVICE_HOST"] == ip and env["EARLY_BIRD_SERVICE_PORT"] == "8080"
    assert env["EARLY_BIRD_SERVICE_PORT_DNS_UDP"] == "53" and env["EARLY_BIRD_PORT"] == f"tcp://{ip}:8080"
    assert env["EARLY_BIRD_PORT_53_UDP_PROTO"] == "udp" and env["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"


def test_files(cluster: Cluster, seen: Pod) -> None:
    """configMap, secret, downwardAPI and projected volumes with items and modes."""
    assert run(cluster, "cat /plain/colour /plain/app.conf") == "bluelisten=80\n"
    assert cluster.exec("pod/seen", "cat /plain/logo", container="main").stdout == "\x00\x01\x02\x03"
    assert run(cluster, "cd /chosen; ls; cat etc/app.conf c").split() == ["c", "etc", "listen=80", "blue"]
    assert run(cluster, "ls -lL /chosen/etc/app.conf")[:10] == "-r--------"
    assert run(cluster, "ls -lL /chosen/c")[:10] == "-rw-r--r--"
    assert run(cluster, "ls -lL /secret/user")[:10] == "-r--r-----"
    assert run(cluster, "ls /maybe") == "" and run(cluster, "cat /secret/password") == "hunter2"
    assert run(cluster, "cat /about/labels") == 'app="seen"\ntier="test"'
    assert run(cluster, "cat /about/note") == 'a "quoted" one' and run(cluster, "cat /about/cpu") == "250"
    assert run(cluster, "cat /all/size /all/who/user /all/name") == "bigadminseen"
    assert run(cluster, "cat /all/token").count(".") == 2
    assert run(cluster, "pwd").strip() == "/tmp"


def test_mounts(cluster: Cluster, seen: Pod) -> None:
    """Containers share an emptyDir; read-only mounts refuse; subPath and subPathExpr show a part."""
    run(cluster, "echo 1 > /cache/one; echo 2 > /sub/two; echo 3 > /expr/three")
    assert run(cluster, "cat /seen-too/one /seen-too/deep/er/two /seen-too/seen/three", container="web") == "1\n2\n3\n"
    assert "Read-only" in cluster.exec("pod/seen", "echo no > /seen-too/x", container="web").stderr
    assert "Read-only" in cluster.exec("pod/seen", "echo no > /plain/colour", container="main").stderr


def test_a_config_map_changes_under_a_running_pod(cluster: Cluster, seen: Pod) -> None:
    """The mounted file changes as a whole; what came by subPath or environment stays."""
    assert run(cluster, "cat /live/word /frozen/word") == "firstfirst"
    cluster.patch("configmap/live", {"data": {"word": "second", "more": "yes"}})
    until(lambda: run(cluster, "cat /live/word") == "second", "the volume follows", 10)
    assert run(cluster, "ls /live").split() == ["more", "word"] and run(cluster, "cat /frozen/word") == "first"
    cluster.patch("pod/seen", {"metadata": {"labels": {"tier": "changed"}}})
    until(lambda: 'tier="changed"' in run(cluster, "cat /about/labels"), "the downward API follows", 10)


def test_names(cluster: Cluster, seen: Pod) -> None:
    """hostname and subdomain make the pod's own name, in /etc/hosts and in DNS."""
    assert run(cluster, "hostname").strip() == "visible"
    ip = seen["status"]["podIP"]
    assert any(line.split()[:2] == [ip, "visible.peers.default.svc.cluster.local"] and "visible" in line.split()
               for line in run(cluster, "cat /etc/hosts").splitlines())
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in run(cluster, "cat /etc/resolv.conf")
    assert "ndots:5" in run(cluster, "cat /etc/resolv.conf")
    assert ip in run(cluster, "nslookup visible.peers.default.svc.cluster.local")


def test_containers_of_a_pod_share_its_network(cluster: Cluster, seen: Pod) -> None:
    """A neighbour answers at localhost and at the pod's address."""
    assert run(cluster, "wget -q -O - http://localhost/") == run(cluster, "wget -q -O - http://$IP/") != ""


def test_user_and_read_only_root(cluster: Cluster) -> None:
    """runAsUser and readOnlyRootFilesystem hold; volumes stay writable."""
    cluster.wait("pod/limited", "Ready")
    assert run(cluster, "id -u", "limited").strip() == "1234"
    assert "Read-only" in cluster.exec("pod/limited", "echo x > /bin/new").stderr
    assert run(cluster, "echo x > /work/new; cat /work/new", "limited") == "x\n"
    assert run(cluster, "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace", "limited") == "default"


def test_groups(cluster: Cluster) -> None:
    """runAsGroup, supplementalGroups and fsGroup: the pod's volumes belong to the group, its secrets can be read."""
    cluster.wait("pod/grouped", "Ready")
    if cluster.runtime_name == "docker" or os.getuid() == 0:
        assert run(cluster, "id -u; id -g; id -G", "grouped").split() == ["1000", "2000", "2000", "3000", "4000"]
        assert run(cluster, "echo mine > /work/x; ls -ln /work/x", "grouped").split()[2:4] == ["1000", "3000"]
    assert run(cluster, "cat /secret/user", "grouped") == "admin"
    assert "NoNewPrivs:\t1" in run(cluster, "cat /proc/self/status", "grouped")


def test_host_aliases_and_dns_config(cluster: Cluster) -> None:
    """They are in /etc/hosts and resolv.conf; setHostnameAsFQDN shows the full name."""
    cluster.wait("pod/grouped", "Ready")
    hosts = [line.split() for line in run(cluster, "cat /etc/hosts", "grouped").splitlines()]
    assert {w for words in hosts if words[:1] == ["192.0.2.7"] for w in words[1:]} == {"old-name", "older.example"}
    resolv = run(cluster, "cat /etc/resolv.conf", "grouped")
    assert "svc.cluster.local cluster.local example.org" in resolv and "ndots:2" in resolv
    assert run(cluster, "hostname", "grouped").strip() == "h.peers.default.svc.cluster.local"


def test_paths_that_lead_out_are_refused(cluster: Cluster) -> None:
    """A subPath through a link out of its volume, and a hostPath of the wrong type, are not mounted."""
    pod = cluster.wait("pod/escaping", waits_for("CreateContainerConfigError"))
    assert "failed to prepare subPath" in status_of(pod, "main")["state"]["waiting"]["message"]
    assert until(lambda: events(cluster, "wrong-path").get("FailedMount"), "FailedMount") == \
        'MountVolume.SetUp failed for volume "host" : hostPath type check failed: /etc/hostname is not a directory'


def test_run_as_non_root_refuses_root(cluster: Cluster) -> None:
    """A container that must not be root, of an image that is, is not created."""
    pod = cluster.wait("pod/must-not-be-root", waits_for("CreateContainerConfigError"))
    message = status_of(pod, "main")["state"]["waiting"]["message"]
    assert message.startswith("container has runAsNonRoot and image will run as root (pod: ")


def test_what_is_missing_is_named(cluster: Cluster) -> None:
    """A ConfigMap that is not there: CreateContainerConfigError for env, FailedMount for a volume."""
    pod = cluster.wait("pod/no-config", waits_for("CreateContainerConfigError"))
    assert status_of(pod, "main")["state"]["waiting"]["message"] == 'configmap "not-there" not found'
    assert until(lambda: events(cluster, "no-volume").get("FailedMount"), "FailedMount") == \
        'MountVolume.SetUp failed for volume "missing" : configmap "not-there" not found'
    assert status_of(cluster.get("pod/no-volume"), "main")["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_images_that_cannot_be_had(cluster: Cluster) -> None:
    """ErrImagePull turns to ImagePullBackOff; never pulled and badly named images have their own reasons."""
    image = "localhost:1/no/such:1.0"
    pod = cluster.wait("pod/bad-image", waits_for("ImagePullBackOff"))
    waiting = status_of(pod, "main")["state"]["waiting"]
    assert waiting["message"].startswith(f'Back-off pulling image "{image}": ErrImagePull: ')
    heard = events(cluster, "bad-image")
    assert heard["Pulling"] == f'Pulling image "{image}"' and heard["BackOff"] == f'Back-off pulling image "{image}"'
    assert {e["message"] for e in cluster.events("pod/bad-image") if e["reason"] == "Failed"} >= {
        "Error: ErrImagePull", "Error: ImagePullBackOff"}
    never = status_of(cluster.wait("pod/never-pulled", waits_for("ErrImageNeverPull")), "main")["state"]["waiting"]
    assert never["message"] == 'Container image "localhost:1/no/such:2.0" is not present with pull policy of Never'
    bad = status_of(cluster.wait("pod/bad-name", waits_for("InvalidImageName")), "main")["state"]["waiting"]
    assert "couldn't parse image name" in bad["message"]


