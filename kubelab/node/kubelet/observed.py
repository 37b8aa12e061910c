"""What the runtime shows of one pod: its sandbox and, by container name, every attempt that is still known.

Invariant: attempts stand oldest first; containers of an earlier sandbox are known but no longer `current`.
Models:    the kubelet's pod cache (kubecontainer.PodStatus)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from kubelab.machinery.request import Obj
from kubelab.node.runtime.protocol import ContainerStatus, Sandbox


@dataclass(slots=True)
class Observed:
    """The runtime's side of a pod, updated from runtime events, read by the pure decisions."""

    sandbox: Sandbox | None = None
    attempts: dict[str, list[ContainerStatus]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)  # container id -> image as the pod's spec wrote it
    _earlier: set[str] = field(default_factory=set)  # ids of containers of earlier sandboxes

    def latest(self, name: str) -> ContainerStatus | None:
        attempts = self.attempts.get(name)
        return attempts[-1] if attempts else None

    def current(self, name: str) -> ContainerStatus | None:
        """Return the latest attempt if it belongs to the sandbox that stands now."""
        status = self.latest(name)
        return None if status is None or status.id in self._earlier else status

    def previous(self, name: str) -> ContainerStatus | None:
        attempts = self.attempts.get(name)
        return attempts[-2] if attempts and len(attempts) > 1 else None

    def all(self) -> Iterator[ContainerStatus]:
        for attempts in self.attempts.values():
            yield from attempts

    def running(self) -> list[ContainerStatus]:
        return [s for s in self.all() if s.state == "running"]

    def put(self, status: ContainerStatus) -> None:
        """Record the newest state of one attempt."""
        attempts = self.attempts.setdefault(status.name, [])
        for i, known in enumerate(attempts):
            if known.id == status.id:
                attempts[i] = status
                return
        attempts.append(status)
        attempts.sort(key=lambda s: s.attempt)

    def drop(self, container_id: str) -> None:
        for name, attempts in list(self.attempts.items()):
            kept = [s for s in attempts if s.id != container_id]
            if kept:
                self.attempts[name] = kept
            else:
                del self.attempts[name]
        self.images.pop(container_id, None)
        self._earlier.discard(container_id)

    def new_sandbox(self, sandbox: Sandbox) -> None:
        """The pod starts over in `sandbox`: init containers run again, restart counts go on."""
        self.sandbox = sandbox
        self._earlier = {s.id for s in self.all()}

    def end_sandbox(self) -> None:
        """The pod's network is gone; its address stays in the status."""
        if self.sandbox is not None:
            self.sandbox = replace(self.sandbox, ready=False)


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes say of one running container; `failed` is "", "liveness" or "startup"."""

    ready: bool = True
    started: bool = True
    failed: str = ""


HEALTHY = Health()
Healths = Mapping[str, Health]  # by container id


def health_of(container: Obj, status: ContainerStatus, healths: Healths) -> Health:
    """Return the probes' verdict; before the first one, a probed container is not ready and not started."""
    known = healths.get(status.id)
    if known is not None:
        return known
    if "readinessProbe" not in container and "startupProbe" not in container:
        return HEALTHY
    started = "startupProbe" not in container
    return Health(ready=started and "readinessProbe" not in container, started=started)


def is_sidecar(container: Obj) -> bool:
    """Tell whether an init container is a restartable one: it runs beside the pod's containers."""
    return container.get("restartPolicy") == "Always"
