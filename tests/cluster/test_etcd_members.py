"""A cluster whose store has three members: it rides through the loss of any one of them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster, Deployment
from kubelab.control_plane.etcd.errors import EtcdError
from kubelab.host import HostError


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, runtime="hollow", etcd=3, etcd_listen="127.0.0.1:0", quiet=True) as running:
        yield running


def until(holds: Callable[[], Any], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_the_cluster_rides_through_the_loss_of_its_leader(cluster: Cluster) -> None:
    """The leader is killed in the middle of a rollout: pods become ready, and nothing that was applied is lost."""
    cluster.apply(Deployment("web", image="nginx", replicas=5))
    dead = cluster.etcd.leader
    cluster.etcd.kill(dead)
    for number in range(10):
        cluster.apply(config_map(f"c{number}"))
    cluster.wait("deployment/web", lambda d: d["status"].get("readyReplicas") == 5)
    assert cluster.etcd.leader not in (dead, -1)
    assert len(cluster.etcd.get("/registry/configmaps/default/c", prefix=True)) == 10
    cluster.etcd.restart(dead)
    until(lambda: len({member.revision for member in cluster.etcd.members}) == 1)
    assert [member.state for member in cluster.etcd.members] == ["running"] * 3


def test_a_cut_leaves_the_majority_writing_and_the_rest_without_a_vote(cluster: Cluster) -> None:
    """The old leader on the smaller side steps down; what it could not commit is not in the store after healing."""
    old = cluster.etcd.leader
    others = [place for place in range(3) if place != old]
    cluster.etcd.partition([old], others)
    assert cluster.etcd.groups == [[old], others]
    cluster.apply(config_map("c"))
    assert cluster.etcd.leader in others
    until(lambda: cluster.etcd.members[old].role != "leader")
    assert cluster.etcd.members[old].revision < cluster.etcd.revision
    cluster.etcd.heal()
    until(lambda: len({member.revision for member in cluster.etcd.members}) == 1)
    assert cluster.etcd.members[old].leader == cluster.etcd.members[others[0]].leader != ""


def test_without_a_majority_nothing_is_written_until_it_is_back(cluster: Cluster) -> None:
    """Two dead of three: a write ends in etcd's error with what to do, and the same write goes through afterwards."""
    for place in (0, 1):
        cluster.etcd.kill(place)
    with pytest.raises(EtcdError, match=r"request timed out.*no majority of members answers.*\.restart\(0\)"):
        cluster.etcd.put("/demo", "1")
    cluster.etcd.restart(0)
    assert cluster.etcd.put("/demo", "2") == cluster.etcd.revision
    cluster.apply(config_map("c"))


def test_members_join_and_leave(cluster: Cluster) -> None:
    """A fourth member learns, votes after its promotion, and leaves again as the leader: one leads on."""
    place = cluster.etcd.add_member(learner=True)
    until(lambda: cluster.etcd.members[place].role == "learner")
    until(lambda: cluster.etcd.members[place].revision == cluster.etcd.revision)
    cluster.etcd.promote(place)
    until(lambda: cluster.etcd.members[place].role == "follower")
    cluster.etcd.move_leader(place)
    assert cluster.etcd.leader == place
    cluster.etcd.remove_member(place)
    assert [member.name for member in cluster.etcd.members] == ["m0", "m1", "m2"]
    cluster.apply(config_map("c"))
    assert "m0" in repr(cluster.etcd.members)


def test_etcdctl_finds_each_member_at_its_own_address(cluster: Cluster) -> None:
    """A dead member's address is closed, and open again at the same place when it is back."""
    etcdctl = shutil.which("etcdctl")
    if etcdctl is None:
        pytest.skip("Debian's etcd-client is not installed")

    def health() -> int:
        words = [etcdctl, "endpoint", "health", "--dial-timeout=1s", "--command-timeout=2s"]
        done = subprocess.run(words, env=cluster.etcd.environment, capture_output=True, text=True, timeout=30)
        return done.stderr.count("is healthy")

    before = cluster.etcd.endpoint
    assert len(before.split(",")) == health() == 3
    cluster.etcd.kill(2)
    assert health() == 2
    cluster.etcd.restart(2)
    until(lambda: health() == 3)
    assert cluster.etcd.endpoint == before


def test_one_is_told_that_a_member_does_not_exist(cluster: Cluster) -> None:
    """Wrong places and wrong cuts are refused with what there is, and change nothing."""
    with pytest.raises(LookupError, match="there are 0 to 2"):
        cluster.etcd.kill(3)
    with pytest.raises(ValueError, match=r"partition\(\[0\], \[1, 2\]\)"):
        cluster.etcd.partition([0], [0, 1])
    assert cluster.etcd.groups == []


def test_the_state_outlives_the_cluster(tmp_path: Path) -> None:
    """Three members on disk begin where they were; one member alone is refused their folder."""
    with Cluster(nodes=0, etcd=3, data_dir=tmp_path, quiet=True) as first:
        first.apply(config_map("kept"))
        first.etcd.kill(0)
        first.apply(config_map("kept-by-two"))
    with pytest.raises(HostError, match="--etcd-members 3"):
        Cluster(nodes=0, data_dir=tmp_path, quiet=True)
    with Cluster(nodes=0, etcd=3, data_dir=tmp_path, quiet=True) as second:
        names = [c["metadata"]["name"] for c in second.get("configmaps")]
        assert {"kept", "kept-by-two"} <= set(names)
        until(lambda: len({member.revision for member in second.etcd.members}) == 1)


def test_an_even_number_of_members_is_refused() -> None:
    """Two members survive no loss at all."""
    with pytest.raises(ValueError, match="1, 3, 5 or 7"):
        Cluster(nodes=0, etcd=2, quiet=True)
