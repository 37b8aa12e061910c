"""Pods and nodes as the scheduler meets them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.nodeinfo import PodInfo

_uids = count(1)


def _pod(name: str = "p", *, labels: dict[str, str] | None = None, requests: dict[str, str] | None = None,
         node: str = "", **spec: Any) -> PodInfo:
    container: dict[str, Any] = {"name": "c", "image": "nginx", "resources": {"requests": requests or {}}}
    container["ports"] = spec.pop("ports", [])
    spec = {"containers": [container], **spec}
    if node:
        spec["nodeName"] = node
    return PodInfo({"metadata": {"name": name, "namespace": "default", "uid": f"uid-{next(_uids)}",
                                 "labels": labels or {}}, "spec": spec})


def _node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", labels: dict[str, str] | None = None,
          **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}, "spec": spec,
            "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}}}


@pytest.fixture
def pod() -> Callable[..., PodInfo]:
    return _pod


@pytest.fixture
def node() -> Callable[..., dict[str, Any]]:
    return _node


@pytest.fixture
def cluster() -> Callable[..., Cache]:
    """Build a cache from nodes."""

    def build(*nodes: dict[str, Any]) -> Cache:
        cache = Cache()
        for obj in nodes or (_node("n1"), _node("n2")):
            cache.set_node(obj)
        return cache

    return build
