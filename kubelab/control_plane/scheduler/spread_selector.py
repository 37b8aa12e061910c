"""The selector by which a pod's siblings are found: that of its Services and of its controller, taken together.

Models:    pkg/scheduler/framework/plugins/helper/spread.go (DefaultSelector)
Left out:  StatefulSet, until the catalogue has it
"""

from __future__ import annotations

from typing import Any

from kubelab.client.informer import Informers
from kubelab.control_plane.scheduler.nodeinfo import PodInfo
from kubelab.machinery.meta import controller_of
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import Selector, from_label_selector


def _namespace_index(obj: Obj) -> list[str]:
    return [obj["metadata"].get("namespace", "")]


class SpreadSelectors:
    def __init__(self, informers: Informers) -> None:
        self._services = informers.of("services", indexers={"namespace": _namespace_index})
        self._controllers = {"ReplicaSet": informers.of("replicasets.apps"),
                             "ReplicationController": informers.of("replicationcontrollers")}

    def of(self, pod: PodInfo) -> Selector | None:
        """Return the selector, None for a pod that has neither."""
        labels: dict[str, str] = {}
        for service in self._services.by_index("namespace", pod.namespace):
            wanted = service["spec"].get("selector")
            if wanted and wanted.items() <= pod.labels.items():
                labels |= wanted
        expressions: list[Any] = []
        owner = controller_of(pod.obj)
        informer = self._controllers.get(owner["kind"]) if owner else None
        found = informer.get(f"{pod.namespace}/{owner['name']}") if informer and owner else None
        if found is not None:
            selector = found["spec"].get("selector") or {}
            simple = found["kind"] == "ReplicationController"
            labels |= selector if simple else selector.get("matchLabels") or {}
            expressions = [] if simple else selector.get("matchExpressions") or []
        if not labels and not expressions:
            return None
        return from_label_selector({"matchLabels": labels, "matchExpressions": expressions})
