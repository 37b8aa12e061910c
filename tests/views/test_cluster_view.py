"""The widget on a running cluster, as a notebook holds it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from kubelab import Cluster, Deployment, Service
from kubelab.views.cluster_view import ClusterView


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=3, runtime="hollow", quiet=True) as running:
        running.apply(Deployment("web", image="nginx", replicas=3), Service("web", port=80))
        running.wait("deployment/web")
        yield running


@pytest.fixture
def view(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterView]:
    monkeypatch.setattr("kubelab.views.cluster_view.SNAPSHOT_S", 0.1)
    made = ClusterView(cluster.client, cluster.journal, call=cluster.call, components=cluster.components, name="lab")
    made.outbox = []
    monkeypatch.setattr(made, "send", lambda message, buffers=None: made.outbox.append(message))
    yield made
    made.close()


def until(holds: Any) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)


def test_display_has_a_still_picture(view: ClusterView) -> None:
    """What GitHub and nbconvert find in a saved notebook: the drawing beside the widget."""
    data, _ = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    for text in ("node-3", "web", "API server"):
        assert text in data["image/svg+xml"]


def test_browser_messages_are_answered_from_the_loop(view: ClusterView, cluster: Cluster) -> None:
    """hello brings every node, pod, Service and card; changes follow by themselves; the kernel's thread stays free."""
    view._heard(None, {"type": "hello", "view": "v"}, None)
    until(lambda: any(m["type"] == "model" for m in view.outbox))
    items = next(m for m in view.outbox if m["type"] == "model")["items"]
    kinds = [i["t"] for i in items.values()]
    assert (kinds.count("node"), kinds.count("pod")) == (3, 3)
    assert {"part:controllers", "part:scheduler", "part:proxy", "part:dns"} <= items.keys()
    assert all(i["kubelet"] == "running" for i in items.values() if i["t"] == "node")
    cluster.scale("deployment/web", 5)
    until(lambda: sum(i["t"] == "pod" and i["phase"] == "ready" for i in view._bridge.projection.items.values()) == 5)
    cluster.scale("deployment/web", 3)
    until(lambda: sum(i["t"] == "pod" for i in view._bridge.projection.items.values()) == 3)

    def spokes() -> set[str]:
        return {dot[0] for m in view.outbox for dot in m.get("dots", ())}

    until(lambda: {"kubectl", "etcd", "controllers", "scheduler"} <= spokes())
    until(lambda: spokes() & {"node-1", "node-2", "node-3"})


def test_snapshot_follows_for_a_saved_notebook(view: ClusterView) -> None:
    """A notebook saved with its widgets keeps the last picture."""
    view._heard(None, {"type": "hello", "view": "v"}, None)
    until(lambda: view.snapshot)
    assert "node:node-1" in view.snapshot["items"]


def test_closing_stops_the_bridge(cluster: Cluster) -> None:
    """Closing the widget ends its informers; closing twice is fine."""
    made = ClusterView(cluster.client, cluster.journal, call=cluster.call, components=cluster.components)
    made.close()
    made.close()
    assert made._bridge is None


def test_cluster_that_stops_closes_its_view() -> None:
    """Stopping the cluster stops the view; no thread is left, and a late message is ignored."""
    before = threading.active_count()
    with Cluster(nodes=1, runtime="hollow", quiet=True) as short:
        view = short.view
        assert view is short.view
    view._heard(None, {"type": "hello", "view": "v"}, None)
    assert view._bridge is None
    assert threading.active_count() <= before


def test_the_last_picture_of_a_stopped_cluster_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages are told that it has ended, also those that open later; nothing of the cluster is held by the view."""
    told: list[Any] = []
    with Cluster(nodes=1, runtime="hollow", quiet=True) as short:
        view = short.view
        monkeypatch.setattr(view, "send", lambda message, buffers=None: told.append(message["type"]))
        gone = weakref.ref(short.client)
    assert "node:node-1" in view.snapshot["items"]
    assert told[-1] == "ended" and "node-1" in view.svg() and view.comm is not None
    told.clear()
    view._heard(None, {"type": "hello", "view": "later"}, None)
    assert told == ["ended"]
    del short
    gc.collect()
    assert gone() is None
