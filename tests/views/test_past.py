"""The cluster as it was, read through the API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kubelab import Cluster, Deployment, Service
from kubelab.views.bridge import Bridge
from kubelab.views.past import Compacted, Past


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, runtime="hollow", quiet=True) as running:
        running.apply(Deployment("web", image="nginx", replicas=2), Service("web", port=80))
        running.wait("deployment/web")
        running.scale("deployment/web", 4)
        running.wait("deployment/web")
        yield running


@pytest.fixture
def bridge(cluster: Cluster) -> Iterator[Bridge]:
    made = Bridge(cluster.client, lambda message: None, journal=cluster.journal, components=cluster.components)
    cluster.call(made.start())
    ends = time.monotonic() + 10
    while made._chronicle.complete_from != 1:
        assert time.monotonic() < ends, "the past was not read back"
        time.sleep(0.02)
    yield made
    cluster.call(made.stop())


def ask(cluster: Cluster, bridge: Bridge, **request: Any) -> Any:
    return cluster.call(bridge._answers.answer(request))


def test_each_revision_is_drawn_as_etcd_has_it(cluster: Cluster, bridge: Bridge) -> None:
    """Pods, nodes, Services and what is behind them, at every revision; without what etcd cannot know."""
    for revision in range(1, cluster.etcd.revision + 1):
        items = ask(cluster, bridge, what="past", revision=revision)["items"].values()
        pods = {i["name"]: i["node"] for i in items if i["t"] == "pod"}
        stored = cluster.etcd.get("/registry/pods/", prefix=True, revision=revision)
        assert pods == {v.value["metadata"]["name"]: v.value["spec"].get("nodeName", "") for v in stored}
        assert sum(i["t"] == "node" for i in items) == len(cluster.etcd.get("/registry/minions/", prefix=True,
                                                                            revision=revision))
        assert all(i["state"] == "" for i in items if i["t"] == "part")


def test_what_was_done_before_the_view_is_marked(cluster: Cluster, bridge: Bridge) -> None:
    """The bar begins with the cluster, not with the view."""
    marks = [i for i in bridge.projection.items.values() if i["t"] == "mark"]
    assert {"node-1 joins", "apply web", "scale web 2→4"} <= {m["text"] for m in marks}
    scaled = next(m for m in marks if m["text"] == "scale web 2→4")
    assert scaled["of"] == {"kind": "Deployment", "ns": "default", "name": "web"}
    found = ask(cluster, bridge, what="diff", of=scaled["of"], **{"from": scaled["rev"] - 1, "to": scaled["rev"]})
    assert ("-", "  replicas: 2") in found["lines"] and ("+", "  replicas: 4") in found["lines"]
    assert found["there"] == [True, True] and scaled["rev"] in [c[0] for c in found["changes"]]


def test_an_object_of_the_past(cluster: Cluster, bridge: Bridge) -> None:
    """Its YAML, facts and events as of then; a sentence where it was not."""
    of = {"kind": "Deployment", "ns": "default", "name": "web"}
    first = cluster.etcd.history("/registry/deployments/default/web").revisions[0]
    assert "replicas: 2" in ask(cluster, bridge, what="object", of=of, revision=first)["yaml"]
    assert "replicas: 4" in ask(cluster, bridge, what="object", of=of)["yaml"]
    with pytest.raises(LookupError, match=f"not there at revision {first - 1}"):
        ask(cluster, bridge, what="object", of=of, revision=first - 1)
    assert ask(cluster, bridge, what="events", of=of, revision=first) == []
    assert any(e["reason"] == "ScalingReplicaSet" for e in ask(cluster, bridge, what="events", of=of))
    default = ask(cluster, bridge, what="diff", of=of)
    assert default["to"] == 0 and default["lines"], "what its last change was"


def test_what_is_not_drawn_is_told_and_compared_too(cluster: Cluster, bridge: Bridge) -> None:
    """Any write of the API server, here of a ReplicaSet: who did it, and line by line what."""
    name = cluster.get("replicasets")[0]["metadata"]["name"]
    for revision in cluster.etcd.history(f"/registry/replicasets/default/{name}").revisions[1:]:
        told = ask(cluster, bridge, what="past", revision=revision, have=True)
        assert told["words"].startswith(f"ReplicaSet {name}: ") and told["of"]["kind"] == "ReplicaSet"
        diff = ask(cluster, bridge, what="diff", of=told["of"], **{"from": revision - 1, "to": revision})
        assert diff["lines"] and revision in [c[0] for c in diff["changes"]]
    with pytest.raises(LookupError):
        ask(cluster, bridge, what="object", of={"kind": "Nonsense", "ns": "", "name": "x"})


def test_a_stranger_learns_the_oldest_revision_by_asking(cluster: Cluster, bridge: Bridge) -> None:
    """Without a hand on the store, a refusal is followed by a search; with one, the store says it."""
    cluster.etcd.compact(20)
    gone = ask(cluster, bridge, what="past", revision=7)
    assert gone["oldest"] == 20 and "Revision 7 has been compacted" in gone["gone"]
    stranger = Past(cluster.client, bridge._chronicle, bridge.projection.items, {})
    with pytest.raises(Compacted, match="Revision 7") as refused:
        cluster.call(stranger.object("pods", "default", "web", 7))
    assert 20 <= refused.value.oldest <= cluster.etcd.revision
    assert stranger.oldest == refused.value.oldest
    assert stranger.item()["why"] == bridge._past.item()["why"] == "compacted before"
    assert Past(cluster.client, bridge._chronicle, bridge.projection.items, {}).item()["why"] == "this view began at"


def test_a_server_that_began_later_tells_from_there_on(cluster: Cluster) -> None:
    """An API server that was restarted knows no earlier changes; the chronicle begins where it does."""
    cluster.apiserver.restart()
    floor = cluster.etcd.revision
    cluster.scale("deployment/web", 5)
    cluster.wait("deployment/web", lambda d: d["status"].get("readyReplicas") == 5)
    late = Bridge(cluster.client, lambda message: None, components=cluster.components)
    cluster.call(late.start())
    ends = time.monotonic() + 10
    while late._chronicle.complete_from >= late._past.began:
        assert time.monotonic() < ends, "the past was not read back"
        time.sleep(0.02)
    texts = [i["text"] for i in late.projection.items.values() if i["t"] == "mark"]
    assert "scale web 4→5" in texts and late._chronicle.complete_from >= floor > 1
    cluster.call(late.stop())
