"""The object graph."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.views import graph
from kubelab.views.graph import object_graph
from tests.views.world import World


def shop(world: World, pods: int = 3) -> list[dict[str, Any]]:
    deployment = {"kind": "Deployment", "metadata": world.meta("web") | {"uid": "uid-deployment"},
                  "spec": {"replicas": pods}}
    owner = [{"uid": "uid-deployment", "kind": "Deployment", "name": "web"}]
    replica_set = {"kind": "ReplicaSet", "metadata": world.meta("web-aa", ownerReferences=owner),
                   "spec": {"replicas": pods}, "status": {"replicas": pods}}
    members = [world.pod(f"web-aa-{i}", "node-1", owner="web-aa", hash_="aa") for i in range(pods)]
    service = world.service("web")
    ingress = {"kind": "Ingress", "metadata": world.meta("door"), "spec": {"rules": [{"host": "shop.example", "http": {
        "paths": [{"backend": {"service": {"name": "web"}}}]}}]}}
    return [deployment, replica_set, *members, service, world.slice("web", members), ingress]


def test_way_from_ingress_to_deployment(world: World) -> None:
    """Every reference is an arrow; owners stand to the right of what they own."""
    source = object_graph(shop(world)).source
    for edge in ('"uid-door" -> "uid-web";', '"uid-web" -> "uid-web-x1";', '"uid-web-x1" -> "uid-web-aa-0";',
                 '"uid-web-aa-0" -> "uid-web-aa" [dir=back];', '"uid-web-aa" -> "uid-deployment" [dir=back];'):
        assert edge in source


def test_crowds_are_drawn_as_one(world: World) -> None:
    """A hundred pods of one owner are one box that says how many."""
    source = object_graph(shop(world, 100)).source
    assert "Pods 100 of them" in source
    assert source.count(" -> ") == 5


def test_old_revisions_are_left_out(world: World) -> None:
    """ReplicaSets without pods do not crowd the picture."""
    old = {"kind": "ReplicaSet", "metadata": world.meta("web-old"), "spec": {"replicas": 0}, "status": {}}
    assert "web-old" not in object_graph([*shop(world), old]).source


def test_draws_svg_also_without_dot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no `dot` is on PATH the package's own engine draws the same graph."""
    monkeypatch.setattr(graph.shutil, "which", lambda name: None)
    figure = object_graph(shop(world))
    bundle = figure._repr_mimebundle_()
    assert "<svg" in bundle["image/svg+xml"]
    assert "shop.example" in bundle["image/svg+xml"]
    assert bundle["text/plain"] == figure.source


def test_quotes_in_names_are_escaped(world: World) -> None:
    """A label can hold quotes without breaking out of the dot text."""
    service = world.service("web")
    service["spec"]["clusterIP"] = '1"];evil'
    assert "<svg" in object_graph([service]).svg
