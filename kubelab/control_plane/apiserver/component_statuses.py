"""ComponentStatuses: asked for, each part of the control plane is looked at there and then.

    GET /api/v1/componentstatuses ─► probe etcd, scheduler, controller-manager ─► one object each

Invariant: nothing of it is stored.
Models:    pkg/registry/core/componentstatus of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.present import Whole, presentation
from kubelab.machinery.errors import not_found
from kubelab.machinery.request import Response
from kubelab.units.componentstatus import component_status

Probe = Callable[[], str | Awaitable[str]]  # what is wrong, "" when it answers
REFUSED = 'Get "https://127.0.0.1:{}/healthz": dial tcp 127.0.0.1:{}: connect: connection refused'
PORTS = {"controller-manager": 10257, "scheduler": 10259}


class ComponentStatuses:
    """Handlers for the registry."""

    def __init__(self, probes: Mapping[str, Probe], now: Callable[[], float]) -> None:
        self._known, self._now = probes, now

    def _probes(self) -> dict[str, Probe]:
        return {name: unreachable(port) for name, port in PORTS.items()} | dict(self._known)

    def handlers(self) -> dict[tuple[str, str], Callable[[Call], Awaitable[Response]]]:
        return {("componentstatuses", "get"): self.get, ("componentstatuses", "list"): self.list}

    async def get(self, call: Call) -> Response:
        probe = self._probes().get(call.info.name)
        if probe is None:
            raise not_found("", "componentstatuses", call.info.name)
        how = presentation(call, self._now) or Whole(call.kind)
        return Response(200, how.one(component_status(call.info.name, await _ask(probe))))

    async def list(self, call: Call) -> Response:
        items = [component_status(name, await _ask(probe)) for name, probe in sorted(self._probes().items())]
        how = presentation(call, self._now) or Whole(call.kind)
        return Response(200, how.page(items, {"resourceVersion": ""}))


async def _ask(probe: Probe) -> str:
    said = probe()
    return said if isinstance(said, str) else await said


def unreachable(port: int) -> Probe:
    """Return the probe of a component that this API server was told nothing about."""
    return lambda: REFUSED.format(port, port)
