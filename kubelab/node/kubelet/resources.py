"""What a pod asks for: the sums over its containers that the node's admission and the downward API use.

Invariant: an init container counts beside the sidecars that started before it, never beside the pod's containers.
Models:    k8s.io/component-helpers/resource PodRequests
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.machinery import quantity
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.observed import is_sidecar

Amounts = dict[str, int]  # cpu in milli-CPU, everything else in whole units


def amount(resource: str, text: object) -> int:
    """Read one quantity in the unit its resource is counted in."""
    return quantity.millis(text) if resource == "cpu" else quantity.value(text)  # type: ignore[arg-type]


def amounts(quantities: Mapping[str, object] | None) -> Amounts:
    return {r: amount(r, q) for r, q in (quantities or {}).items()}


def container_requests(container: Obj) -> Amounts:
    """Requests of one container; a limit without a request counts as the request."""
    resources = container.get("resources") or {}
    return amounts(resources.get("limits")) | amounts(resources.get("requests"))


def pod_requests(spec: Obj) -> Amounts:
    """Return what the scheduler and the node count for a pod: max(containers + sidecars, any init step) + overhead."""
    total: Amounts = {}
    for container in spec["containers"]:
        _add(total, container_requests(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers", ()):
        step = dict(sidecars)
        _add(step, container_requests(container))
        if is_sidecar(container):
            sidecars = step
        peak = {r: max(peak.get(r, 0), step.get(r, 0)) for r in peak | step}
    _add(total, sidecars)
    total = {r: max(total.get(r, 0), peak.get(r, 0)) for r in total | peak}
    _add(total, amounts(spec.get("overhead")))
    return total


def _add(into: Amounts, more: Amounts) -> None:
    for resource, n in more.items():
        into[resource] = into.get(resource, 0) + n
