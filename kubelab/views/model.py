"""View model of a cluster: API objects in, a flat map of small drawable items out, and only what changed.

    Pod, Node, Service, EndpointSlice ─► Projection ─► items {"pod:<uid>": {...}, "node:<name>": {...}, ...}
                                             └─► take() ─► {"set": {...}, "del": [...]}  since the last take

Invariant: one event costs O(1); an item is never changed in place, so an item that is the same object is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubelab.machinery.request import Obj
from kubelab.views.items import Item, node_item, pod_item, requests, service_item


class Projection:
    """The items of one cluster, kept up to date event by event."""

    def __init__(self, name: str = "cluster") -> None:
        self.items: dict[str, Item] = {}
        self._changed: set[str] = set()
        self._order = 0
        self._nodes: dict[str, Obj] = {}
        self._leases: dict[str, float] = {}
        self._kubelets: dict[str, str] = {}  # node -> state of its kubelet, where this process holds it
        self._used: dict[str, tuple[int, int]] = {}  # node -> what its pods ask for
        self._asked: dict[str, tuple[str, tuple[int, int]]] = {}  # pod uid -> (node, what it asks for)
        self._services: dict[tuple[str, str], Obj] = {}
        self._slices: dict[tuple[str, str], dict[str, Obj]] = {}
        self._head: Item = {"t": "cluster", "name": name, "revision": 0}
        self._set("cluster", self._head)

    def pod(self, kind: str, pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        self._count(uid, "" if kind == "DELETED" else pod["spec"].get("nodeName") or "", requests(pod))
        self._saw(pod)
        if kind == "DELETED":
            self._drop(f"pod:{uid}")
            return
        known = self.items.get(f"pod:{uid}")
        if known is None:
            self._order += 1
        self._set(f"pod:{uid}", pod_item(pod, known["order"] if known else self._order))

    def node(self, kind: str, node: Obj) -> None:
        name = node["metadata"]["name"]
        self._saw(node)
        if kind == "DELETED":
            self._nodes.pop(name, None)
            self._drop(f"node:{name}")
            return
        self._nodes[name] = node
        self._draw_node(name)

    def lease(self, node_name: str, renewed_at: float) -> None:
        self._leases[node_name] = renewed_at
        self._draw_node(node_name)

    def kubelet(self, node_name: str, state: str) -> None:
        self._kubelets[node_name] = state
        self._draw_node(node_name)

    def service(self, kind: str, service: Obj) -> None:
        key = (service["metadata"].get("namespace", ""), service["metadata"]["name"])
        self._saw(service)
        if kind == "DELETED":
            self._services.pop(key, None)
            self._drop(f"svc:{service['metadata']['uid']}")
            return
        self._services[key] = service
        self._draw_service(key)

    def slice(self, kind: str, slice_: Obj) -> None:
        meta = slice_["metadata"]
        key = (meta.get("namespace", ""), (meta.get("labels") or {}).get("kubernetes.io/service-name", ""))
        mine = self._slices.setdefault(key, {})
        if kind == "DELETED":
            mine.pop(meta["name"], None)
        else:
            mine[meta["name"]] = slice_
        self._draw_service(key)

    def put(self, key: str, item: Item) -> None:
        """Set an item that comes from elsewhere: a component's card, a mark on the time bar."""
        self._set(key, item)

    def drop(self, key: str) -> None:
        self._drop(key)

    def take(self) -> dict[str, Any] | None:
        """Return what changed since the last call, None for nothing."""
        if not self._changed:
            return None
        changed, self._changed = self._changed, set()
        return {"set": {k: self.items[k] for k in changed if k in self.items},
                "del": [k for k in changed if k not in self.items]}

    def _saw(self, obj: Obj) -> None:
        revision = int(obj["metadata"].get("resourceVersion") or 0)
        if revision > self._head["revision"]:
            self._head = self._head | {"revision": revision}
            self._set("cluster", self._head)

    def _count(self, uid: str, node: str, asks: tuple[int, int]) -> None:
        """Move what a pod asks for from the node it was on to the node it is on."""
        before = self._asked.pop(uid, ("", (0, 0)))
        if node:
            self._asked[uid] = (node, asks)
        if before == (node, asks):
            return
        for name, (cpu, memory), sign in ((*before, -1), (node, asks, 1)):
            if name:
                total = self._used.get(name, (0, 0))
                self._used[name] = (total[0] + sign * cpu, total[1] + sign * memory)
                self._draw_node(name)

    def _draw_node(self, name: str) -> None:
        if name in self._nodes:
            item = node_item(self._nodes[name], self._used.get(name, (0, 0)), self._leases.get(name))
            self._set(f"node:{name}", item | {"kubelet": self._kubelets.get(name, "")})

    def _draw_service(self, key: tuple[str, str]) -> None:
        if service := self._services.get(key):
            self._set(f"svc:{service['metadata']['uid']}", service_item(service, self._slices.get(key, {}).values()))

    def _set(self, key: str, item: Item) -> None:
        if self.items.get(key) != item:
            self.items[key] = item
            self._changed.add(key)

    def _drop(self, key: str) -> None:
        if self.items.pop(key, None) is not None:
            self._changed.add(key)


def view_model(objects: Mapping[str, Iterable[Obj]], name: str = "cluster") -> dict[str, Item]:
    """Return the items of a cluster that holds these objects: {"pods": [...], "nodes": [...], "services": ..., ...}."""
    out = Projection(name)
    for feed, key in ((out.node, "nodes"), (out.pod, "pods"), (out.service, "services"), (out.slice, "endpointslices")):
        for obj in objects.get(key, ()):
            feed("ADDED", obj)
    return out.items
