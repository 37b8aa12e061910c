"""The downward API: what a container may learn of its own pod, by fieldRef and resourceFieldRef.

Models:    pkg/fieldpath, pkg/api/v1/resource ExtractContainerResourceValue
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kubelab.machinery import quantity
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.pod_facts import container_named
from kubelab.node.kubelet.resources import amounts, container_requests

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


class FieldError(Exception):
    """The reference names nothing that exists."""


@dataclass(frozen=True, slots=True)
class Downward:
    """The pod, and what only its node knows about it."""

    pod: Obj
    pod_ip: str
    host_ip: str
    node_name: str
    allocatable: Mapping[str, str]

    def field(self, path: str) -> str:
        """Return the value of a fieldRef. Raises FieldError."""
        meta, spec = self.pod["metadata"], self.pod["spec"]
        match = _SUBSCRIPT.match(path)
        if match:
            return str((meta.get(match[1]) or {}).get(match[2], ""))
        if path in ("metadata.labels", "metadata.annotations"):
            entries = meta.get(path.rpartition(".")[2]) or {}
            return "\n".join(f"{k}={_quoted(v)}" for k, v in sorted(entries.items()))
        known = {
            "metadata.name": meta["name"], "metadata.namespace": meta["namespace"], "metadata.uid": meta["uid"],
            "spec.nodeName": spec.get("nodeName", self.node_name),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.podIP": self.pod_ip, "status.podIPs": self.pod_ip,
            "status.hostIP": self.host_ip, "status.hostIPs": self.host_ip,
        }
        if path not in known:
            raise FieldError(f"unsupported fieldPath: {path}")
        return str(known[path])

    def resource(self, ref: Obj, default_container: Obj | None = None) -> str:
        """Return the value of a resourceFieldRef, divided and rounded up. Raises FieldError."""
        container = default_container
        if ref.get("containerName"):
            container = container_named(self.pod, ref["containerName"])
        if container is None:
            raise FieldError(f"container {ref.get('containerName', '')} not found")
        where, _, resource = ref["resource"].partition(".")
        resources = container.get("resources") or {}
        have = container_requests(container) if where == "requests" else amounts(resources.get("limits"))
        if resource not in have and where == "limits":
            have = amounts(self.allocatable)  # a container without limit may take the whole node
        n = have.get(resource, 0)
        divisor = ref.get("divisor") or "0"
        if resource == "cpu":
            return str(math.ceil(n / (quantity.millis(divisor) or 1000)))
        return str(math.ceil(n / (quantity.value(divisor) or 1)))


def _quoted(value: str) -> str:
    """Quote as Go's %q does."""
    import json

    return json.dumps(value, ensure_ascii=False)
